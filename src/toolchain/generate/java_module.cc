// The Java half of the Bazel module: the JDK and Bazel's own Java tools, by absolute paths in the
// store. Bazel wants its tools to be files of a build; each is a script of two lines, whose shell
// lies beside the tools, so that neither another base userland nor another compiler re-keys Java.
#include <algorithm>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

// The oldest and newest --java_language_version that a JDK compiles are 8 and its own.
constexpr int kLanguageMin = 8;

// Whether it is the one of its system that is meant when no version is said.
bool IsFirst(const GenerateInput& input, const Manifest& java) {
  if (java.system == input.java->system) return &java == input.java;
  return &java == *std::ranges::find(input.jdks, java.system, &Manifest::system);
}

std::string RuntimeToolchains(const GenerateInput& input, const Manifest& java) {
  const bool first = IsFirst(input, java);
  const std::string lre = StarlarkList(LreOn(CpuOf(java.system)), 0);
  return fmt::format(
      R"(
package(default_visibility = ["//visibility:public"])

# --java_runtime_version: {said}{major} or lre_jdk_{major}.
[
    config_setting(
        name = "runtime_" + version,
        values = {{"java_runtime_version": version}},
    )
    for version in [{listed}"{major}", "lre_jdk_{major}"]
]

alias(
    name = "runtime",
    actual = select({{{selected}
        ":runtime_{major}": ":runtime_{major}",
        "//conditions:default": ":runtime_lre_jdk_{major}",
    }}),
)

LRE = {lre}

# What runs Java programs.
toolchain(
    name = "runtime-toolchain",
    target_compatible_with = LRE,
    target_settings = [":runtime"],
    toolchain = "//{folder}/java:jdk",
    toolchain_type = "@bazel_tools//tools/jdk:runtime_toolchain_type",
)

# Whose classes programs are compiled against.
toolchain(
    name = "bootstrap-runtime-toolchain",
    exec_compatible_with = LRE,
    target_settings = [":runtime"],
    toolchain = "//{folder}/java:jdk",
    toolchain_type = "@bazel_tools//tools/jdk:bootstrap_runtime_toolchain_type",
)
)",
      fmt::arg("major", java.java->major), fmt::arg("lre", lre),
      fmt::arg("folder", JavaFolder(input, java)), fmt::arg("said", first ? "lre_jdk, " : ""),
      fmt::arg("listed", first ? "\"lre_jdk\", " : ""),
      fmt::arg("selected", first ? "\n        \":runtime_lre_jdk\": "
                                   "\":runtime_lre_jdk\","
                                 : ""));
}

// A compiler reads no newer classes than its own: those of a further, newer JDK are for that JDK's
// compiler only.
std::string CompileToolchains(const GenerateInput& input, const Manifest& java) {
  return fmt::format(R"(
# What compiles them.
[
    config_setting(
        name = "language_%d" % version,
        values = {{"java_language_version": str(version)}},
    )
    for version in range({language_min}, {major} + 1)
]

[
    toolchain(
        name = "java%d-toolchain" % version,
        exec_compatible_with = LRE,
        target_settings = [":language_%d" % version{only}],
        toolchain = "//{folder}/java:toolchain_java%d" % version,
        toolchain_type = "@bazel_tools//tools/jdk:toolchain_type",
    )
    for version in range({language_min}, {major} + 1)
]
)",
                     fmt::arg("language_min", kLanguageMin), fmt::arg("major", java.java->major),
                     fmt::arg("only", IsFirst(input, java) ? "" : ", \":runtime\""),
                     fmt::arg("folder", JavaFolder(input, java)));
}

std::string ToolsText(const Manifest& java) {
  return FileHead(java, "#", "Bazel's Java tools as files of a build.") + R"(
def _tool_impl(ctx):
    ctx.actions.write(
        ctx.outputs.out,
        "#!%s\n%sexec %s \"$@\"\n" % (
            ctx.attr.shell,
            "case $1 in -D*) shift ;; esac\n" if ctx.attr.drop_java_home else "",
            " ".join(ctx.attr.command),
        ),
        is_executable = True,
    )

# The outputs have labels, and those the toolchain takes: a rule's executable would bring runfiles, which Bazel
# makes for every action, and which an execution log of Java cannot be written with.
lre_java_tool = rule(
    implementation = _tool_impl,
    attrs = {
        "command": attr.string_list(
            doc = "What runs, before the caller's arguments.",
            mandatory = True,
        ),
        "drop_java_home": attr.bool(
            doc = "Bazel begins the arguments of a header compiler with -Djava.home: what the command has anyway.",
        ),
        "out": attr.output(mandatory = True),
        "shell": attr.string(mandatory = True),
    },
    doc = "A program of the store. The script names it, so its path is part of every key.",
)

def _file_impl(ctx):
    ctx.actions.run(
        arguments = [ctx.attr.path, ctx.outputs.out.path],
        executable = ctx.attr.cp,
        mnemonic = "LreStoreFile",
        outputs = [ctx.outputs.out],
    )

lre_store_file = rule(
    implementation = _file_impl,
    attrs = {
        "cp": attr.string(mandatory = True),
        "out": attr.output(mandatory = True),
        "path": attr.string(mandatory = True),
    },
    doc = "A copy of a file of the store, for what has to be an input.",
)
)";
}

std::string Tool(const JavaFacts& java, std::string_view name,
                 const std::vector<std::string>& command, std::string_view more = "") {
  return fmt::format(
      "\nlre_java_tool(\n    name = \"{0}_script\",\n    out = \"{0}\",\n    command = {1},\n{2}"
      "    shell = {3},\n)\n",
      name, StarlarkList(command, 4), more, StarlarkString(java.tools.at("sh")));
}

// What JavaBuilder needs of the JDK: javac's own packages, and steady file names and messages.
std::vector<std::string> JavaBuilderCommand(const JavaFacts& java) {
  std::vector<std::string> command = {java.home + "/bin/java"};
  for (const char* package : {"api", "main", "model", "processing", "resources", "tree", "util"})
    command.push_back(
        fmt::format("--add-exports=jdk.compiler/com.sun.tools.javac.{}=ALL-UNNAMED", package));
  for (const char* package : {"code", "comp", "file", "parser"})
    command.push_back(
        fmt::format("--add-opens=jdk.compiler/com.sun.tools.javac.{}=ALL-UNNAMED", package));
  for (const char* flag :
       {"--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "-Dfile.encoding=UTF-8", "-Dsun.io.useCanonCaches=false", "-XX:-CompactStrings",
        "-XX:-UsePerfData", "-Xlog:disable", "-Xlog:all=warning:stderr:uptime,level,tags", "-cp"})
    command.push_back(flag);
  command.push_back(java.tools.at("JavaBuilder"));
  command.push_back("com.google.devtools.build.buildjar.BazelJavaBuilder");
  return command;
}

std::string JavaBuild(const Manifest& manifest) {
  const JavaFacts& java = *manifest.java;
  std::string out =
      FileHead(manifest, "#", "The JDK and Bazel's Java tools, by absolute paths.") +
      fmt::format(R"(
load("@rules_java//java/toolchains:java_runtime.bzl", "java_runtime")
load("@rules_java//java/toolchains:java_toolchain.bzl", "java_toolchain")
load(":tools.bzl", "lre_java_tool", "lre_store_file")

package(default_visibility = ["//visibility:public"])

# The JDK is no input: its path says which it is.
java_runtime(
    name = "jdk",
    java_home = {home},
    version = {major},
)
)",
                  fmt::arg("home", StarlarkString(java.home)), fmt::arg("major", java.major));
  out += Tool(java, "JavaBuilder", JavaBuilderCommand(java));
  out += Tool(java, "GenClass",
              {java.home + "/bin/java", "-XX:-UsePerfData", "-jar", java.tools.at("GenClass")});
  // Small inputs and a second of work: the compilers that are good at long runs only cost here.
  out += Tool(
      java, "Turbine",
      {java.home + "/bin/java", "-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
       "-cp", java.tools.at("Turbine"), "com.google.turbine.main.Main"},
      "    drop_java_home = True,\n");
  out += Tool(java, "ijar", {java.tools.at("ijar")});
  out += Tool(java, "singlejar", {java.tools.at("singlejar")});
  out += fmt::format(R"(
lre_store_file(
    name = "jacoco",
    out = "jacoco.jar",
    cp = {cp},
    path = {jacoco},
)

# Interfaces are taken by turbine from sources, so that what depends on a library need not wait for
# its compiler; by ijar from jars that are not built here.
[
    java_toolchain(
        name = "toolchain_java%d" % version,
        bootclasspath = ["@rules_java//toolchains:platformclasspath"],
        genclass = [":GenClass"],
        header_compiler = [":Turbine"],
        header_compiler_direct = [":Turbine"],
        ijar = [":ijar"],
        jacocorunner = ":jacoco.jar",
        java_runtime = ":jdk",
        javabuilder = [":JavaBuilder"],
        misc = [
            "-XDskipDuplicateBridges=true",
            "-XDcompilePolicy=simple",
            "-g",
            "-parameters",
        ],
        proguard_allowlister = ":singlejar",
        singlejar = [":singlejar"],
        source_version = str(version),
        target_version = str(version),
    )
    for version in range({language_min}, {major} + 1)
]
)",
                     fmt::arg("cp", StarlarkString(java.tools.at("cp"))),
                     fmt::arg("jacoco", StarlarkString(java.tools.at("Jacoco"))),
                     fmt::arg("language_min", kLanguageMin), fmt::arg("major", java.major));
  return out;
}

}  // namespace

std::string JavaFolder(const GenerateInput& input, const Manifest& java) {
  const std::string version = IsFirst(input, java) ? "" : fmt::format("{}", java.java->major);
  return "generated-java" + version + Elsewhere(input, java);
}

std::vector<GeneratedFile> JavaModule(const GenerateInput& input, const Manifest& java) {
  const std::string module = "local-remote-execution/";
  const std::string folder = module + JavaFolder(input, java);
  return {
      {module + java.name + ".json", PrintManifest(java)},
      {folder + "/config/BUILD.bazel",
       FileHead(java, "#", "The JDK and the Java compiler, registered.") +
           RuntimeToolchains(input, java) + CompileToolchains(input, java)},
      {folder + "/java/BUILD.bazel", JavaBuild(java)},
      {folder + "/java/tools.bzl", ToolsText(java)},
  };
}

}  // namespace lre::toolchain
