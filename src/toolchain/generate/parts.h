// The parts of Generate, one function per kind of file, and the facts they share. Internal to this
// folder. Pure functions over plain values, thread-safe. REQUIRES everywhere: a manifest that
// MakeGenerateInput accepted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "toolchain/generate/generate.h"

namespace lre::toolchain {

// A manifest that was checked, with what several files derive from it.
struct GenerateInput {
  const Manifest& manifest;  // outlives this
  const CcFacts& cc;         // of `manifest`
  std::string digest;        // ManifestDigest
  std::string cpu;           // the constraint in @platforms//cpu: "x86_64"
  std::string base;          // store path of the userland
  std::string shell;         // what runs shell actions: puts `base` first in PATH
  std::string path;          // PATH of tests
  // Of the further manifests: the one with a clang, the one with a JDK and its tools, and the one
  // with a Python.
  const Manifest* clang = nullptr;
  const Manifest* java = nullptr;
  const Manifest* python = nullptr;
  const Manifest* go = nullptr;
  const Manifest* rust = nullptr;
  // JDKs further to `java`: of the same system, for --java_runtime_version, and of others. Empty
  // without `java`.
  std::vector<const Manifest*> jdks;
  std::vector<const Manifest*> pythons;  // of other systems; empty without `python`
  std::vector<const Manifest*> own;      // further ones of IsOwn
  // Further ones with a compiler that run on another system or build for one, and the processors of
  // those systems.
  std::vector<const Manifest*> foreign;
  std::vector<std::string> other_cpus;
};
// kInvalidArgument names what the manifest lacks. What is in `further` outlives the input.
Result<GenerateInput> MakeGenerateInput(const Manifest& manifest,
                                        const std::vector<Manifest>& further = {});

// The comment that opens every generated file: who wrote it, from what. `mark` is "#" or "//".
std::string FileHead(const GenerateInput& input, std::string_view mark, std::string_view what);
// The same for a file that derives from another manifest.
std::string FileHead(const Manifest& manifest, std::string_view mark, std::string_view what);

// The attributes of a toolchain() in a BUILD file, formatted as buildifier does.
struct RegisteredToolchain {
  std::string name;
  // Constraints of what it runs on and of what it builds for. None: the line is absent.
  std::optional<std::vector<std::string>> exec, target;
  std::string label;  // the attribute `toolchain`
  std::string type;   // and toolchain_type
};
std::string Registration(const RegisteredToolchain& toolchain);
// Of RegisteredToolchain::type.
inline constexpr std::string_view kCcToolchainType = "@bazel_tools//tools/cpp:toolchain_type";
// After the head of a BUILD file that nothing is loaded into.
inline constexpr std::string_view kPublicPackage =
    "\npackage(default_visibility = [\"//visibility:public\"])\n";
// The constraints of any Linux on that processor, and of one that has LRE's store paths. `more`
// come last.
std::vector<std::string> LinuxOn(const std::string& cpu, const std::vector<std::string>& more = {});
std::vector<std::string> LreOn(const std::string& cpu, const std::vector<std::string>& more = {});
std::vector<std::string> WithConstraint(const std::string& first, std::vector<std::string> rest);
// Of a further manifest, below local-remote-execution.
std::string FolderOf(const Manifest& manifest);
// The end of a folder's name that several systems have: "-aarch64", empty for the first manifest's.
std::string Elsewhere(const GenerateInput& input, const Manifest& manifest);

// local-remote-execution/...
std::vector<GeneratedFile> BazelModule(const GenerateInput& input);
// `java` is input.java or one of input.jdks. The folder of either: "generated-java",
// "generated-java21", "generated-java-aarch64".
std::vector<GeneratedFile> JavaModule(const GenerateInput& input, const Manifest& java);
std::string JavaFolder(const GenerateInput& input, const Manifest& java);
// REQUIRES: input.java.
std::vector<GeneratedFile> JavaExamples(const GenerateInput& input);
// `python` is input.python or one of input.pythons. The folder of either: "generated-python",
// "generated-python-aarch64". The one for programs of a system, or null.
std::vector<GeneratedFile> PythonModule(const GenerateInput& input, const Manifest& python);
std::string PythonFolder(const GenerateInput& input, const Manifest& python);
const Manifest* PythonOf(const GenerateInput& input, const std::string& system);
// REQUIRES: input.python.
std::vector<GeneratedFile> PythonExamples(const GenerateInput& input);
// REQUIRES: input.go.
std::vector<GeneratedFile> GoModule(const GenerateInput& input);
// REQUIRES: input.rust.
std::vector<GeneratedFile> RustModule(const GenerateInput& input);
// generated-cc, but for its platform, and generated-clang.
std::vector<GeneratedFile> CcModule(const GenerateInput& input);
// The package `folder` with the C++ toolchain ":cc" of a further manifest.
std::vector<GeneratedFile> CcPackage(const GenerateInput& input, const Manifest& manifest,
                                     const std::string& folder);
// A toolchain of one's own (own_module.cc), a further one: whether it is one, and what it adds to
// the module. The tools that any manifest offers, the first one too; and what is registered of
// either.
bool IsOwn(const Manifest& manifest);
std::vector<GeneratedFile> OwnModule(const GenerateInput& input, const Manifest& manifest);
std::vector<GeneratedFile> ToolsModule(const GenerateInput& input, const Manifest& manifest);
std::vector<std::string> OwnToolchainLabels(const GenerateInput& input, const Manifest& manifest);
// cc_toolchain_config.bzl and cc_features.bzl without their heads.
std::string_view CcToolchainConfigText();
std::string CcFeaturesText();
std::string_view CcLinkFeaturesText();
// The rules for Go and Rust without their heads, and the Go program that the former run.
std::string_view GoRulesText();
std::string_view GoBuilderText();
std::string_view GoTestProgramText();
std::string_view RustRulesText();
// Compilers that run on another system or build for one (systems_module.cc): their packages, what
// of them is registered (with --config=clang another one), what is registered beside `platform`,
// and the configs of lre.bazelrc that run everything on another system.
std::vector<GeneratedFile> SystemsModule(const GenerateInput& input);
std::vector<std::string> SystemsToolchainLabels(const GenerateInput& input, bool clang);
std::string OtherPlatforms(const GenerateInput& input);
std::string SystemsConfigs(const GenerateInput& input, const GenerateOptions& options);
// The constraint in @platforms//cpu of a system that MakeGenerateInput accepted.
std::string CpuOf(std::string_view system);
// The value of the platform property ISA, by the REAPI's lexicon.
std::string IsaOf(std::string_view cpu);
// A program of the store that fails, for tools that a toolchain lacks.
std::string FailingTool(const GenerateInput& input);
// The store paths that compiling and linking depend on: in the order of the manifest.
std::vector<const StorePath*> CcClosure(const Manifest& manifest);

std::string Bazelrc(const GenerateInput& input, const GenerateOptions& options);
// The end of an example's BUILD file: a rule that runs its program hello_lre.
std::string_view SaidExample();

// For the compiler of `manifest`: that of the input or its clang.
std::string CmakeToolchain(const GenerateInput& input, const Manifest& manifest);
std::string ReccConf(const GenerateInput& input, const GenerateOptions& options);
std::string Envrc(const GenerateInput& input);

// Starlark literals. A string is quoted with " and escaped; a list or dictionary of more than one
// entry has one entry a line, `indent` spaces deep, as buildifier formats them.
std::string StarlarkString(std::string_view text);
std::string StarlarkList(const std::vector<std::string>& values, int indent);
std::string StarlarkDict(const std::map<std::string, std::string>& values, int indent);

}  // namespace lre::toolchain
