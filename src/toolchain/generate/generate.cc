#include "toolchain/generate/generate.h"

#include <algorithm>
#include <array>
#include <utility>

#include "digest/digest.h"
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

// A name that Bazel takes after "build:" and that needs no quoting in --config=.
bool IsConfigName(std::string_view name) {
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

Status CheckOptions(const GenerateOptions& options) {
  if (!IsConfigName(options.bazelrc_prefix)) {
    return ErrorStatus(
        Code::kInvalidArgument,
        "bazelrc prefix \"{}\": only letters, digits, '_' and '-' make the name of a "
        "Bazel config",
        options.bazelrc_prefix);
  }
  return {};
}

// Values go into quoted strings and shell-like files of six formats; a store path never needs more
// than this, and what does is no manifest that `lre sync` wrote.
Status CheckPlain(std::string_view what, std::string_view value) {
  for (char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '"' || c == '\'' || c == '\\' ||
        c == '$' || c == '`') {
      return ErrorStatus(Code::kInvalidArgument,
                         "manifest: {} \"{}\" holds a quote, '$', '\\' or control character", what,
                         value);
    }
  }
  return {};
}

Status CheckOwn(const Manifest& manifest) {
  for (const auto& [name, tool] : manifest.tools) {
    TRY(CheckPlain("tool name", name));
    TRY(CheckPlain("tool " + name, tool));
  }
  for (const auto* labels : {&manifest.exec_compatible_with, &manifest.target_compatible_with}) {
    for (const std::string& label : *labels) TRY(CheckPlain("constraint", label));
  }
  return {};
}

// REQUIRES: cc facts.
Status CheckCompiler(const Manifest& manifest) {
  const CcFacts& cc = *manifest.cc;
  TRY(CheckOwn(manifest));
  TRY(CheckPlain("name", manifest.name));
  for (const auto& [name, value] : manifest.env) {
    TRY(CheckPlain("env name", name));
    TRY(CheckPlain("env " + name, value));
  }
  for (const StorePath& path : manifest.paths) TRY(CheckPlain("store path", path.path));
  for (const auto& [name, tool] : cc.tools) TRY(CheckPlain("tool " + name, tool));
  for (const auto* list : {&cc.builtin_includes, &cc.compile_flags, &cc.cxx_flags, &cc.link_flags,
                           &cc.link_libs, &cc.library_paths}) {
    for (const std::string& value : *list) TRY(CheckPlain("flag or directory", value));
  }
  for (const std::string* value :
       {&cc.compiler, &cc.version, &cc.target, &cc.libc, &cc.sysroot, &cc.loader}) {
    TRY(CheckPlain("cc fact", *value));
  }
  if (cc.libcxx) {
    for (const auto* list : {&cc.libcxx->compile_flags, &cc.libcxx->link_libs})
      for (const std::string& value : *list) TRY(CheckPlain("flag of libc++", value));
  }
  if (cc.compiler != "gcc" && cc.compiler != "clang") {
    return ErrorStatus(Code::kInvalidArgument,
                       "manifest {}: no flags are known for the compiler \"{}\" (gcc, clang)",
                       manifest.name, cc.compiler);
  }
  for (const std::string& tool : {cc.compiler, std::string("ar"), std::string("ld")}) {
    if (cc.tools.contains(tool)) continue;
    return ErrorStatus(Code::kInvalidArgument, "manifest {}: cc.tools lacks \"{}\"", manifest.name,
                       tool);
  }
  return {};
}

Status CheckSystem(const Manifest& manifest) {
  for (const std::string& system : {manifest.system, manifest.Target()}) {
    if (!CpuOf(system).empty()) continue;
    return ErrorStatus(Code::kInvalidArgument,
                       "manifest {}: no Bazel platform is known for system \"{}\" (x86_64-linux, "
                       "aarch64-linux)",
                       manifest.name, system);
  }
  return {};
}

bool IsForeign(const Manifest& manifest, const Manifest& further) {
  return further.system != manifest.system || further.Target() != manifest.system;
}

// What one module holds must be in one store.
Status CheckFurther(const Manifest& manifest, const Manifest& further) {
  if (further.prefix != manifest.prefix) {
    return ErrorStatus(Code::kInvalidArgument,
                       "manifest {} is in {}, manifest {} in {}: one module cannot have both",
                       further.name, further.prefix, manifest.name, manifest.prefix);
  }
  TRY(CheckPlain("name", further.name));
  TRY(CheckSystem(further));
  if (further.cc &&
      (further.cc->compiler == "clang" || IsOwn(further) || IsForeign(manifest, further)))
    TRY(CheckCompiler(further));
  TRY(CheckOwn(further));
  if (further.python) {
    TRY(CheckPlain("python interpreter", further.python->interpreter));
    for (const std::string& directory : further.python->include_dirs)
      TRY(CheckPlain("python include directory", directory));
  }
  if (further.go) {
    for (const std::string* value : {&further.go->go, &further.go->root, &further.go->version,
                                     &further.go->os, &further.go->architecture})
      TRY(CheckPlain("go fact", *value));
  }
  if (further.rust) {
    for (const std::string* value : {&further.rust->rustc, &further.rust->version,
                                     &further.rust->target, &further.rust->shell})
      TRY(CheckPlain("rust fact", *value));
  }
  if (!further.java) return {};
  TRY(CheckPlain("java home", further.java->home));
  for (const auto& [name, tool] : further.java->tools) TRY(CheckPlain("java tool " + name, tool));
  if (further.java->tools.empty()) return {};
  for (const char* tool :
       {"GenClass", "Jacoco", "JavaBuilder", "Turbine", "cp", "ijar", "sh", "singlejar"}) {
    if (further.java->tools.contains(tool)) continue;
    return ErrorStatus(Code::kInvalidArgument, "manifest {}: java.tools lacks \"{}\"", further.name,
                       tool);
  }
  return {};
}

// Bazel tells JDKs of a system by their versions.
Status AddJdk(const Manifest& manifest, GenerateInput* input) {
  for (const Manifest* other : input->jdks) {
    if (other->system != manifest.system || other->java->major != manifest.java->major) continue;
    return ErrorStatus(Code::kInvalidArgument,
                       "manifests {} and {} both have a JDK {}: one module cannot have both",
                       other->name, manifest.name, manifest.java->major);
  }
  input->jdks.push_back(&manifest);
  return {};
}

// The first JDK of this system is the one that is meant when no version is said. What another
// system has is for projects that have it here, where the compilers run.
void ChooseJdk(GenerateInput* input) {
  const auto first = std::ranges::find(input->jdks, input->manifest.system, &Manifest::system);
  if (first == input->jdks.end()) {
    input->jdks.clear();
    return;
  }
  input->java = *first;
  input->jdks.erase(first);
}

Status AddForeign(const Manifest& foreign, GenerateInput* input) {
  for (const std::string& system : {foreign.system, foreign.Target()}) {
    const std::string cpu = CpuOf(system);
    if (cpu != input->cpu && std::ranges::find(input->other_cpus, cpu) == input->other_cpus.end())
      input->other_cpus.push_back(cpu);
  }
  // Go and Rust bring the C compiler that links for them, which is a toolchain of its own already.
  if (foreign.cc && !foreign.go && !foreign.rust) input->foreign.push_back(&foreign);
  // Where another system's programs run, not what runs here and knows that system.
  if (!foreign.target.empty()) return {};
  if (foreign.java && !foreign.java->tools.empty()) TRY(AddJdk(foreign, input));
  if (foreign.python) {
    std::erase_if(input->pythons, [&](const Manifest* p) { return p->system == foreign.system; });
    input->pythons.push_back(&foreign);
  }
  return {};
}

}  // namespace

std::string CpuOf(std::string_view system) {
  if (system == "x86_64-linux") return "x86_64";
  return system == "aarch64-linux" ? "aarch64" : "";
}

std::string IsaOf(std::string_view cpu) { return cpu == "aarch64" ? "arm-a64" : "x86-64"; }

std::string ManifestDigest(const Manifest& manifest) {
  return "sha256:" + ComputeDigest(DigestFunction::kSha256, PrintManifest(manifest)).Hex();
}

Result<GenerateInput> MakeGenerateInput(const Manifest& manifest,
                                        const std::vector<Manifest>& further) {
  if (!manifest.cc) {
    return Error(Code::kInvalidArgument, "manifest {}: no cc facts, so no C++ toolchain",
                 manifest.name);
  }
  const CcFacts& cc = *manifest.cc;
  TRY(CheckCompiler(manifest));
  const StorePath* base = manifest.Find("base");
  if (base == nullptr) {
    return Error(Code::kInvalidArgument,
                 "manifest {}: no store path with role \"base\", which holds the shell",
                 manifest.name);
  }
  TRY(CheckSystem(manifest));
  // The probe names the shell's launcher, which puts the userland first in PATH.
  auto shell = cc.tools.find("bash");
  GenerateInput input{
      .manifest = manifest,
      .cc = cc,
      .digest = ManifestDigest(manifest),
      .cpu = CpuOf(manifest.system),
      .base = base->path,
      .shell = shell != cc.tools.end() ? shell->second : base->path + "/usr/bin/bash",
      .path = base->path + "/usr/bin:/bin:/usr/bin",
  };
  for (const Manifest& other : further) {
    TRY(CheckFurther(manifest, other));
    if (IsForeign(manifest, other)) {
      TRY(AddForeign(other, &input));
      continue;
    }
    // One that extends another is registered beside it, whatever it has.
    if (IsOwn(other)) {
      input.own.push_back(&other);
      if (!other.extends.empty()) continue;
    }
    if (other.cc && other.cc->compiler == "clang") input.clang = &other;
    if (other.java && !other.java->tools.empty()) TRY(AddJdk(other, &input));
    if (other.python) input.python = &other;
    if (other.go && !other.go->packages.empty()) input.go = &other;
    if (other.rust && !other.rust->shell.empty()) input.rust = &other;
  }
  ChooseJdk(&input);
  if (input.python == nullptr) input.pythons.clear();
  return input;
}

namespace {
std::string Head(std::string_view mark, std::string_view what, std::string_view digest,
                 std::string_view name) {
  return fmt::format(
      "{0} {1}\n{0} Written by `lre generate` from manifest {2}\n{0} of {3}: edits are lost.\n",
      mark, what, digest, name);
}
}  // namespace

std::string FileHead(const GenerateInput& input, std::string_view mark, std::string_view what) {
  return Head(mark, what, input.digest, input.manifest.name);
}

std::string FileHead(const Manifest& manifest, std::string_view mark, std::string_view what) {
  return Head(mark, what, ManifestDigest(manifest), manifest.name);
}

Result<std::vector<GeneratedFile>> Generate(const Manifest& manifest,
                                            const GenerateOptions& options) {
  TRY(CheckOptions(options));
  TRY_ASSIGN(GenerateInput input, MakeGenerateInput(manifest, options.further));
  std::vector<GeneratedFile> files = BazelModule(input);
  if (input.java != nullptr) {
    std::ranges::move(JavaModule(input, *input.java), std::back_inserter(files));
    for (const Manifest* jdk : input.jdks)
      std::ranges::move(JavaModule(input, *jdk), std::back_inserter(files));
    std::ranges::move(JavaExamples(input), std::back_inserter(files));
  }
  if (input.python != nullptr) {
    std::ranges::move(PythonModule(input, *input.python), std::back_inserter(files));
    for (const Manifest* python : input.pythons)
      std::ranges::move(PythonModule(input, *python), std::back_inserter(files));
    std::ranges::move(PythonExamples(input), std::back_inserter(files));
  }
  if (input.go != nullptr) std::ranges::move(GoModule(input), std::back_inserter(files));
  if (input.rust != nullptr) std::ranges::move(RustModule(input), std::back_inserter(files));
  std::ranges::move(ToolsModule(input, manifest), std::back_inserter(files));
  for (const Manifest* own : input.own)
    std::ranges::move(OwnModule(input, *own), std::back_inserter(files));
  std::ranges::move(SystemsModule(input), std::back_inserter(files));
  files.push_back({"lre.bazelrc", Bazelrc(input, options)});
  files.push_back({"lre.cmake", CmakeToolchain(input, input.manifest)});
  if (input.clang != nullptr)
    files.push_back({input.clang->name + ".cmake", CmakeToolchain(input, *input.clang)});
  files.push_back({"recc.conf", ReccConf(input, options)});
  files.push_back({".envrc", Envrc(input)});
  std::ranges::sort(files, {}, &GeneratedFile::path);
  return files;
}

Result<std::string> GenerateBazelrc(const Manifest& manifest, const GenerateOptions& options) {
  TRY(CheckOptions(options));
  TRY_ASSIGN(GenerateInput input, MakeGenerateInput(manifest, options.further));
  return Bazelrc(input, options);
}

}  // namespace lre::toolchain
