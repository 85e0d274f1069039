# Bazel's Java tools as files of a build.
# Written by `lre generate` from manifest sha256:a6c5a5a814fe8a17d3822d85178c126e51dae2bdac9a5922735e440ea798f246
# of lre-java-aarch64: edits are lost.

def _tool_impl(ctx):
    ctx.actions.write(
        ctx.outputs.out,
        "#!%s\n%sexec %s \"$@\"\n" % (
            ctx.attr.shell,
            "case $1 in -D*) shift ;; esac\n" if ctx.attr.drop_java_home else "",
            " ".join(ctx.attr.command),
        ),
        is_executable = True,
    )

# The outputs have labels, and those the toolchain takes: a rule's executable would bring runfiles, which Bazel
# makes for every action, and which an execution log of Java cannot be written with.
lre_java_tool = rule(
    implementation = _tool_impl,
    attrs = {
        "command": attr.string_list(
            doc = "What runs, before the caller's arguments.",
            mandatory = True,
        ),
        "drop_java_home": attr.bool(
            doc = "Bazel begins the arguments of a header compiler with -Djava.home: what the command has anyway.",
        ),
        "out": attr.output(mandatory = True),
        "shell": attr.string(mandatory = True),
    },
    doc = "A program of the store. The script names it, so its path is part of every key.",
)

def _file_impl(ctx):
    ctx.actions.run(
        arguments = [ctx.attr.path, ctx.outputs.out.path],
        executable = ctx.attr.cp,
        mnemonic = "LreStoreFile",
        outputs = [ctx.outputs.out],
    )

lre_store_file = rule(
    implementation = _file_impl,
    attrs = {
        "cp": attr.string(mandatory = True),
        "out": attr.output(mandatory = True),
        "path": attr.string(mandatory = True),
    },
    doc = "A copy of a file of the store, for what has to be an input.",
)
