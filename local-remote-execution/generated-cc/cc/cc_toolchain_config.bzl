# How the compiler is called: features and flags of the C++ toolchain.
# Written by `lre generate` from manifest sha256:35ce5d7a405989d4e7c3a04929347589d07d6a91cf3a420f812cd47bc69e1f6a
# of lre-cc: edits are lost.

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load(
    "@rules_cc//cc:cc_toolchain_config_lib.bzl",
    "action_config",
    "feature",
    "flag_group",
    "flag_set",
    "tool",
    "tool_path",
    "with_feature_set",
)
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/toolchains:cc_toolchain_config_info.bzl", "CcToolchainConfigInfo")

_CXX = [
    ACTION_NAMES.linkstamp_compile,
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.cpp_header_parsing,
    ACTION_NAMES.cpp_module_compile,
    ACTION_NAMES.cpp_module_codegen,
]

_PREPROCESSING = _CXX + [
    ACTION_NAMES.c_compile,
    ACTION_NAMES.preprocess_assemble,
]

_COMPILE = _PREPROCESSING + [
    ACTION_NAMES.assemble,
    ACTION_NAMES.lto_backend,
]

_LINK_LIBRARY = [
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

_LINK = [ACTION_NAMES.cpp_link_executable] + _LINK_LIBRARY

def _flags(actions, flags, with_features = []):
    """A list of one flag_set, or of none without flags, because Bazel refuses empty flag groups."""
    if not flags:
        return []
    return [flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)],
        with_features = with_features,
    )]

def _with(name):
    return [with_feature_set(features = [name])]

def _sanitizer(name, flags):
    return feature(
        name = name,
        flag_sets = _flags(_COMPILE, flags + ["-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]) +
                    _flags(_LINK, flags),
    )

def _loader_features(ctx):
    """Which dynamic loader and C library a program runs on; see the comment of each.

    None depends on where an action runs: the keys of local and remote builds must not differ.
    """
    store_flags = ["-Wl,--dynamic-linker=" + ctx.attr.loader] + [
        # RPATH, not RUNPATH: LD_LIBRARY_PATH must not replace the store's libraries, and the
        # libraries' own dependencies are found by it too.
        "-Wl,--disable-new-dtags",
    ] + ["-Wl,-rpath," + directory for directory in ctx.attr.runtime_library_directories]
    link = [ACTION_NAMES.cpp_link_executable]
    not_static = ["fully_static_link", "lre_host_loader"]
    return [
        # Programs that the build itself runs: lre.bazelrc switches it on for the exec configuration,
        # --features=lre_store_loader or a target's `features` for others.
        feature(
            name = "lre_store_loader",
            flag_sets = _flags(link, store_flags, [with_feature_set(not_features = not_static)]),
        ),
        # Tests run on the libc that they were linked against, not on that of the machine which runs
        # them. Bazel 7 says that a link is a test's by a link variable, newer ones by the feature.
        feature(
            name = "lre_test_loader",
            enabled = True,
            flag_sets = [
                flag_set(
                    actions = link,
                    flag_groups = [flag_group(flags = store_flags, expand_if_true = "is_cc_test")],
                    with_features = [with_feature_set(
                        features = ["legacy_is_cc_test"],
                        not_features = not_static + ["lre_store_loader"],
                    )],
                ),
            ] + _flags(link, store_flags, [with_feature_set(
                features = ["is_cc_test"],
                not_features = not_static + ["lre_store_loader"],
            )]),
        ),
        feature(name = "is_cc_test"),
        feature(name = "legacy_is_cc_test", enabled = True),
        # For a test that is meant to run on the machine's own libc.
        feature(name = "lre_host_loader"),
    ]

def _impl(ctx):
    features = [
        feature(
            name = "default_compile_flags",
            enabled = True,
            flag_sets = _flags(_COMPILE, [
                "-U_FORTIFY_SOURCE",
                "-fstack-protector",
                "-Wall",
                "-Wunused-but-set-parameter",
                "-Wno-free-nonheap-object",
                "-fno-omit-frame-pointer",
            ] + ctx.attr.compile_flags) +
            _flags(_COMPILE, ["-g"], _with("dbg")) +
            _flags(_COMPILE, [
                "-g0",
                "-O2",
                "-D_FORTIFY_SOURCE=1",
                "-DNDEBUG",
                "-ffunction-sections",
                "-fdata-sections",
            ], _with("opt")) +
            _flags(_CXX + [ACTION_NAMES.lto_backend], ["-std=c++17"] + ctx.attr.cxx_flags),
        ),
        feature(
            name = "default_link_flags",
            enabled = True,
            flag_sets = _flags(_LINK, [
                "-Wl,-z,relro,-z,now",
                "-Wl,--build-id=sha1",
                "-pass-exit-codes",
            ] + ctx.attr.link_flags) + _flags(_LINK, ["-Wl,--gc-sections"], _with("opt")),
        ),
        # The libraries come after the objects that need them, whatever flags a target adds.
        feature(
            name = "lre_link_libs",
            enabled = True,
            flag_sets = _flags(_LINK, ctx.attr.link_libs),
        ),
        # Last on the command line and not to be overridden: what would put the time or the place of a
        # build into its outputs.
        feature(
            name = "unfiltered_compile_flags",
            enabled = True,
            flag_sets = _flags(_COMPILE, [
                "-fno-canonical-system-headers",
                "-Wno-builtin-macro-redefined",
                "-D__DATE__=\"redacted\"",
                "-D__TIMESTAMP__=\"redacted\"",
                "-D__TIME__=\"redacted\"",
            ]),
        ),
        feature(
            name = "coverage",
            provides = ["profile"],
            flag_sets = _flags(_PREPROCESSING, ["--coverage"]) + _flags(_LINK, ["--coverage"]),
        ),
        feature(
            name = "treat_warnings_as_errors",
            flag_sets = _flags(_PREPROCESSING, ["-Werror"]) + _flags(_LINK, ["-Wl,--fatal-warnings"]),
        ),
        _sanitizer("asan", ["-fsanitize=address"]),
        _sanitizer("tsan", ["-fsanitize=thread"]),
        _sanitizer("ubsan", ["-fsanitize=undefined"]),
        feature(name = "archive_param_file", enabled = True),
        feature(name = "dbg"),
        feature(name = "gcc_quoting_for_param_files", enabled = True),
        feature(name = "opt"),
        feature(name = "supports_dynamic_linker", enabled = True),
        feature(name = "supports_pic", enabled = True),
    ] + _loader_features(ctx)

    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        abi_libc_version = ctx.attr.target_libc,
        abi_version = ctx.attr.compiler,
        action_configs = [
            action_config(
                action_name = ACTION_NAMES.objcopy_embed_data,
                tools = [tool(path = ctx.attr.tool_paths["objcopy"])],
            ),
            action_config(
                action_name = ACTION_NAMES.llvm_cov,
                tools = [tool(path = ctx.attr.tool_paths["llvm-cov"])],
            ),
        ],
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
        "link_flags": attr.string_list(),
        "link_libs": attr.string_list(),
        "loader": attr.string(mandatory = True),
        "runtime_library_directories": attr.string_list(),
        "target_libc": attr.string(mandatory = True),
        "target_system_name": attr.string(mandatory = True),
        "tool_paths": attr.string_dict(mandatory = True),
        "toolchain_identifier": attr.string(mandatory = True),
    },
    provides = [CcToolchainConfigInfo],
)
