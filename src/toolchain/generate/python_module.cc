// The Python part of the Bazel module: an interpreter by its absolute path, named in the first line
// of every program too. Bazel's own default there is "#!/usr/bin/env python3": the machine's
// Python, and no key would say which.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

std::string ConfigBuild(const GenerateInput& input) {
  return FileHead(*input.python, "#", "Python, registered.") +
         fmt::format(R"(
package(default_visibility = ["//visibility:public"])

# Programs run where they are built for, so that is where the interpreter must be.
toolchain(
    name = "python-toolchain",
    target_compatible_with = [
        "//generated-cc/config:lre",
        "@platforms//cpu:{cpu}",
        "@platforms//os:linux",
    ],
    toolchain = "//generated-python/python:runtimes",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
)",
                     fmt::arg("cpu", input.cpu));
}

std::string PythonBuild(const GenerateInput& input) {
  const PythonFacts& python = *input.python->python;
  return FileHead(*input.python, "#", "Python, by its absolute path in the store.") +
         fmt::format(R"(
load("@rules_python//python:py_runtime.bzl", "py_runtime")
load("@rules_python//python:py_runtime_pair.bzl", "py_runtime_pair")
load(":headers.bzl", "lre_python_headers")

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

# For extension modules: deps of the cc_binary(linkshared = True) that is one.
lre_python_headers(
    name = "headers",
    include_directories = {includes},
)
)",
                     fmt::arg("interpreter", StarlarkString(python.interpreter)),
                     fmt::arg("shebang", StarlarkString("#!" + python.interpreter)),
                     fmt::arg("includes", StarlarkList(python.include_dirs, 4)));
}

std::string HeadersText(const GenerateInput& input) {
  return FileHead(*input.python, "#", "Headers of the store for C and C++.") + R"(
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _headers_impl(ctx):
    return [CcInfo(compilation_context = cc_common.create_compilation_context(
        system_includes = depset(ctx.attr.include_directories),
    ))]

lre_python_headers = rule(
    implementation = _headers_impl,
    attrs = {"include_directories": attr.string_list(mandatory = True)},
    doc = "The headers are no inputs: the directory in the command line says which they are.",
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
    deps = ["//generated-python/python:headers"],
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

std::vector<GeneratedFile> PythonModule(const GenerateInput& input) {
  const std::string module = "local-remote-execution/", examples = module + "examples/python/";
  return {
      {module + input.python->name + ".json", PrintManifest(*input.python)},
      {module + "generated-python/config/BUILD.bazel", ConfigBuild(input)},
      {module + "generated-python/python/BUILD.bazel", PythonBuild(input)},
      {module + "generated-python/python/headers.bzl", HeadersText(input)},
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
