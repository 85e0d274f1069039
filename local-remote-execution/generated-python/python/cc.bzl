# Python's headers and library for C and C++.
# Written by `lre generate` from manifest sha256:aeeace0251f2f170aa670d9934dff6423cba21bcdd3190db1b1feac3f53f0794
# of lre-py: edits are lost.

load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _cc_impl(ctx):
    return [CcInfo(
        compilation_context = cc_common.create_compilation_context(
            system_includes = depset(ctx.attr.include_directories),
        ),
        linking_context = cc_common.create_linking_context(
            linker_inputs = depset([cc_common.create_linker_input(
                owner = ctx.label,
                user_link_flags = ctx.attr.link_flags,
            )]),
        ),
    )]

lre_python_cc = rule(
    implementation = _cc_impl,
    attrs = {
        "include_directories": attr.string_list(mandatory = True),
        "link_flags": attr.string_list(),
    },
    doc = "Files of the store are no inputs: the directories in the command line say which they are.",
    provides = [CcInfo],
)
