// Examples of Java: a library, a program, a test, and a program that the build runs. Their bytes
// are inputs of actions, so only the BUILD file names the manifest.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kGreeting = R"EXAMPLE(package examples;

/** What the example says: a library, so that its interface is an input of what uses it. */
public final class Greeting {
  private Greeting() {}

  /** The version that compiled may differ from the one that runs: both are those of the store. */
  public static String text() {
    return "Hello, Local Remote Execution! Java " + System.getProperty("java.version");
  }
}
)EXAMPLE";

constexpr std::string_view kHelloLre = R"EXAMPLE(package examples;

/** Says which Java runs it. */
public final class HelloLre {
  private HelloLre() {}

  public static void main(String[] arguments) {
    System.out.println(Greeting.text());
  }
}
)EXAMPLE";

constexpr std::string_view kGreetingTest = R"EXAMPLE(package examples;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.JUnit4;

/** With JUnit, which Bazel's test runner brings. */
@RunWith(JUnit4.class)
public final class GreetingTest {
  @Test
  public void runsOnTheJdkOfTheStore() {
    String home = System.getProperty("java.home");
    assertTrue("runs on the JDK in " + home, home.startsWith("/lre/store/"));
  }

  @Test
  public void greets() {
    assertEquals("Hello", Greeting.text().split(",")[0]);
  }
}
)EXAMPLE";

constexpr std::string_view kBuild = R"EXAMPLE(
load("@rules_java//java:java_binary.bzl", "java_binary")
load("@rules_java//java:java_library.bzl", "java_library")
load("@rules_java//java:java_test.bzl", "java_test")

java_library(
    name = "greeting",
    srcs = ["Greeting.java"],
)

java_binary(
    name = "hello_lre",
    srcs = ["HelloLre.java"],
    main_class = "examples.HelloLre",
    visibility = ["//visibility:public"],
    deps = [":greeting"],
)

java_test(
    name = "greeting_test",
    size = "small",
    srcs = ["GreetingTest.java"],
    test_class = "examples.GreetingTest",
    deps = [":greeting"],
)
)EXAMPLE";

}  // namespace

std::vector<GeneratedFile> JavaExamples(const GenerateInput& input) {
  const std::string folder = "local-remote-execution/examples/java/";
  return {
      {folder + "BUILD.bazel", FileHead(*input.java, "#", "Java on the JDK of the store.") +
                                   std::string(kBuild) + std::string(SaidExample())},
      {folder + "Greeting.java", std::string(kGreeting)},
      {folder + "GreetingTest.java", std::string(kGreetingTest)},
      {folder + "HelloLre.java", std::string(kHelloLre)},
  };
}

}  // namespace lre::toolchain
