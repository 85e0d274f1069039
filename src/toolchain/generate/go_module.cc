// The Go part of the Bazel module: a toolchain, rules of our own and examples. rules_go is in no
// archive that LRE takes packages from; these rules need nothing but the store and what is here.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

std::string ConfigBuild(const GenerateInput& input) {
  return FileHead(*input.go, "#", "Go, registered.") + std::string(kPublicPackage) + "\n" +
         Registration({.name = "go-toolchain",
                       .exec = LreOn(input.cpu),
                       .target = LinuxOn(input.cpu),
                       .label = "//generated-go/go:go",
                       .type = "//generated-go/go:toolchain_type"});
}

std::string GoBuild(const GenerateInput& input) {
  const GoFacts& go = *input.go->go;
  const std::string loader = input.go->cc ? input.go->cc->loader : "";
  return FileHead(*input.go, "#", "Go, by its absolute path in the store.") +
         fmt::format(
             R"(
load(":rules.bzl", "lre_go_builder", "lre_go_toolchain")

package(default_visibility = ["//visibility:public"])

toolchain_type(name = "toolchain_type")

lre_go_builder(
    name = "builder",
    srcs = [
        "builder.go",
        "test_program.go",
    ],
)

lre_go_toolchain(
    name = "go",
    architecture = {architecture},
    libraries = {libraries},
    loader = {loader},
    os = {os},
    root = {root},
    version = {version},
)
)",
             fmt::arg("architecture", StarlarkString(go.architecture)),
             fmt::arg("libraries",
                      StarlarkString(loader.substr(0, loader.empty() ? 0 : loader.rfind('/')))),
             fmt::arg("loader", StarlarkString(loader)), fmt::arg("os", StarlarkString(go.os)),
             fmt::arg("root", StarlarkString(go.root)),
             fmt::arg("version", StarlarkString(go.version)));
}

// ---- examples: their bytes are inputs of actions, so only the BUILD file names the manifest ----

constexpr std::string_view kGreeting =
    R"EXAMPLE(// Package greeting is what the example says.
package greeting

import (
	_ "embed"
	"runtime"
	"strings"
)

//go:embed whom.txt
var whom string

// Text greets, and says which Go made this program.
func Text() string {
	return "Hello, " + strings.TrimSpace(whom) + "! " + runtime.Version()
}
)EXAMPLE";

constexpr std::string_view kGreetingTest = R"EXAMPLE(package greeting_test

import (
	"fmt"
	"os/user"
	"strings"
	"testing"

	"example.com/lre/greeting"
)

func TestSaysWhichGoMadeIt(t *testing.T) {
	if !strings.Contains(greeting.Text(), "! go1.") {
		t.Error(greeting.Text())
	}
}

// In C, in libc: it is that of the store, whatever machine runs this.
func TestLooksUpUsers(t *testing.T) {
	if _, err := user.LookupId("4294967290"); err == nil {
		t.Error("a user that cannot be")
	}
}

func ExampleText() {
	fmt.Println(strings.Split(greeting.Text(), "!")[0])
	// Output: Hello, Local Remote Execution
}
)EXAMPLE";

constexpr std::string_view kHelloLre = R"EXAMPLE(// Says which Go made it.
package main

import (
	"fmt"

	"example.com/lre/greeting"
)

func main() {
	fmt.Println(greeting.Text())
}
)EXAMPLE";

constexpr std::string_view kBuild = R"EXAMPLE(
load("//generated-go/go:rules.bzl", "lre_go_binary", "lre_go_library", "lre_go_test")

lre_go_library(
    name = "greeting",
    srcs = ["greeting.go"],
    embedsrcs = ["whom.txt"],
    importpath = "example.com/lre/greeting",
)

lre_go_binary(
    name = "hello_lre",
    srcs = ["hello_lre.go"],
    visibility = ["//visibility:public"],
    deps = [":greeting"],
)

lre_go_test(
    name = "greeting_test",
    size = "small",
    srcs = ["greeting_test.go"],
    embed = [":greeting"],
)
)EXAMPLE";

}  // namespace

std::vector<GeneratedFile> GoModule(const GenerateInput& input) {
  const std::string module = "local-remote-execution/", examples = module + "examples/go/",
                    folder = module + "generated-go/";
  return {
      {module + input.go->name + ".json", PrintManifest(*input.go)},
      {folder + "config/BUILD.bazel", ConfigBuild(input)},
      {folder + "go/BUILD.bazel", GoBuild(input)},
      {folder + "go/builder.go", std::string(GoBuilderText())},
      {folder + "go/rules.bzl",
       FileHead(*input.go, "#", "Rules for Go.") + std::string(GoRulesText())},
      {folder + "go/test_program.go", std::string(GoTestProgramText())},
      {examples + "BUILD.bazel", FileHead(*input.go, "#", "Go of the store.") +
                                     std::string(kBuild) + std::string(SaidExample())},
      {examples + "greeting.go", std::string(kGreeting)},
      {examples + "greeting_test.go", std::string(kGreetingTest)},
      {examples + "hello_lre.go", std::string(kHelloLre)},
      {examples + "whom.txt", "Local Remote Execution\n"},
  };
}

}  // namespace lre::toolchain
