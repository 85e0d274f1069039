"""A rule that runs a program of the store: it asks for the toolchain, and gets a path."""

_TOOLCHAIN = "//generated-lre-protoc:toolchain_type"

def _descriptors_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".descriptors")
    arguments = ctx.actions.args()
    arguments.add("--descriptor_set_out", out)
    arguments.add_joined("--proto_path", [file.dirname for file in ctx.files.srcs], join_with = ":", uniquify = True)
    arguments.add_all(ctx.files.srcs)
    ctx.actions.run(
        executable = ctx.toolchains[_TOOLCHAIN].tools["protoc"],
        arguments = [arguments],
        inputs = ctx.files.srcs,
        mnemonic = "Protoc",
        outputs = [out],
    )
    return [DefaultInfo(files = depset([out]))]

descriptors = rule(
    implementation = _descriptors_impl,
    attrs = {"srcs": attr.label_list(allow_files = [".proto"])},
    toolchains = [_TOOLCHAIN],
)
