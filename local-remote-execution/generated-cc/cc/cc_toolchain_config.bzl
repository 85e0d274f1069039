# How the compiler is called: the rule of the C++ toolchains.
# Written by `lre generate` from manifest sha256:6aec1a867cd8dbddea9106c9aaccd4a71a5e690e15e00a561a5a714721a7b8f4
# of lre-cc: edits are lost.

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load(
    "@rules_cc//cc:cc_toolchain_config_lib.bzl",
    "action_config",
    "feature",
    "tool",
    "tool_path",
)
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/toolchains:cc_toolchain_config_info.bzl", "CcToolchainConfigInfo")
load(":cc_features.bzl", "compile_features", "last_features", "link_features", "mode_features")

def _action_configs(ctx):
    configs = []
    for name, tool_name in [
        (ACTION_NAMES.objcopy_embed_data, "objcopy"),
        (ACTION_NAMES.llvm_cov, "llvm-cov"),
    ]:
        configs.append(action_config(
            action_name = name,
            tools = [tool(path = ctx.attr.tool_paths[tool_name])],
        ))

    configs.append(action_config(
        action_name = ACTION_NAMES.cpp_header_parsing,
        tools = [tool(path = ctx.attr.tool_paths["gcc"])],
        implies = [
            "legacy_compile_flags",
            "user_compile_flags",
            "sysroot",
            "unfiltered_compile_flags",
            "compiler_input_flags",
            "compiler_output_flags",
        ],
    ))
    configs.append(action_config(
        action_name = "validate-static-library",
        tools = [tool(tool = ctx.executable.validate_static_library)],
    ))
    return configs

def _impl(ctx):
    features = mode_features(ctx) + compile_features(ctx) + link_features(ctx) + last_features(ctx) + [
        feature(name = "symbol_check", implies = ["validate-static-library"]),
    ]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        abi_libc_version = ctx.attr.target_libc,
        abi_version = ctx.attr.compiler,
        action_configs = _action_configs(ctx),
        builtin_sysroot = ctx.attr.builtin_sysroot,
        compiler = ctx.attr.compiler,
        cxx_builtin_include_directories = ctx.attr.builtin_include_directories,
        features = features,
        host_system_name = ctx.attr.target_system_name,
        target_cpu = ctx.attr.cpu,
        target_libc = ctx.attr.target_libc,
        target_system_name = ctx.attr.target_system_name,
        tool_paths = [tool_path(name = name, path = path) for name, path in ctx.attr.tool_paths.items()],
        toolchain_identifier = ctx.attr.toolchain_identifier,
    )

lre_cc_toolchain_config = rule(
    implementation = _impl,
    attrs = {
        "builtin_include_directories": attr.string_list(mandatory = True),
        "builtin_sysroot": attr.string(mandatory = True),
        "compile_flags": attr.string_list(),
        "compiler": attr.string(mandatory = True),
        "cpu": attr.string(mandatory = True),
        "cxx_flags": attr.string_list(),
        "empty_source": attr.string(
            doc = "A file of the store without a declaration in it.",
            mandatory = True,
        ),
        "link_flags": attr.string_list(),
        "link_libs": attr.string_list(),
        "loader": attr.string(mandatory = True),
        "runtime_library_directories": attr.string_list(),
        "static_link_libs": attr.string_list(
            doc = "Instead of link_libs with the feature static_link_cpp_runtimes.",
        ),
        "target_libc": attr.string(mandatory = True),
        "target_system_name": attr.string(mandatory = True),
        "tool_paths": attr.string_dict(mandatory = True),
        "toolchain_identifier": attr.string(mandatory = True),
        "validate_static_library": attr.label(
            cfg = "exec",
            executable = True,
            mandatory = True,
        ),
    },
    provides = [CcToolchainConfigInfo],
)
