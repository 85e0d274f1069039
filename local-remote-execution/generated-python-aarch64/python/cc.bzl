# Python's headers and library for C and C++.
# Written by `lre generate` from manifest sha256:e3326d3afe139817948d69e470d050c49769458716f7374b54c262a7dd45431d
# of lre-py-aarch64: edits are lost.

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
