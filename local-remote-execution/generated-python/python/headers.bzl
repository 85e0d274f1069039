# Headers of the store for C and C++.
# Written by `lre generate` from manifest sha256:aeeace0251f2f170aa670d9934dff6423cba21bcdd3190db1b1feac3f53f0794
# of lre-py: edits are lost.

load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _headers_impl(ctx):
    return [CcInfo(compilation_context = cc_common.create_compilation_context(
        system_includes = depset(ctx.attr.include_directories),
    ))]

lre_python_headers = rule(
    implementation = _headers_impl,
    attrs = {"include_directories": attr.string_list(mandatory = True)},
    doc = "The headers are no inputs: the directory in the command line says which they are.",
    provides = [CcInfo],
)
