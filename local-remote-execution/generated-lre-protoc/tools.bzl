# What the toolchain of tools provides: their absolute paths.
# Written by `lre generate` from manifest sha256:8c859a776afe3b828bbafa26db6abe737a283366f421690e7ad9c7bb880c7352
# of lre-protoc: edits are lost.

def _tools_impl(ctx):
    return [platform_common.ToolchainInfo(tools = ctx.attr.tools)]

lre_tools = rule(
    implementation = _tools_impl,
    attrs = {"tools": attr.string_dict(mandatory = True)},
    doc = "The programs are no inputs: the path in a command says which they are.",
)
