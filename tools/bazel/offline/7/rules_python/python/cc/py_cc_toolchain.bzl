"""What rules_python 0.40 offers for C and C++, by the same labels: Debian's rules_python is older."""

_TYPE = "//python/cc:toolchain_type"

def _providers(target):
    return struct(providers_map = {
        "CcInfo": target[CcInfo],
        "DefaultInfo": target[DefaultInfo],
    })

def _py_cc_toolchain_impl(ctx):
    return [platform_common.ToolchainInfo(py_cc_toolchain = struct(
        headers = _providers(ctx.attr.headers),
        libs = _providers(ctx.attr.libs) if ctx.attr.libs else None,
        python_version = ctx.attr.python_version,
    ))]

py_cc_toolchain = rule(
    implementation = _py_cc_toolchain_impl,
    attrs = {
        "headers": attr.label(
            mandatory = True,
            providers = [CcInfo],
        ),
        "libs": attr.label(providers = [CcInfo]),
        "python_version": attr.string(mandatory = True),
    },
)

def _current_py_cc_headers_impl(ctx):
    return ctx.toolchains[_TYPE].py_cc_toolchain.headers.providers_map.values()

current_py_cc_headers = rule(
    implementation = _current_py_cc_headers_impl,
    provides = [CcInfo],
    toolchains = [_TYPE],
)

def _current_py_cc_libs_impl(ctx):
    return ctx.toolchains[_TYPE].py_cc_toolchain.libs.providers_map.values()

current_py_cc_libs = rule(
    implementation = _current_py_cc_libs_impl,
    provides = [CcInfo],
    toolchains = [_TYPE],
)
