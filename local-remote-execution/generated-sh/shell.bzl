# What sh_toolchain of any version of the rules provides.
# Written by `lre generate` from manifest sha256:6aec1a867cd8dbddea9106c9aaccd4a71a5e690e15e00a561a5a714721a7b8f4
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
