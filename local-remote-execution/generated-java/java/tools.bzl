# Bazel's Java tools as files of a build.
# Written by `lre generate` from manifest sha256:2ae16943e0f98ceaed9a5e9337959e0f7812dcca8fdfeed856a6bb4c0811c9d0
# of lre-java: edits are lost.

def _tool_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        script,
        "#!%s\nexec %s \"$@\"\n" % (ctx.attr.shell, " ".join(ctx.attr.command)),
        is_executable = True,
    )
    return [DefaultInfo(
        executable = script,
        files = depset([script]),
    )]

lre_java_tool = rule(
    implementation = _tool_impl,
    attrs = {
        "command": attr.string_list(
            doc = "What runs, before the caller's arguments.",
            mandatory = True,
        ),
        "shell": attr.string(mandatory = True),
    },
    doc = "A program of the store. The script names it, so its path is part of every key.",
    executable = True,
)

def _file_impl(ctx):
    file = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run(
        arguments = [ctx.attr.path, file.path],
        executable = ctx.attr.cp,
        mnemonic = "LreStoreFile",
        outputs = [file],
    )
    return [DefaultInfo(
        executable = file,
        files = depset([file]),
    )]

lre_store_file = rule(
    implementation = _file_impl,
    attrs = {
        "cp": attr.string(mandatory = True),
        "path": attr.string(mandatory = True),
    },
    doc = "A copy of a file of the store, for what has to be an input; Bazel takes only programs as tools.",
    executable = True,
)
