// The second half of cc_features.bzl: flags of links, and which C library a program runs on.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kText = R"bzl(
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
)bzl";

}  // namespace

std::string_view CcLinkFeaturesText() { return kText; }

}  // namespace lre::toolchain
