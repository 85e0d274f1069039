# Flags of the C++ toolchains, by feature.
# Written by `lre generate` from manifest sha256:6aec1a867cd8dbddea9106c9aaccd4a71a5e690e15e00a561a5a714721a7b8f4
# of lre-cc: edits are lost.

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load(
    "@rules_cc//cc:cc_toolchain_config_lib.bzl",
    "feature",
    "feature_set",
    "flag_group",
    "flag_set",
    "variable_with_value",
    "with_feature_set",
)

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

_SOURCES = [
    ACTION_NAMES.c_compile,
    ACTION_NAMES.cpp_compile,
]

# What layering_check looks at.
_MODULAR = _SOURCES + [
    ACTION_NAMES.cpp_header_parsing,
    ACTION_NAMES.cpp_module_compile,
]

_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

_LTO_INDEX = [
    ACTION_NAMES.lto_index_for_executable,
    ACTION_NAMES.lto_index_for_dynamic_library,
    ACTION_NAMES.lto_index_for_nodeps_dynamic_library,
]

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

def _without(name):
    return [with_feature_set(not_features = [name])]

def _available(name, actions, variable, flags, enabled = True):
    """A feature whose flags stand only in commands that have the variable."""
    return feature(
        name = name,
        enabled = enabled,
        flag_sets = [flag_set(
            actions = actions,
            flag_groups = [flag_group(flags = flags, expand_if_available = variable)],
        )],
    )

def _each(name, actions, variable, flags, enabled = True):
    """A feature with flags for each element of the variable."""
    return feature(
        name = name,
        enabled = enabled,
        flag_sets = [flag_set(
            actions = actions,
            flag_groups = [flag_group(
                flags = flags,
                expand_if_available = variable,
                iterate_over = variable,
            )],
        )],
    )

def _sanitizer(name, flag, clang, compile_flags = []):
    # The driver for C links everything, so clang has to be told of C++.
    return feature(
        name = name,
        flag_sets = _flags(
            _COMPILE,
            ["-fno-omit-frame-pointer", "-fno-sanitize-recover=all", flag] + compile_flags,
        ) + _flags(_LINK, [flag] + (["-fsanitize-link-c++-runtime"] if clang else [])),
    )

def mode_features(ctx):
    """What Bazel or a user asks about the toolchain or switches, with at most a flag or two."""
    clang = ctx.attr.compiler == "clang"
    features = [
        feature(name = "archive_param_file", enabled = True),
        feature(name = "dbg"),
        feature(name = "fastbuild"),
        feature(name = "gcc_quoting_for_param_files", enabled = True),
        feature(name = "no_dotd_file"),
        feature(name = "opt"),
        feature(name = "parse_headers"),
        feature(name = "parse_headers_as_c"),
        feature(name = "prefer_pic_for_opt_binaries"),
        feature(name = "skip_virtual_includes"),
        feature(name = "static_link_cpp_runtimes"),
        feature(name = "supports_dynamic_linker", enabled = True),
        feature(name = "supports_pic", enabled = True),
    ] + _coverage(clang, ctx.attr.builtin_sysroot.rpartition("/")[0])
    if clang:
        # lld knows them; GNU ld does not.
        features.append(feature(name = "supports_start_end_lib", enabled = True))
        features += _module_maps() + [
            feature(name = "no_use_lto_indexing_bitcode_file"),
            feature(name = "use_lto_native_object_directory"),
            _thin_lto(),
            feature(name = "trace", provides = ["trace"]),
            feature(
                name = "clang_trace",
                enabled = True,
                flag_sets = _flags(_SOURCES, ["-ftime-trace"]),
                requires = [feature_set(features = ["trace"])],
            ),
        ]
    return features

def _coverage(clang, store):
    # gcov's format, unless --experimental_use_llvm_covmap asks for LLVM's own. Bazel leaves headers in
    # /usr out of reports; those of the store are not even counted.
    counters = _without("llvm_coverage_map_format")
    features = [
        feature(
            name = "coverage",
            provides = ["profile"],
            flag_sets = _flags(_PREPROCESSING, [
                            "--coverage",
                            "-fprofile-exclude-files=^%s/" % store,
                        ], counters) +
                        _flags(_LINK + _LTO_INDEX, ["--coverage"], counters),
        ),
        feature(
            name = "gcc_coverage_map_format",
            requires = [feature_set(features = ["coverage"])],
        ),
    ]
    if clang:
        features.append(feature(
            name = "llvm_coverage_map_format",
            flag_sets = _flags(_PREPROCESSING, [
                            "-fprofile-instr-generate",
                            "-fcoverage-mapping",
                        ]) +
                        _flags(_LINK + _LTO_INDEX, ["-fprofile-instr-generate"]),
            requires = [feature_set(features = ["coverage"])],
        ))
    return features

def _module_maps():
    return [
        feature(name = "module_maps", enabled = True),
        feature(
            name = "use_module_maps",
            flag_sets = _flags(_MODULAR, [
                "-fmodule-name=%{module_name}",
                "-fmodule-map-file=%{module_map_file}",
                "-Xclang",
                "-fno-cxx-modules",
            ]),
            requires = [feature_set(features = ["module_maps"])],
        ),
        feature(
            name = "layering_check",
            implies = ["use_module_maps"],
            flag_sets = [flag_set(
                actions = _MODULAR,
                flag_groups = [
                    flag_group(flags = ["-fmodules-strict-decluse", "-Wprivate-header"]),
                    flag_group(
                        flags = ["-fmodule-map-file=%{dependent_module_map_files}"],
                        iterate_over = "dependent_module_map_files",
                    ),
                ],
            )],
        ),
    ]

def _thin_lto():
    return feature(
        name = "thin_lto",
        flag_sets = [
            flag_set(
                actions = _SOURCES + _LINK + _LTO_INDEX,
                flag_groups = [
                    flag_group(flags = ["-flto=thin"]),
                    flag_group(
                        flags = ["-Xclang", "-fthin-link-bitcode=%{lto_indexing_bitcode_file}"],
                        expand_if_available = "lto_indexing_bitcode_file",
                    ),
                ],
            ),
            # lld's own names of the options.
            flag_set(
                actions = _LTO_INDEX,
                flag_groups = [
                    flag_group(flags = [
                        "-flto=thin",
                        "-Wl,--thinlto-index-only%{thinlto_optional_params_file}",
                        "-Wl,--thinlto-emit-imports-files",
                        "-Wl,--thinlto-prefix-replace=%{thinlto_prefix_replace}",
                    ]),
                    flag_group(
                        flags = ["-Wl,--thinlto-object-suffix-replace=%{thinlto_object_suffix_replace}"],
                        expand_if_available = "thinlto_object_suffix_replace",
                    ),
                    flag_group(
                        flags = ["-Wl,--lto-obj-path=%{thinlto_merged_object_file}"],
                        expand_if_available = "thinlto_merged_object_file",
                    ),
                ],
            ),
        ] + _flags([ACTION_NAMES.linkstamp_compile], ["-DBUILD_LTO_TYPE=thin"]) +
        _flags([ACTION_NAMES.lto_backend], [
            "-c",
            "-fthinlto-index=%{thinlto_index}",
            "-o",
            "%{thinlto_output_object_file}",
            "-x",
            "ir",
            "%{thinlto_input_bitcode_file}",
        ]),
    )

_WARNINGS = {
    "clang": [
        "-Wthread-safety",
        "-Wself-assign",
        "-Wunused-but-set-parameter",
        "-Wno-free-nonheap-object",
        "-fcolor-diagnostics",
    ],
    "gcc": [
        "-Wunused-but-set-parameter",
        "-Wno-free-nonheap-object",
    ],
}

def compile_features(ctx):
    """Flags of compiles; the user's, the sysroot and the unfiltered ones come last."""
    clang = ctx.attr.compiler == "clang"
    features = [
        feature(
            name = "default_compile_flags",
            enabled = True,
            flag_sets = _flags(_COMPILE, ["-U_FORTIFY_SOURCE"], _without("thin_lto")) +
                        _flags(
                            _COMPILE,
                            ["-fstack-protector", "-Wall"] + _WARNINGS[ctx.attr.compiler] +
                            ["-fno-omit-frame-pointer"] +
                            # For -flto: ar, without GCC's plugin, finds no symbols in what holds nothing else.
                            ([] if clang else ["-ffat-lto-objects"]) + ctx.attr.compile_flags,
                        ) +
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
        _available(
            "per_object_debug_info",
            _SOURCES + [
                ACTION_NAMES.assemble,
                ACTION_NAMES.preprocess_assemble,
                ACTION_NAMES.cpp_module_codegen,
                ACTION_NAMES.lto_backend,
            ],
            "per_object_debug_info_file",
            # The dwp of GNU binutils makes empty packages of DWARF 5.
            ["-gsplit-dwarf", "-g"] + ([] if clang else ["-gdwarf-4"]),
        ),
        _each(
            "external_include_paths",
            _PREPROCESSING,
            "external_include_paths",
            ["-isystem", "%{external_include_paths}"],
            enabled = False,
        ),
        _sanitizer("asan", "-fsanitize=address", clang, ["-fno-common"]),
        _sanitizer("lsan", "-fsanitize=leak", clang, ["-fno-common"]),
        _sanitizer("tsan", "-fsanitize=thread", clang),
        _sanitizer("ubsan", "-fsanitize=undefined", clang),
        # Functions that a profile knows nothing of are no reason to warn.
        feature(
            name = "fdo_optimize",
            provides = ["profile"],
            flag_sets = [flag_set(
                actions = _SOURCES,
                flag_groups = [flag_group(
                    flags = ["-fprofile-use=%{fdo_profile_path}"] + (
                        ["-Wno-profile-instr-unprofiled", "-Wno-profile-instr-out-of-date"] if clang else ["-fprofile-correction", "-Wno-missing-profile"]
                    ),
                    expand_if_available = "fdo_profile_path",
                )],
            )],
        ),
    ]
    if clang:
        features.append(_available(
            "serialized_diagnostics_file",
            _COMPILE,
            "serialized_diagnostics_file",
            ["--serialize-diagnostics", "%{serialized_diagnostics_file}"],
            enabled = False,
        ))
    return features + [
        _each("user_compile_flags", _COMPILE, "user_compile_flags", ["%{user_compile_flags}"]),
        _available("sysroot", _PREPROCESSING + [ACTION_NAMES.lto_backend] + _LINK + _LTO_INDEX, "sysroot", ["--sysroot=%{sysroot}"]),
        # Not to be overridden: what would put the time or the place of a build into its outputs.
        feature(
            name = "unfiltered_compile_flags",
            enabled = True,
            flag_sets = _flags(_COMPILE, ([] if clang else ["-fno-canonical-system-headers"]) + [
                "-Wno-builtin-macro-redefined",
                "-D__DATE__=\"redacted\"",
                "-D__TIMESTAMP__=\"redacted\"",
                "-D__TIME__=\"redacted\"",
            ]),
        ),
    ]

def last_features(ctx):
    """What stands behind the flags of compiles and of links."""
    header = ["-S", "-include", "%{source_file}", ctx.attr.empty_source]
    return [
        feature(
            name = "treat_warnings_as_errors",
            flag_sets = _flags(_SOURCES, ["-Werror"]) + _flags(_LINK, ["-Wl,-fatal-warnings"]),
        ),
        feature(
            name = "compiler_input_flags",
            enabled = True,
            flag_sets = [
                _input([action for action in _COMPILE if action != ACTION_NAMES.cpp_header_parsing], ["-c", "%{source_file}"]),
                # An empty source that includes the header: a compiler that is given a header makes a
                # precompiled one, many megabytes that nobody wants, or with -fsyntax-only no output.
                _input([ACTION_NAMES.cpp_header_parsing], ["-x", "c++"] + header, _without("parse_headers_as_c")),
                _input([ACTION_NAMES.cpp_header_parsing], ["-x", "c"] + header, _with("parse_headers_as_c")),
            ],
        ),
    ]

def _input(actions, flags, with_features = []):
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags, expand_if_available = "source_file")],
        with_features = with_features,
    )

def link_features(ctx):
    """Flags of links: defaults, what is linked, the user's, the libraries of the language."""
    clang = ctx.attr.compiler == "clang"
    features = [
        _available(
            "generate_linkmap",
            _LINK[:1],
            "output_execpath",
            ["-Wl,-Map=%{output_execpath}.map"],
            enabled = False,
        ),
        # The same with and without static_link_cpp_runtimes: no loader knows Bazel's $EXEC_ORIGIN.
        _each(
            "runtime_library_search_directories",
            _LINK + _LTO_INDEX,
            "runtime_library_search_directories",
            ["-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/%{runtime_library_search_directories}"],
            enabled = False,
        ),
        feature(
            name = "default_link_flags",
            enabled = True,
            flag_sets = _flags(
                _LINK + _LTO_INDEX,
                ["-Wl,-no-as-needed", "-Wl,-z,relro,-z,now", "-Wl,--build-id=sha1"] +
                (["-fuse-ld=lld"] if clang else ["-pass-exit-codes"]) + ctx.attr.link_flags,
            ) + _flags(_LINK + _LTO_INDEX, ["-Wl,--gc-sections"], _with("opt")),
        ),
        _libraries_to_link(),
        _each("user_link_flags", _LINK + _LTO_INDEX, "user_link_flags", ["%{user_link_flags}"], enabled = False),
        feature(
            name = "default_link_libs",
            enabled = True,
            flag_sets = _flags(_LINK + _LTO_INDEX, _as_needed(ctx.attr.link_libs), _without("static_link_cpp_runtimes")) +
                        _flags(_LINK + _LTO_INDEX, ctx.attr.static_link_libs, _with("static_link_cpp_runtimes")),
        ),
        feature(
            name = "static_libgcc",
            enabled = True,
            flag_sets = _flags(_LINK + _LTO_INDEX, ["-static-libgcc"], _with("static_link_cpp_runtimes")),
        ),
        _available(
            "set_soname",
            _LINK[1:],
            "runtime_solib_name",
            ["-Wl,-soname,%{runtime_solib_name}"],
            enabled = False,
        ),
    ]
    if not clang:
        # GNU ld makes no index for gdb.
        features.append(feature(name = "fission_support"))
    return features + _loader_features(ctx)

def _as_needed(libraries):
    """Without those that nothing needs: a program in C has no use for the library of C++."""
    flags = []
    for library in libraries:
        flags += ["-Wl,--push-state,-as-needed", library, "-Wl,--pop-state"] if library.startswith("-l") else [library]
    return flags

def _library(type, flags, iterate_over = None):
    return flag_group(
        flags = flags,
        expand_if_equal = variable_with_value(name = "libraries_to_link.type", value = type),
        iterate_over = iterate_over,
    )

def _whole_archive(flag):
    return flag_group(
        flags = [flag],
        expand_if_equal = variable_with_value(name = "libraries_to_link.type", value = "static_library"),
        expand_if_true = "libraries_to_link.is_whole_archive",
    )

def _object_group(flag):
    return flag_group(
        flags = [flag],
        expand_if_equal = variable_with_value(name = "libraries_to_link.type", value = "object_file_group"),
        expand_if_false = "libraries_to_link.is_whole_archive",
    )

def _libraries_to_link():
    name = "%{libraries_to_link.name}"
    libraries = [
        _whole_archive("-Wl,-whole-archive"),
        _library("object_file_group", ["%{libraries_to_link.object_files}"], "libraries_to_link.object_files"),
        _library("object_file", [name]),
        _library("interface_library", [name]),
        _library("static_library", [name]),
        _library("dynamic_library", ["-l" + name]),
        _library("versioned_dynamic_library", ["-l:" + name]),
        _whole_archive("-Wl,-no-whole-archive"),
    ]

    def groups(members):
        return [
            flag_group(
                expand_if_available = "libraries_to_link",
                flag_groups = members,
                iterate_over = "libraries_to_link",
            ),
            flag_group(
                flags = ["-Wl,@%{thinlto_param_file}"],
                expand_if_true = "thinlto_param_file",
            ),
        ]

    return feature(
        name = "libraries_to_link",
        flag_sets = [
            flag_set(
                actions = _LINK[:2] + _LTO_INDEX,
                flag_groups = groups([_object_group("-Wl,--start-lib")] + libraries + [_object_group("-Wl,--end-lib")]),
            ),
            # A library without what it depends on has all its objects, needed or not.
            flag_set(
                actions = _LINK[2:],
                flag_groups = groups(libraries),
            ),
        ],
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
