#!/usr/bin/env bash
# The Python examples on the Python of the store: a library with a module in C, a program that a genrule
# runs, a test. Remotely, where there is no other Python, then all cache hits here, and the reverse; programs
# name that Python and no other, and nobody leaves compiled modules behind. A test that fails says so as anywhere.
. "$(dirname "$0")/session.sh"
farm_verb="test"
copy_module "$farm_dir/project" lre-cc lre-py
farm_start
examples=@local-remote-execution//examples/python
sources=$farm_workspace/local-remote-execution/examples/python

# Runs on the worker only: here it is a cache hit.
cp "$sources/greeting_test.py" "$farm_dir/greeting_test.py"
sed -i '/^if __name__/i\
class WorkerTest(unittest.TestCase):\
    def test_there_is_no_other_python(self):\
        import glob, shutil\
        self.assertIsNone(shutil.which("python3"))\
        self.assertEqual(glob.glob("/usr/*/python*") + glob.glob("/usr/local/*/python*"), [])\
\
' "$sources/greeting_test.py"
# A program that Python is a part of.
cat >"$sources/embeds.c" <<'END'
#include <Python.h>

int main(void) { return puts(Py_GetVersion()) < 0; }
END
cat >>"$sources/BUILD.bazel" <<'END'

cc_binary(
    name = "embeds",
    srcs = ["embeds.c"],
    deps = [
        "@rules_python//python/cc:current_py_cc_headers",
        "@rules_python//python/cc:current_py_cc_libs",
    ],
)

genrule(
    name = "embedded",
    outs = ["embedded.txt"],
    cmd = "$(execpath :embeds) > $@",
    tools = [":embeds"],
)
END
remote_then_cached 8 "$examples:all" --test_output=errors

bin=$(echo "$farm_workspace"/bazel-bin/external/local-remote-execution*/examples/python)
said=$(cat "$bin/said.txt")
[[ "$said" == "Hello, Local Remote Execution (20 letters)! Python 3."* ]] || fail "the program said '$said'"
[[ "$said" == *"Python $(cut -d' ' -f1 "$bin/embedded.txt")" ]] || fail "the library said '$(cat "$bin/embedded.txt")'"
first=$(head -n 1 "$bin/hello_lre")
[[ "$first" =~ ^#!/lre/store/[0-9a-f]{32}-python/usr/bin/python3\.[0-9]+$ ]] || fail "a program begins with '$first'"

cp "$farm_dir/greeting_test.py" "$sources/greeting_test.py"
sed -i 's/counts letters/counts the letters/; s/long count = 0/long count = 0L/' "$sources/examples_count.c"
sed -i 's/Hello, /Hello again, /' "$sources/greeting.py"
here_then_remote "([0-9]+ remote cache hit, )?[0-9]+ $local_strategy" "$examples:all" --test_output=errors

# A test that fails.
sed -i 's/(20 letters)/(21 letters)/' "$sources/greeting_test.py"
if farm_build remote "$examples:greeting_test" --test_output=errors 2>/dev/null; then fail "a wrong test passed"; fi
grep -q '^FAIL: test_counts_in_c (__main__.GreetingTest' "$farm_log" || fail "no name of the test"
grep -q 'greeting_test.py", line [0-9]*, in test_counts_in_c' "$farm_log" || fail "no line"
grep -qF "AssertionError: '(21 letters)' not found in" "$farm_log" || fail "no reason"

left=$(find -L "$farm_workspace/local-remote-execution" "$farm_workspace/bazel-out/" -name '*.pyc' -print -quit)
[ -z "$left" ] || fail "$left was left behind"
