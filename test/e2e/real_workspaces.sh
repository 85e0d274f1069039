# shellcheck shell=bash
# Sourced by the tests of real projects, after session.sh: workspaces made of Debian's source packages, with what they
# ask of registries taken out. Each function sets farm_workspace; both need the network or a filled cache once.
# shellcheck disable=SC2034,SC2154  # set for farm.sh, set in session.sh

# abseil_workspace: abseil and googletest, as the modules that a project of one's own depends on.
abseil_workspace() {
  local abseil googletest stubs=$farm_dir/stubs
  abseil=$("$root/tools/bazel/source" abseil "$shared/sources")
  googletest=$("$root/tools/bazel/source" googletest "$shared/sources")
  farm_workspace=$farm_dir/workspace
  mkdir -p "$farm_workspace" "$stubs/re2"
  # googletest's own tests are partly in Python, on which a module that others depend on does not depend.
  cp -R "$googletest" "$stubs/googletest"
  python3 - "$stubs/googletest/MODULE.bazel" <<'END'
import re, sys
text = open(sys.argv[1]).read()
text = re.sub(r"python = use_extension\([^)]*\)\npython\.toolchain\([^)]*\)\n", "", text)
open(sys.argv[1], "w").write(text.replace("    dev_dependency = True,\n", ""))
END
  # re2, which googletest names and these tests do not use, is a stub.
  echo 'module(name = "re2")' >"$stubs/re2/MODULE.bazel"
  echo 'cc_library(name = "re2", visibility = ["//visibility:public"])' >"$stubs/re2/BUILD.bazel"
  cat >"$farm_workspace/MODULE.bazel" <<'END'
module(name = "real_project")
bazel_dep(name = "local-remote-execution", version = "0")
bazel_dep(name = "abseil-cpp", version = "20260526.0")
bazel_dep(name = "googletest", version = "1.17.0")
bazel_dep(name = "re2", version = "1")
END
  : >"$farm_workspace/BUILD.bazel"
  farm_overrides+=("--override_module=abseil-cpp=$abseil" "--override_module=googletest=$stubs/googletest"
    "--override_module=re2=$stubs/re2")
}

# flatbuffers_workspace: flatbuffers itself, whose compiler generates sources that its test compiles. Without what is
# for other languages and for gRPC.
flatbuffers_workspace() {
  farm_workspace=$farm_dir/flatbuffers
  rm -rf "$farm_workspace"
  cp -R "$("$root/tools/bazel/source" flatbuffers "$shared/sources")" "$farm_workspace"
  cat >"$farm_workspace/MODULE.bazel" <<'END'
module(name = "flatbuffers", repo_name = "com_github_google_flatbuffers")
bazel_dep(name = "local-remote-execution", version = "0")
bazel_dep(name = "platforms", version = "0.0.10")
bazel_dep(name = "rules_cc", version = "0.0.17")
END
  python3 - "$farm_workspace" <<'END'
import pathlib, re, sys
for name in ("BUILD.bazel", "tests/BUILD.bazel"):
    file = pathlib.Path(sys.argv[1]) / name
    # One statement a line, or from a line that begins a call to the one that ends it.
    statements = re.findall(r'^[^\n]*\((?:[^\n]*\)|\n(?:.*\n)*?[)])\n|^.*\n', file.read_text(), re.M)
    gone = re.compile(r'@aspect|@npm|^npm_link|^copy_to_bin|grpc//:grpc|":monster_test_grpc"')
    file.write_text("".join(each for each in statements if not gone.search(each)))
END
}
