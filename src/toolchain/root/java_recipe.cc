// The key store format is that of sun.security.provider.JavaKeyStore: big-endian, a magic number,
// version 2, entries, and at the end a SHA-1 over the password in UTF-16, a constant text and all
// before it. JDKs read it whatever keystore.type says (keystore.type.compat).
#include "toolchain/root/java_recipe.h"

#include <algorithm>

#include "digest/digest.h"

namespace lre::toolchain {
namespace {

constexpr uint32_t kJksMagic = 0xfeedfeed, kJksVersion = 2, kTrustedCertificate = 2;
// Milliseconds since 1970: any fixed moment; nothing reads it.
constexpr uint64_t kEntryDate = 1000;
constexpr std::string_view kPassword = "changeit";
constexpr std::string_view kAuthorities = "usr/share/ca-certificates/";

void PutNumber(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out += static_cast<char>(value >> shift);
}

// Java's modified UTF-8, which for names of files in Debian is UTF-8.
void PutText(std::string& out, std::string_view text) {
  PutNumber(out, text.size(), 2);
  out += text;
}

// nullopt for a character that is none of base64's.
std::optional<uint32_t> SixBits(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return std::nullopt;
}

// The names by which rules_java and @bazel_tools ask for tools, but for those that are no
// deploy jars here. They are files: the JDK that runs them is the toolchain's. BUILD.bazel is read
// before the package's own BUILD, whose test runner lacks JUnit.
constexpr std::string_view kRepository = R"(package(default_visibility = ["//visibility:public"])

[
    filegroup(
        name = name,
        srcs = srcs,
    )
    for name, srcs in {
        "GenClass": ["GenClass_deploy.jar"],
        "JacocoCoverage": ["JacocoCoverage_jarjar_deploy.jar"],
        "JavaBuilder": ["JavaBuilder_deploy.jar"],
        "Runner": [
            "Runner_deploy.jar",
            "hamcrest.jar",
            "junit4.jar",
        ],
        "VanillaJavaBuilder": ["VanillaJavaBuilder_deploy.jar"],
        "ijar": ["bin/ijar"],
        "ijar_cc_binary": ["bin/ijar"],
        "jacoco_coverage_runner": ["JacocoCoverage_jarjar_deploy.jar"],
        "jacoco_coverage_runner_filegroup": ["JacocoCoverage_jarjar_deploy.jar"],
        "singlejar": ["bin/singlejar"],
        "singlejar_cc_bin": ["bin/singlejar"],
    }.items()
]
)";

void AddRepository(FileTree& tree, const std::string& folder) {
  for (const char* name : {"hamcrest", "junit4"})
    if (!tree.contains(fmt::format("usr/share/java/{}.jar", name))) return;
  for (const char* name : {"hamcrest", "junit4"})
    tree[fmt::format("{}/{}.jar", folder, name)] = {
        .content = fmt::format("/usr/share/java/{}.jar", name), .symlink = true};
  tree[folder + "/BUILD.bazel"] = {.content = std::string(kRepository)};
}

// JavaBuilder makes classes call the run-time half of JaCoCo by the name that JaCoCo's properties
// say. Debian renames neither, but writes a renamed package there: coverage would find no such
// class. These come before the ones in JavaBuilder's archive.
void AddJacocoProperties(FileTree& tree, const std::string& folder) {
  auto jar = tree.find("usr/share/bazel/tools/java_tools/JacocoCoverage_jarjar_deploy.jar");
  if (jar == tree.end()) return;
  // In the archive's table of contents, which is not compressed.
  if (jar->second.content.find("org/jacoco/agent/rt/internal/Offline.class") == std::string::npos)
    return;
  tree[folder + "/properties/org/jacoco/core/jacoco.properties"] = {
      .content =
          "VERSION=0\nCOMMITID=0000000\nHOMEURL=http://www.jacoco.org/jacoco\n"
          "RUNTIMEPACKAGE=org.jacoco.agent.rt.internal\n"};
}

}  // namespace

std::optional<std::string> FindJdk(const FileTree& tree) {
  constexpr std::string_view kParent = "usr/lib/jvm/";
  for (auto it = tree.lower_bound(kParent); it != tree.end() && it->first.starts_with(kParent);
       ++it)
    if (it->first.ends_with("/bin/java") && !it->second.symlink)
      return std::string(ParentPath(ParentPath(it->first)));
  return std::nullopt;
}

std::optional<std::string> FindJavaTools(const FileTree& tree, std::string_view triplet) {
  std::string folder = fmt::format("usr/lib/{}/bazel/java_tools", triplet);
  if (!tree.contains(folder + "/bin/singlejar")) return std::nullopt;
  return folder;
}

Result<std::string> PemToDer(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----", kEnd = "-----END CERTIFICATE";
  size_t begin = pem.find(kBegin);
  size_t end = begin == pem.npos ? begin : pem.find(kEnd, begin);
  if (end == pem.npos) return Error(Code::kInvalidArgument, "no certificate in PEM");
  std::string der;
  uint32_t bits = 0;
  int count = 0;
  for (char c : pem.substr(begin + kBegin.size(), end - begin - kBegin.size())) {
    if (c == '\n' || c == '\r' || c == '=') continue;
    auto six = SixBits(c);
    if (!six) return Error(Code::kInvalidArgument, "a certificate is not base64");
    bits = (bits << 6 | *six) & 0xffff;
    if ((count += 6) < 8) continue;
    count -= 8;
    der += static_cast<char>(bits >> count);
  }
  if (der.empty()) return Error(Code::kInvalidArgument, "an empty certificate");
  return der;
}

std::string MakeTrustStore(const std::vector<std::pair<std::string, std::string>>& certificates) {
  std::string store;
  PutNumber(store, kJksMagic, 4);
  PutNumber(store, kJksVersion, 4);
  PutNumber(store, certificates.size(), 4);
  for (const auto& [alias, der] : certificates) {
    PutNumber(store, kTrustedCertificate, 4);
    PutText(store, alias);
    PutNumber(store, kEntryDate, 8);
    PutText(store, "X.509");
    PutNumber(store, der.size(), 4);
    store += der;
  }
  std::string signed_text;
  for (char c : kPassword) {
    signed_text += '\0';
    signed_text += c;
  }
  signed_text += "Mighty Aphrodite" + store;
  store += ComputeDigest(DigestFunction::kSha1, signed_text).hash_view();
  return store;
}

Status FinishJdk(FileTree& tree, const std::string& jdk) {
  std::vector<std::pair<std::string, std::string>> certificates;
  for (auto it = tree.lower_bound(kAuthorities);
       it != tree.end() && it->first.starts_with(kAuthorities); ++it) {
    if (!it->first.ends_with(".crt") || it->second.symlink) continue;
    auto der = PemToDer(it->second.content);
    if (!der) return der.error().WithContext(it->first);
    std::string alias = "debian:" + std::string(BaseName(it->first));
    std::transform(alias.begin(), alias.end(), alias.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    certificates.emplace_back(std::move(alias), std::move(*der));
  }
  if (certificates.empty())
    return ErrorStatus(
        Code::kFailedPrecondition,
        "a JDK without certificates of authorities: add the package ca-certificates");
  // A link to /etc in the package.
  tree[jdk + "/lib/security/cacerts"] = {.content = MakeTrustStore(certificates)};
  return {};
}

void FinishJavaTools(FileTree& tree, const std::string& folder) {
  AddRepository(tree, folder);
  AddJacocoProperties(tree, folder);
  const char* busybox = tree.contains("usr/bin/busybox") ? "/usr/bin/busybox" : "";
  if (*busybox == '\0') return;
  for (const char* name : {"cp", "sh"})
    tree.try_emplace("usr/bin/" + std::string(name), FileNode{.content = busybox, .symlink = true});
}

}  // namespace lre::toolchain
