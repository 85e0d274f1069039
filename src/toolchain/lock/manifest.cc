#include "toolchain/lock/manifest.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "toolchain/spec/spec.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

using Json = nlohmann::json;  // an ordered map: keys come out sorted

constexpr size_t kManifestBytesMax = 16 << 20;

// Reads the members of one object; what was not asked for is unknown, and so an error.
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) Fail("is not an object", "");
  }

  void Read(const char* key, std::string& out) {
    if (const Json* value = Take(key)) {
      if (value->is_string())
        out = value->get<std::string>();
      else
        Fail("is not a string", key);
    }
  }
  template <typename Number>
  void ReadNumber(const char* key, Number& out) {
    if (const Json* value = Take(key)) {
      if (value->is_number_unsigned() && value->get<uint64_t>() <= uint64_t{INT64_MAX} &&
          std::in_range<Number>(value->get<uint64_t>()))
        out = static_cast<Number>(value->get<uint64_t>());
      else
        Fail("is not a number that fits", key);
    }
  }
  void Read(const char* key, std::vector<std::string>& out) {
    ReadStrings(key, "a list", &Json::is_array,
                [&](const std::string&, std::string item) { out.push_back(std::move(item)); });
  }
  void Read(const char* key, std::map<std::string, std::string>& out) {
    ReadStrings(key, "an object", &Json::is_object,
                [&](const std::string& name, std::string item) { out[name] = std::move(item); });
  }
  // One that may be absent.
  template <typename T>
  void ReadOptional(const char* key, T& out) {
    if (Take(key, /*optional=*/true) != nullptr) Read(key, out);
  }
  // The member itself; nullptr when it is absent (an error unless optional).
  const Json* Take(const char* key, bool optional = false) {
    seen_.insert(key);
    if (!object_.is_object()) return nullptr;
    auto it = object_.find(key);
    if (it != object_.end()) return &*it;
    if (!optional) Fail("is missing", key);
    return nullptr;
  }
  void Fail(std::string_view what, std::string_view key) {
    if (!status_.ok()) return;
    std::string name =
        where_.empty() || key.empty() ? where_ + std::string(key) : where_ + "." + std::string(key);
    status_ = ErrorStatus(Code::kInvalidArgument, "manifest: {} {}",
                          name.empty() ? "the text" : name, what);
  }
  Status Finish() {
    if (object_.is_object())
      for (const auto& [key, value] : object_.items())
        if (!seen_.contains(key)) Fail("is unknown", key);
    return status_;
  }

 private:
  template <typename Each>
  void ReadStrings(const char* key, std::string_view kind, bool (Json::*is_kind)() const noexcept,
                   Each each) {
    const Json* value = Take(key);
    if (value == nullptr) return;
    if (!(value->*is_kind)()) return Fail(fmt::format("is not {}", kind), key);
    for (const auto& [name, item] : value->items()) {
      if (!item.is_string()) return Fail(fmt::format("is not {} of strings", kind), key);
      each(name, item.template get<std::string>());
    }
  }

  const Json& object_;
  std::string where_;
  std::set<std::string, std::less<>> seen_;
  Status status_;
};

Json ToJson(const StorePath& path) {
  return {{"role", path.role},
          {"path", path.path},
          {"tree", path.tree},
          {"size_bytes", path.size_bytes},
          {"references", path.references},
          {"packages", path.packages}};
}

Json ToJson(const CcFacts& cc) {
  Json json = {{"compiler", cc.compiler},
               {"version", cc.version},
               {"target", cc.target},
               {"libc", cc.libc},
               {"sysroot", cc.sysroot},
               {"tools", cc.tools},
               {"builtin_includes", cc.builtin_includes},
               {"compile_flags", cc.compile_flags},
               {"cxx_flags", cc.cxx_flags},
               {"link_flags", cc.link_flags},
               {"link_libs", cc.link_libs},
               {"loader", cc.loader},
               {"library_paths", cc.library_paths}};
  if (cc.libcxx) {
    json["libcxx"] = {{"compile_flags", cc.libcxx->compile_flags},
                      {"link_libs", cc.libcxx->link_libs}};
  }
  return json;
}

Json ToJson(const JavaFacts& java) {
  return {
      {"home", java.home}, {"major", java.major}, {"version", java.version}, {"tools", java.tools}};
}

Json ToJson(const PythonFacts& python) {
  return {{"interpreter", python.interpreter},
          {"version", python.version},
          {"include_dirs", python.include_dirs}};
}

Json ToJson(const GoFacts& go) {
  return {{"go", go.go},
          {"root", go.root},
          {"version", go.version},
          {"os", go.os},
          {"architecture", go.architecture},
          {"packages", go.packages}};
}

Json ToJson(const RustFacts& rust) {
  return {{"rustc", rust.rustc},
          {"version", rust.version},
          {"target", rust.target},
          {"shell", rust.shell}};
}

Result<StorePath> ReadStorePath(const Json& json, std::string where) {
  StorePath path;
  ObjectReader reader(json, std::move(where));
  reader.Read("role", path.role);
  reader.Read("path", path.path);
  reader.Read("tree", path.tree);
  reader.ReadNumber("size_bytes", path.size_bytes);
  reader.Read("references", path.references);
  reader.Read("packages", path.packages);
  TRY(reader.Finish());
  return path;
}

Result<LibcxxFacts> ReadLibcxx(const Json& json) {
  LibcxxFacts libcxx;
  ObjectReader reader(json, "cc.libcxx");
  reader.Read("compile_flags", libcxx.compile_flags);
  reader.Read("link_libs", libcxx.link_libs);
  TRY(reader.Finish());
  return libcxx;
}

Result<CcFacts> ReadCc(const Json& json) {
  CcFacts cc;
  ObjectReader reader(json, "cc");
  reader.Read("compiler", cc.compiler);
  reader.Read("version", cc.version);
  reader.Read("target", cc.target);
  reader.Read("libc", cc.libc);
  reader.Read("sysroot", cc.sysroot);
  reader.Read("tools", cc.tools);
  reader.Read("builtin_includes", cc.builtin_includes);
  reader.Read("compile_flags", cc.compile_flags);
  reader.Read("cxx_flags", cc.cxx_flags);
  reader.Read("link_flags", cc.link_flags);
  reader.Read("link_libs", cc.link_libs);
  reader.Read("loader", cc.loader);
  reader.Read("library_paths", cc.library_paths);
  if (const Json* libcxx = reader.Take("libcxx", /*optional=*/true)) {
    TRY_ASSIGN(cc.libcxx, ReadLibcxx(*libcxx));
  }
  TRY(reader.Finish());
  return cc;
}

Result<JavaFacts> ReadJava(const Json& json) {
  JavaFacts java;
  ObjectReader reader(json, "java");
  reader.Read("home", java.home);
  reader.ReadNumber("major", java.major);
  reader.Read("version", java.version);
  reader.Read("tools", java.tools);
  TRY(reader.Finish());
  return java;
}

Result<PythonFacts> ReadPython(const Json& json) {
  PythonFacts python;
  ObjectReader reader(json, "python");
  reader.Read("interpreter", python.interpreter);
  reader.Read("version", python.version);
  reader.Read("include_dirs", python.include_dirs);
  TRY(reader.Finish());
  return python;
}

Result<GoFacts> ReadGo(const Json& json) {
  GoFacts go;
  ObjectReader reader(json, "go");
  reader.Read("go", go.go);
  reader.Read("root", go.root);
  reader.Read("version", go.version);
  reader.Read("os", go.os);
  reader.Read("architecture", go.architecture);
  reader.Read("packages", go.packages);
  TRY(reader.Finish());
  return go;
}

Result<RustFacts> ReadRust(const Json& json) {
  RustFacts rust;
  ObjectReader reader(json, "rust");
  reader.Read("rustc", rust.rustc);
  reader.Read("version", rust.version);
  reader.Read("target", rust.target);
  reader.Read("shell", rust.shell);
  TRY(reader.Finish());
  return rust;
}

// Before anything else: a newer file may have any shape.
Status CheckSchema(const Json& json) {
  auto schema = json.is_object() ? json.find("schema") : json.end();
  if (!json.is_object() || schema == json.end() || !schema->is_number_integer())
    return ErrorStatus(Code::kInvalidArgument, "manifest: schema is missing or not a number");
  if (*schema < 1 || *schema > Manifest::kSchema)
    return ErrorStatus(Code::kInvalidArgument,
                       "manifest: schema {} was written by a {} lre; this one reads 1 to {}",
                       schema->dump(), *schema > Manifest::kSchema ? "newer" : "different",
                       Manifest::kSchema);
  return {};
}

}  // namespace

const StorePath* Manifest::Find(std::string_view role) const {
  for (const StorePath& path : paths)
    if (path.role == role) return &path;
  return nullptr;
}

const StorePath* Manifest::FindForTarget(std::string_view role) const {
  const StorePath* other =
      target.empty() ? nullptr : Find(std::string(role) + "." + SystemSuffix(target));
  return other != nullptr ? other : Find(role);
}

int ManifestSchema(const Manifest& manifest) {
  const bool more = manifest.go || manifest.rust || !manifest.extends.empty() ||
                    !manifest.target.empty() || !manifest.tools.empty() ||
                    !manifest.exec_compatible_with.empty() ||
                    !manifest.target_compatible_with.empty();
  return more ? 2 : 1;
}

std::string PrintManifest(const Manifest& manifest) {
  Json paths = Json::array();
  for (const StorePath& path : manifest.paths) paths.push_back(ToJson(path));
  Json json = {
      {"schema", ManifestSchema(manifest)}, {"name", manifest.name}, {"system", manifest.system},
      {"prefix", manifest.prefix},          {"lock", manifest.lock}, {"recipe", manifest.recipe},
      {"paths", std::move(paths)},          {"env", manifest.env}};
  if (manifest.cc) json["cc"] = ToJson(*manifest.cc);
  if (manifest.java) json["java"] = ToJson(*manifest.java);
  if (manifest.python) json["python"] = ToJson(*manifest.python);
  if (manifest.go) json["go"] = ToJson(*manifest.go);
  if (manifest.rust) json["rust"] = ToJson(*manifest.rust);
  if (!manifest.extends.empty()) json["extends"] = manifest.extends;
  if (!manifest.target.empty()) json["target"] = manifest.target;
  if (!manifest.tools.empty()) json["tools"] = manifest.tools;
  if (!manifest.exec_compatible_with.empty())
    json["exec_compatible_with"] = manifest.exec_compatible_with;
  if (!manifest.target_compatible_with.empty())
    json["target_compatible_with"] = manifest.target_compatible_with;
  // Bytes that are not UTF-8 can only come from a hostile package name; they must not throw.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Manifest> ParseManifest(std::string_view text) {
  if (text.size() > kManifestBytesMax)
    return Error(Code::kInvalidArgument, "manifest: {} bytes are more than the allowed {}",
                 text.size(), kManifestBytesMax);
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    const int line = MergeMarkLine(text);
    return line > 0
               ? Error(Code::kInvalidArgument, "line {}: git left a merge undecided here", line)
               : Error(Code::kInvalidArgument, "manifest: not JSON");
  }
  TRY(CheckSchema(json));
  Manifest manifest;
  ObjectReader reader(json, "");
  reader.Take("schema");
  reader.Read("name", manifest.name);
  reader.Read("system", manifest.system);
  reader.Read("prefix", manifest.prefix);
  reader.Read("lock", manifest.lock);
  reader.Read("recipe", manifest.recipe);
  reader.Read("env", manifest.env);
  // Shells run what `lre env` prints.
  for (const auto& [name, value] : manifest.env)
    if (!IsVariableName(name)) reader.Fail("has a name that is no variable's", "env");
  if (const Json* paths = reader.Take("paths")) {
    if (!paths->is_array()) reader.Fail("is not a list", "paths");
    for (size_t i = 0; paths->is_array() && i < paths->size(); ++i) {
      TRY_ASSIGN(StorePath path, ReadStorePath((*paths)[i], fmt::format("paths[{}]", i)));
      manifest.paths.push_back(std::move(path));
    }
  }
  if (const Json* cc = reader.Take("cc", /*optional=*/true)) {
    TRY_ASSIGN(manifest.cc, ReadCc(*cc));
  }
  if (const Json* java = reader.Take("java", /*optional=*/true)) {
    TRY_ASSIGN(manifest.java, ReadJava(*java));
  }
  if (const Json* python = reader.Take("python", /*optional=*/true)) {
    TRY_ASSIGN(manifest.python, ReadPython(*python));
  }
  if (const Json* go = reader.Take("go", /*optional=*/true)) {
    TRY_ASSIGN(manifest.go, ReadGo(*go));
  }
  if (const Json* rust = reader.Take("rust", /*optional=*/true)) {
    TRY_ASSIGN(manifest.rust, ReadRust(*rust));
  }
  reader.ReadOptional("extends", manifest.extends);
  reader.ReadOptional("target", manifest.target);
  reader.ReadOptional("tools", manifest.tools);
  reader.ReadOptional("exec_compatible_with", manifest.exec_compatible_with);
  reader.ReadOptional("target_compatible_with", manifest.target_compatible_with);
  TRY(reader.Finish());
  return manifest;
}

}  // namespace lre::toolchain
