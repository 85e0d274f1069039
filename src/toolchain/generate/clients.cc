// Files for clients other than Bazel: CMake, recc, direnv.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

// set(NAME value) for a tool that the toolchain has.
std::string CmakeTool(const CcFacts& cc, std::string_view variable, const std::string& tool) {
  auto found = cc.tools.find(tool);
  if (found == cc.tools.end()) return "";
  return fmt::format("set({} \"{}\")\n", variable, found->second);
}

// CMake has no rules for Go and Rust: their programs, for add_custom_command.
std::string OtherLanguages(const GenerateInput& input) {
  std::string out;
  if (input.go != nullptr) out += fmt::format("set(LRE_GO \"{}\")\n", input.go->go->go);
  if (input.rust != nullptr) out += fmt::format("set(LRE_RUSTC \"{}\")\n", input.rust->rust->rustc);
  return out.empty() ? out : "\n# Other languages, for add_custom_command.\n" + out;
}

}  // namespace

std::string CmakeToolchain(const GenerateInput& input, const Manifest& manifest) {
  const CcFacts& cc = *manifest.cc;
  const bool clang = cc.compiler == "clang";
  std::string out = FileHead(manifest, "#",
                             fmt::format("CMake toolchain file: cmake --toolchain {}.cmake ...",
                                         &manifest == &input.manifest ? "lre" : manifest.name));
  out += fmt::format("\nset(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR {})\n", input.cpu);
  out += CmakeTool(cc, "CMAKE_C_COMPILER", clang ? "clang" : "gcc");
  out += CmakeTool(cc, "CMAKE_CXX_COMPILER", clang ? "clang++" : "g++");
  out += CmakeTool(cc, "CMAKE_AR", "ar");
  out += CmakeTool(cc, "CMAKE_LINKER", "ld");
  out += CmakeTool(cc, "CMAKE_NM", "nm");
  out += CmakeTool(cc, "CMAKE_OBJCOPY", "objcopy");
  out += CmakeTool(cc, "CMAKE_OBJDUMP", "objdump");
  out += CmakeTool(cc, "CMAKE_RANLIB", "ranlib");
  out += CmakeTool(cc, "CMAKE_STRIP", "strip");
  out += fmt::format("set(CMAKE_SYSROOT \"{}\")\n", cc.sysroot);
  out += OtherLanguages(input);
  out +=
      "\n# Headers and libraries come from the sysroot, never from this machine; programs may.\n"
      "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)\n"
      "set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)\n"
      "set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)\n"
      "set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)\n"
      "\n# The place of the build must not enter its outputs.\n"
      "string(APPEND CMAKE_C_FLAGS_INIT \" -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=\")\n"
      "string(APPEND CMAKE_CXX_FLAGS_INIT \" -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=\")\n"
      "\n# With recc on PATH: cmake -DLRE_RECC=ON builds through the farm that recc.conf names.\n"
      "option(LRE_RECC \"Compile through recc\" OFF)\n"
      "if(LRE_RECC)\n"
      "  set(CMAKE_C_COMPILER_LAUNCHER recc)\n"
      "  set(CMAKE_CXX_COMPILER_LAUNCHER recc)\n"
      "endif()\n";
  return out;
}

std::string ReccConf(const GenerateInput& input, const GenerateOptions& options) {
  return FileHead(input, "#",
                  "recc: keep as recc/recc.conf in the project, or name its folder in "
                  "RECC_CONFIG_DIRECTORY.") +
         fmt::format(
             "\nserver=http://{executor}\ncas_server=http://{cache}\naction_cache_server=http://"
             "{cache}\n"
             "instance={instance}\n\n"
             "# The worker's system; no store path stands here: the compiler's path in the command "
             "names them.\n"
             "{isa}remote_platform_OSFamily=linux\n\n"
             "# deps_global_paths stays unset: headers of the store are on the worker, not "
             "uploaded.\n",
             fmt::arg("executor", options.executor_endpoint),
             fmt::arg("cache", options.cache_endpoint), fmt::arg("instance", options.instance_name),
             fmt::arg("isa", input.other_cpus.empty()
                                 ? ""
                                 : fmt::format("remote_platform_ISA={}\n", IsaOf(input.cpu))));
}

std::string Envrc(const GenerateInput& input) {
  return FileHead(input, "#",
                  "direnv: the toolchain's environment in this folder. `direnv allow` once.") +
         "\n# Prints and never downloads; says what to run when something is missing.\n"
         "eval \"$(lre env)\"\n";
}

}  // namespace lre::toolchain
