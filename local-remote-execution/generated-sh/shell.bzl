# What sh_toolchain of any version of the rules provides.
# Written by `lre generate` from manifest sha256:35ce5d7a405989d4e7c3a04929347589d07d6a91cf3a420f812cd47bc69e1f6a
# of lre-cc: edits are lost.

def _shell_impl(ctx):
    return [platform_common.ToolchainInfo(
        launcher = None,
        launcher_maker = None,
        path = ctx.attr.path,
    )]

lre_shell = rule(
    implementation = _shell_impl,
    attrs = {"path": attr.string(mandatory = True)},
)
