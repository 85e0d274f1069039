#include "toolchain/root/java_probe.h"

#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "base/subprocess.h"
#include "toolchain/root/emulation.h"

namespace lre::toolchain {
namespace {

Result<std::string> Ask(std::vector<std::string> command, const std::string& directory = "/") {
  TRY_ASSIGN(SubprocessResult result, RunSubprocess({.arguments = command,
                                                     .environment = std::vector<std::string>{},
                                                     .directory = directory,
                                                     .timeout = kProbeTime}));
  if (result.exit_code != 0)
    return Error(Code::kFailedPrecondition, "{} ended with {}: {}", fmt::join(command, " "),
                 result.exit_code, (result.output + result.error_output).substr(0, 2000));
  return std::move(result.output);
}

// "JAVA_VERSION="17.0.13"" in the JDK's file `release`.
Result<std::string> JavaVersion(const std::string& home) {
  TRY_ASSIGN(std::string release, ReadFile(home + "/release"));
  constexpr std::string_view kKey = "JAVA_VERSION=\"";
  size_t begin = release.find(kKey);
  size_t end = begin == release.npos ? begin : release.find('"', begin + kKey.size());
  if (end == release.npos)
    return Error(Code::kFailedPrecondition, "{}/release names no JAVA_VERSION", home);
  return release.substr(begin + kKey.size(), end - begin - kKey.size());
}

Result<std::string> FindHome(const std::vector<StorePath>& paths) {
  for (const StorePath& path : paths) {
    std::string parent = path.path + "/usr/lib/jvm";
    if (!FileExists(parent)) continue;
    TRY_ASSIGN(std::vector<std::string> names, SystemFiles().List(parent));
    for (const std::string& name : names)
      // Not one of the links to it: a path that is seen in every command should be the real one.
      if (!std::filesystem::is_symlink(parent + "/" + name) &&
          FileExists(parent + "/" + name + "/bin/java") &&
          FileExists(parent + "/" + name + "/release"))
        return parent + "/" + name;
  }
  return std::string();
}

void FindTools(const ProbeInput& input, JavaFacts& facts) {
  for (const StorePath& path : input.paths) {
    std::string folder =
        fmt::format("{}/usr/lib/{}/bazel/java_tools", path.path, input.system.triplet);
    if (!FileExists(folder)) continue;
    std::string tools = path.path + "/usr/share/bazel/tools/java_tools/";
    const std::string jars = path.path + "/usr/share/java/";
    facts.tools = {{"ijar", folder + "/bin/ijar"},
                   {"singlejar", folder + "/bin/singlejar"},
                   {"JavaBuilder", tools + "JavaBuilder_deploy.jar"},
                   {"GenClass", tools + "GenClass_deploy.jar"},
                   {"Runner", tools + "Runner_deploy.jar"},
                   {"Jacoco", tools + "JacocoCoverage_jarjar_deploy.jar"},
                   {"Turbine", fmt::format("{0}turbine.jar:{0}guava.jar:{0}protobuf.jar", jars)},
                   {"sh", path.path + "/usr/bin/sh"},
                   {"cp", path.path + "/usr/bin/cp"}};
    if (FileExists(folder + "/BUILD.bazel")) facts.tools["repository"] = folder;
    if (FileExists(folder + "/properties"))
      facts.tools["JavaBuilder"] = folder + "/properties:" + facts.tools["JavaBuilder"];
    return;
  }
}

constexpr std::string_view kProgram =
    "import java.security.KeyStore;\n"
    "public class SelfTest {\n"
    "  public static void main(String[] arguments) throws Exception {\n"
    "    KeyStore store = KeyStore.getInstance(new "
    "java.io.File(System.getProperty(\"java.home\"),\n"
    "        \"lib/security/cacerts\"), \"changeit\".toCharArray());\n"
    "    System.out.print(store.size() > 50 ? \"trusted\" : \"no authorities\");\n"
    "  }\n}\n";

}  // namespace

Result<std::optional<JavaFacts>> ProbeJava(const ProbeInput& input) {
  JavaFacts facts;
  TRY_ASSIGN(facts.home, FindHome(input.paths));
  if (facts.home.empty()) return std::optional<JavaFacts>();
  TRY_ASSIGN(facts.version, JavaVersion(facts.home));
  std::from_chars(facts.version.data(), facts.version.data() + facts.version.size(), facts.major);
  FindTools(input, facts);
  return std::optional(std::move(facts));
}

Status SelfTestJava(const JavaFacts& facts, const std::string& scratch) {
  const std::string java = facts.home + "/bin/java";
  TRY(WriteFileAtomically(scratch + "/SelfTest.java", kProgram));
  TRY(Ask({facts.home + "/bin/javac", "-d", ".", "SelfTest.java"}, scratch));
  TRY_ASSIGN(std::string said, Ask({java, "-cp", ".", "SelfTest"}, scratch));
  if (said != "trusted")
    return ErrorStatus(Code::kFailedPrecondition, "{} says of its cacerts: {}", java, said);
  if (facts.tools.empty()) return {};
  auto tool = [&](const char* name) { return facts.tools.at(name); };
  TRY(Ask({facts.home + "/bin/jar", "--create", "--file=classes.jar", "SelfTest.class"}, scratch));
  TRY(Ask({tool("ijar"), "classes.jar", "interface.jar"}, scratch));
  TRY(Ask({tool("singlejar"), "--output", "deploy.jar", "--main_class", "SelfTest", "--sources",
           "classes.jar", "--normalize"},
          scratch));
  TRY(Ask({java, "-cp", tool("Turbine"), "com.google.turbine.main.Main", "--output", "header.jar",
           "--system", facts.home, "--sources", "SelfTest.java", "--javacopts", "-source",
           std::to_string(facts.major), "--"},
          scratch));
  TRY_ASSIGN(said, Ask({java, "-jar", "deploy.jar"}, scratch));
  if (said != "trusted")
    return ErrorStatus(Code::kFailedPrecondition, "a program packed by {} says: {}",
                       tool("singlejar"), said);
  return {};
}

}  // namespace lre::toolchain
