"""A rule that runs the shell that toolchain resolution finds, as those that do not use run_shell do."""

def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    shell = ctx.toolchains["@bazel_tools//tools/sh:toolchain_type"].path
    if not shell.startswith("/lre/store/"):
        fail("the shell is %s, not that of the store" % shell)
    ctx.actions.run(
        arguments = ["-c", "sort \"$1\" >\"$2\"", "shelled", ctx.file.src.path, out.path],
        executable = shell,
        inputs = [ctx.file.src],
        mnemonic = "Shelled",
        outputs = [out],
    )
    return [DefaultInfo(files = depset([out]))]

shelled = rule(
    implementation = _impl,
    attrs = {"src": attr.label(allow_single_file = True)},
    toolchains = ["@bazel_tools//tools/sh:toolchain_type"],
)
