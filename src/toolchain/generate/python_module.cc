// The Python part of the Bazel module: an interpreter by its absolute path, named in the first line
// of every program too. Bazel's own default there is "#!/usr/bin/env python3": the machine's
// Python, and no key would say which.
#include <algorithm>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

std::string ConfigBuild(const GenerateInput& input, const Manifest& python) {
  const std::string package = "//" + PythonFolder(input, python) + "/python:";
  const std::vector<std::string> target = LreOn(CpuOf(python.system));
  return FileHead(python, "#", "Python, registered.") + std::string(kPublicPackage) + R"(
# Programs run where they are built for, so that is where the interpreter must be.
)" +
         Registration({.name = "python-toolchain",
                       .target = target,
                       .label = package + "runtimes",
                       .type = "@bazel_tools//tools/python:toolchain_type"}) +
         R"(
# What extension modules are compiled against: @rules_python//python/cc:current_py_cc_headers.
)" +
         Registration({.name = "python-cc-toolchain",
                       .target = target,
                       .label = package + "cc",
                       .type = "@rules_python//python/cc:toolchain_type"});
}

// "3.11" of "3.11.2".
std::string MinorVersion(const std::string& version) {
  const size_t dot = version.find('.');
  return version.substr(0, dot == version.npos ? dot : version.find('.', dot + 1));
}

// For programs that Python is a part of. The library lies where the distribution puts libraries.
std::vector<std::string> LinkFlags(const Manifest& manifest) {
  const PythonFacts& python = *manifest.python;
  const std::string directory = fmt::format(
      "{}/usr/lib/{}-linux-gnu", python.interpreter.substr(0, python.interpreter.find("/usr/bin/")),
      CpuOf(manifest.system));
  // The link editor looks below the sysroot for the libraries of libraries, unless told.
  return {"-L" + directory, "-lpython" + MinorVersion(python.version), "-Wl,-rpath," + directory,
          "-Wl,-rpath-link," + directory};
}

std::string PythonBuild(const Manifest& manifest) {
  const PythonFacts& python = *manifest.python;
  return FileHead(manifest, "#", "Python, by its absolute path in the store.") +
         fmt::format(R"(
load("@rules_python//python:py_runtime.bzl", "py_runtime")
load("@rules_python//python:py_runtime_pair.bzl", "py_runtime_pair")
load("@rules_python//python/cc:py_cc_toolchain.bzl", "py_cc_toolchain")
load(":cc.bzl", "lre_python_cc")

package(default_visibility = ["//visibility:public"])

py_runtime(
    name = "runtime",
    interpreter_path = {interpreter},
    python_version = "PY3",
    stub_shebang = {shebang},
)

py_runtime_pair(
    name = "runtimes",
    py3_runtime = ":runtime",
)

# For C and C++: an extension module is a cc_binary(linkshared = True) with the headers; a program
# that Python is a part of links the library, too.
lre_python_cc(
    name = "headers",
    include_directories = {includes},
)

lre_python_cc(
    name = "library",
    include_directories = {includes},
    link_flags = {link_flags},
)

py_cc_toolchain(
    name = "cc",
    headers = ":headers",
    libs = ":library",
    python_version = {version},
)
)",
                     fmt::arg("interpreter", StarlarkString(python.interpreter)),
                     fmt::arg("shebang", StarlarkString("#!" + python.interpreter)),
                     fmt::arg("includes", StarlarkList(python.include_dirs, 4)),
                     fmt::arg("link_flags", StarlarkList(LinkFlags(manifest), 4)),
                     fmt::arg("version", StarlarkString(MinorVersion(python.version))));
}

std::string CcText(const Manifest& python) {
  return FileHead(python, "#", "Python's headers and library for C and C++.") + R"(
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _cc_impl(ctx):
    return [CcInfo(
        compilation_context = cc_common.create_compilation_context(
            system_includes = depset(ctx.attr.include_directories),
        ),
        linking_context = cc_common.create_linking_context(
            linker_inputs = depset([cc_common.create_linker_input(
                owner = ctx.label,
                user_link_flags = ctx.attr.link_flags,
            )]),
        ),
    )]

lre_python_cc = rule(
    implementation = _cc_impl,
    attrs = {
        "include_directories": attr.string_list(mandatory = True),
        "link_flags": attr.string_list(),
    },
    doc = "Files of the store are no inputs: the directories in the command line say which they are.",
    provides = [CcInfo],
)
)";
}

// ---- examples: their bytes are inputs of actions, so only the BUILD file names the manifest ----

constexpr std::string_view kGreeting = R"EXAMPLE("""What the example says."""

import platform

import examples_count


def text(name):
    letters = examples_count.letters(name)
    return f"Hello, {name} ({letters} letters)! Python {platform.python_version()}"
)EXAMPLE";

constexpr std::string_view kHelloLre = R"EXAMPLE("""Says which Python runs it."""

from examples.python import greeting

if __name__ == "__main__":
    print(greeting.text("Local Remote Execution"))
)EXAMPLE";

constexpr std::string_view kGreetingTest =
    R"EXAMPLE("""Fails unless it runs on the Python of the store."""

import sys
import unittest

from examples.python import greeting


class GreetingTest(unittest.TestCase):
    def test_counts_in_c(self):
        self.assertIn("(20 letters)", greeting.text("Local Remote Execution"))

    def test_runs_on_the_store(self):
        self.assertTrue(sys.executable.startswith("/lre/store/"), sys.executable)
        self.assertTrue(sys.dont_write_bytecode)


if __name__ == "__main__":
    unittest.main()
)EXAMPLE";

constexpr std::string_view kExtension = R"EXAMPLE(// An extension module: counts letters.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject* Letters(PyObject* self, PyObject* arguments) {
  (void)self;
  const char* text;
  if (!PyArg_ParseTuple(arguments, "s", &text)) return NULL;
  long count = 0;
  for (; *text; ++text) count += (*text | 32) >= 'a' && (*text | 32) <= 'z';
  return PyLong_FromLong(count);
}

static PyMethodDef methods[] = {{"letters", Letters, METH_VARARGS, "Counts letters."},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "examples_count", NULL, -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_examples_count(void) { return PyModule_Create(&module); }
)EXAMPLE";

constexpr std::string_view kBuild = R"EXAMPLE(
load("@rules_cc//cc:cc_binary.bzl", "cc_binary")
load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_library.bzl", "py_library")
load("@rules_python//python:py_test.bzl", "py_test")

cc_binary(
    name = "examples_count.so",
    srcs = ["examples_count.c"],
    linkshared = True,
    deps = ["@rules_python//python/cc:current_py_cc_headers"],
)

py_library(
    name = "greeting",
    srcs = ["greeting.py"],
    data = [":examples_count.so"],
    imports = [
        ".",
        "../..",
    ],
)

py_binary(
    name = "hello_lre",
    srcs = ["hello_lre.py"],
    visibility = ["//visibility:public"],
    deps = [":greeting"],
)

py_test(
    name = "greeting_test",
    size = "small",
    srcs = ["greeting_test.py"],
    deps = [":greeting"],
)
)EXAMPLE";

}  // namespace

std::string PythonFolder(const GenerateInput& input, const Manifest& python) {
  return "generated-python" + Elsewhere(input, python);
}

const Manifest* PythonOf(const GenerateInput& input, const std::string& system) {
  if (input.python != nullptr && input.python->system == system) return input.python;
  const auto found = std::ranges::find(input.pythons, system, &Manifest::system);
  return found != input.pythons.end() ? *found : nullptr;
}

std::vector<GeneratedFile> PythonModule(const GenerateInput& input, const Manifest& python) {
  const std::string module = "local-remote-execution/";
  const std::string folder = module + PythonFolder(input, python);
  return {
      {module + python.name + ".json", PrintManifest(python)},
      {folder + "/config/BUILD.bazel", ConfigBuild(input, python)},
      {folder + "/python/BUILD.bazel", PythonBuild(python)},
      {folder + "/python/cc.bzl", CcText(python)},
  };
}

std::vector<GeneratedFile> PythonExamples(const GenerateInput& input) {
  const std::string examples = "local-remote-execution/examples/python/";
  return {
      {examples + "BUILD.bazel",
       FileHead(*input.python, "#", "Python of the store, with a module in C.") +
           std::string(kBuild) + std::string(SaidExample())},
      {examples + "examples_count.c", std::string(kExtension)},
      {examples + "greeting.py", std::string(kGreeting)},
      {examples + "greeting_test.py", std::string(kGreetingTest)},
      {examples + "hello_lre.py", std::string(kHelloLre)},
  };
}

}  // namespace lre::toolchain
