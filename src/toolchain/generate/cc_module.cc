// The C++ toolchains of the Bazel module: the compiler of the manifest (generated-cc) and clang
// (generated-clang), which share the .bzl files of the first. Two of clang: with GCC's C++ library
// and with its own.
#include <algorithm>
#include <iterator>
#include <set>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kModule = "local-remote-execution/";

// One cc_toolchain: a compiler with a C++ library.
struct Variant {
  const Manifest& manifest;
  std::string suffix;  // of target names: "", "-libcxx"
  std::vector<std::string> cxx_flags, link_libs, static_link_libs;
};

std::vector<Variant> Variants(const Manifest& manifest) {
  const CcFacts& cc = *manifest.cc;
  std::vector<std::string> archives = cc.link_libs;
  std::ranges::replace(archives, "-lstdc++", "-l:libstdc++.a");
  std::vector<Variant> variants = {{manifest, "", cc.cxx_flags, cc.link_libs, archives}};
  if (cc.libcxx) {
    std::vector<std::string> flags = cc.libcxx->compile_flags;
    flags.insert(flags.end(), cc.cxx_flags.begin(), cc.cxx_flags.end());
    variants.push_back(
        {manifest, "-libcxx", std::move(flags), cc.libcxx->link_libs, cc.libcxx->link_libs});
  }
  return variants;
}

bool StartsWithPath(std::string_view text, std::string_view path) {
  return text.starts_with(path) && (text.size() == path.size() || text[path.size()] == '/');
}

// What no compile or link runs: another one of these re-keys none.
bool RunsInCompiles(std::string_view tool) {
  constexpr std::string_view kOthers[] = {"bash",     "dwp",           "false",          "gcov",
                                          "llvm-cov", "llvm-profdata", "llvm-symbolizer"};
  return std::ranges::find(kOthers, tool) == std::end(kOthers);
}

// Where headers may come from without being inputs: the compiler's own and those of other store
// paths. Bazel checks dependencies against it; it is in no command.
std::vector<std::string> IncludeDirectories(const GenerateInput& input, const Manifest& manifest) {
  std::vector<std::string> directories = manifest.cc->builtin_includes;
  if (const Manifest* python = PythonOf(input, manifest.Target())) {
    const auto& more = python->python->include_dirs;
    directories.insert(directories.end(), more.begin(), more.end());
  }
  return directories;
}

// The tool paths that Bazel asks for, by Bazel's names; a tool the toolchain lacks fails when
// called.
std::map<std::string, std::string> ToolPaths(const GenerateInput& input, const CcFacts& cc) {
  std::vector<std::pair<std::string_view, std::string_view>> tools = {{"gcc", cc.compiler}};
  for (std::string_view name : {"ar", "cpp", "dwp", "gcov", "ld", "llvm-cov", "nm", "objcopy",
                                "objdump", "strip", "c++filt"})
    tools.emplace_back(name, name);
  if (cc.tools.contains("llvm-profdata")) tools.emplace_back("llvm-profdata", "llvm-profdata");
  std::map<std::string, std::string> paths;
  for (const auto& [bazel, ours] : tools) {
    auto found = cc.tools.find(std::string(ours));
    paths[std::string(bazel)] = found != cc.tools.end() ? found->second : FailingTool(input);
  }
  return paths;
}

std::string ToolchainTargets(const GenerateInput& input, const Variant& variant) {
  const CcFacts& cc = *variant.manifest.cc;
  return fmt::format(
      R"(
lre_cc_toolchain_config(
    name = "config{suffix}",
    builtin_include_directories = {builtin_includes},
    builtin_sysroot = {sysroot},
    compile_flags = {compile_flags},
    compiler = {compiler},
    cpu = {cpu},
    cxx_flags = {cxx_flags},
    empty_source = {empty},
    link_flags = {link_flags},
    link_libs = {link_libs},
    loader = {loader},
    runtime_library_directories = {library_paths},
    static_link_libs = {static_link_libs},
    target_libc = {libc},
    target_system_name = {target},
    tool_paths = {tool_paths},
    toolchain_identifier = {identifier},
    validate_static_library = ":validate_static_library",
)

cc_toolchain(
    name = "cc{suffix}",
    all_files = ":all_files",
    ar_files = ":toolchain.json",
    as_files = ":toolchain.json",
    compiler_files = ":toolchain.json",
    dwp_files = ":empty",
    dynamic_runtime_lib = ":empty",
    linker_files = ":toolchain.json",
{module_map}    objcopy_files = ":empty",
    static_runtime_lib = ":empty",
    strip_files = ":empty",
    supports_header_parsing = True,
    supports_param_files = True,
    toolchain_config = ":config{suffix}",
    toolchain_identifier = {identifier},
)
)",
      fmt::arg("suffix", variant.suffix),
      fmt::arg("builtin_includes", StarlarkList(IncludeDirectories(input, variant.manifest), 4)),
      fmt::arg("sysroot", StarlarkString(cc.sysroot)),
      fmt::arg("compile_flags", StarlarkList(cc.compile_flags, 4)),
      fmt::arg("compiler", StarlarkString(cc.compiler)),
      fmt::arg("cpu", StarlarkString(CpuOf(variant.manifest.Target()))),
      fmt::arg("cxx_flags", StarlarkList(variant.cxx_flags, 4)),
      fmt::arg("empty", StarlarkString(cc.sysroot + "/usr/include/stdc-predef.h")),
      fmt::arg("link_flags", StarlarkList(cc.link_flags, 4)),
      fmt::arg("link_libs", StarlarkList(variant.link_libs, 4)),
      fmt::arg("static_link_libs", StarlarkList(variant.static_link_libs, 4)),
      fmt::arg("loader", StarlarkString(cc.loader)),
      fmt::arg("library_paths", StarlarkList(cc.library_paths, 4)),
      fmt::arg("libc", StarlarkString(cc.libc)), fmt::arg("target", StarlarkString(cc.target)),
      fmt::arg("tool_paths", StarlarkDict(ToolPaths(input, cc), 4)),
      fmt::arg("module_map",
               cc.compiler == "clang" ? "    module_map = \":module.modulemap\",\n" : ""),
      fmt::arg("identifier", StarlarkString(fmt::format("{}-{}-{}{}", variant.manifest.name,
                                                        cc.compiler, cc.version, variant.suffix))));
}

std::string Tool(const GenerateInput& input, const CcFacts& cc, const std::string& name) {
  auto found = cc.tools.find(name);
  return found != cc.tools.end() ? found->second : FailingTool(input);
}

std::string Build(const GenerateInput& input, const Manifest& manifest, std::string_view bzl) {
  std::string out =
      FileHead(manifest, "#", "The compiler, by absolute paths in the store.") +
      fmt::format(R"(
load("{bzl}:cc_toolchain_config.bzl", "lre_cc_toolchain_config")
load("{bzl}:validate_static_library.bzl", "lre_validate_static_library")
load("@rules_cc//cc/toolchains:cc_toolchain.bzl", "cc_toolchain")

package(default_visibility = ["//visibility:public"])

filegroup(name = "empty")

# The tools are no inputs: their paths in the command line say which they are. The marker, the store
# paths with their digests, is one, so that two toolchains at the same paths would not share results.
filegroup(
    name = "all_files",
    srcs = [
        "toolchain.json",
        ":validate_static_library",
    ],
)

lre_validate_static_library(
    name = "validate_static_library",
    cxxfilt = {cxxfilt},
    nm = {nm},
    shell = {shell},
)
)",
                  fmt::arg("bzl", bzl),
                  fmt::arg("cxxfilt", StarlarkString(Tool(input, *manifest.cc, "c++filt"))),
                  fmt::arg("nm", StarlarkString(Tool(input, *manifest.cc, "nm"))),
                  fmt::arg("shell", StarlarkString(input.shell)));
  for (const Variant& variant : Variants(manifest)) out += ToolchainTargets(input, variant);
  return out;
}

// The part of the manifest that compiling depends on, and nothing else: it is an input of every
// compile.
std::string Marker(const Manifest& manifest) {
  std::string out = "{\n  \"paths\": [";
  std::string_view separator = "\n";
  for (const StorePath* path : CcClosure(manifest)) {
    out += fmt::format("{}    {{\"path\": \"{}\", \"tree\": \"{}\"}}", separator, path->path,
                       path->tree);
    separator = ",\n";
  }
  return out + "\n  ]\n}\n";
}

// Says that every header of the store may be used by whoever likes: layering_check wants each
// header to be some module's.
std::string ModuleMap(const GenerateInput& input, const Manifest& manifest) {
  std::string out = "module \"crosstool\" [system] {\n";
  std::vector<std::string> directories = IncludeDirectories(input, manifest);
  std::ranges::sort(directories);
  directories.erase(std::unique(directories.begin(), directories.end()), directories.end());
  for (size_t i = 0; i < directories.size(); ++i)
    out += fmt::format("  module \"{}\" {{\n    umbrella \"{}\"\n  }}\n", i, directories[i]);
  return out + "}\n";
}

std::string ValidateText(const GenerateInput& input) {
  return FileHead(input, "#", "What cc_static_library checks its archives with.") + R"bzl(
def _impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        """#!%s
# ARCHIVE OUTPUT: fails when two objects of the archive define the same symbol.
set -euo pipefail
export LC_ALL=C
twice=$("%s" -A -g -P "$1" | awk '
  $3 ~ /^[A-TX-Z]$/ { count[$2]++; where[$2] = where[$2] " " $1 }
  END { for (symbol in count) if (count[symbol] > 1) print symbol " in" where[symbol] }
' | sort | "%s")
if [ -n "$twice" ]; then
  printf 'symbols that more than one object of %%s defines:\\n%%s\\n' "$1" "$twice" >&2
  exit 1
fi
: >"$2"
""" % (ctx.attr.shell, ctx.attr.nm, ctx.attr.cxxfilt),
        is_executable = True,
    )
    return [DefaultInfo(
        executable = script,
        files = depset([script]),
    )]

lre_validate_static_library = rule(
    implementation = _impl,
    attrs = {
        "cxxfilt": attr.string(mandatory = True),
        "nm": attr.string(mandatory = True),
        "shell": attr.string(mandatory = True),
    },
    executable = True,
)
)bzl";
}

std::string ClangConfigBuild(const GenerateInput& input) {
  std::string out =
      FileHead(*input.clang, "#", "clang, for --extra_toolchains.") + std::string(kPublicPackage);
  for (const Variant& variant : Variants(*input.clang)) {
    out += "\n" + Registration({.name = "cc-toolchain" + variant.suffix,
                                .exec = LreOn(input.cpu),
                                .target = LinuxOn(input.cpu),
                                .label = "//generated-clang/cc:cc" + variant.suffix,
                                .type = std::string(kCcToolchainType)});
  }
  return out;
}

}  // namespace

std::vector<const StorePath*> CcClosure(const Manifest& manifest) {
  std::set<std::string> needed;
  const CcFacts& cc = *manifest.cc;
  std::vector<std::string> named = {cc.sysroot, cc.loader};
  for (const auto& [name, tool] : cc.tools)
    if (RunsInCompiles(name)) named.push_back(tool);
  for (const auto* list : {&cc.builtin_includes, &cc.library_paths}) {
    named.insert(named.end(), list->begin(), list->end());
  }
  for (const StorePath& path : manifest.paths) {
    if (std::ranges::any_of(named,
                            [&](const std::string& n) { return StartsWithPath(n, path.path); })) {
      needed.insert(path.path);
    }
  }
  // References come before referrers: one pass from the end sees every referrer first.
  std::vector<const StorePath*> closure;
  for (auto path = manifest.paths.rbegin(); path != manifest.paths.rend(); ++path) {
    if (!needed.contains(path->path)) continue;
    needed.insert(path->references.begin(), path->references.end());
    closure.push_back(&*path);
  }
  std::ranges::reverse(closure);
  return closure;
}

std::string FailingTool(const GenerateInput& input) { return input.base + "/usr/bin/false"; }

std::vector<GeneratedFile> CcPackage(const GenerateInput& input, const Manifest& manifest,
                                     const std::string& folder) {
  // The first has the .bzl files of all.
  const std::string first = std::string(kModule) + "generated-cc/cc";
  const std::string_view bzl = folder == first ? "" : "//generated-cc/cc";
  std::vector<GeneratedFile> files = {{folder + "/BUILD.bazel", Build(input, manifest, bzl)},
                                      {folder + "/toolchain.json", Marker(manifest)}};
  if (manifest.cc->compiler == "clang")
    files.push_back({folder + "/module.modulemap", ModuleMap(input, manifest)});
  return files;
}

std::vector<GeneratedFile> CcModule(const GenerateInput& input) {
  const std::string module(kModule), cc = module + "generated-cc/cc/";
  std::vector<GeneratedFile> files = {
      {cc + "cc_features.bzl",
       FileHead(input, "#", "Flags of the C++ toolchains, by feature.") + CcFeaturesText()},
      {cc + "cc_toolchain_config.bzl",
       FileHead(input, "#", "How the compiler is called: the rule of the C++ toolchains.") +
           std::string(CcToolchainConfigText())},
      {cc + "validate_static_library.bzl", ValidateText(input)},
  };
  std::ranges::move(CcPackage(input, input.manifest, module + "generated-cc/cc"),
                    std::back_inserter(files));
  if (input.clang == nullptr) return files;
  const std::string clang = module + "generated-clang/";
  files.push_back({module + input.clang->name + ".json", PrintManifest(*input.clang)});
  std::ranges::move(CcPackage(input, *input.clang, clang + "cc"), std::back_inserter(files));
  files.push_back({clang + "config/BUILD.bazel", ClangConfigBuild(input)});
  return files;
}

}  // namespace lre::toolchain
