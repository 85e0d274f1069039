#!/usr/bin/env bash
# The Go and Rust examples by the rules of the module: libraries, programs that a genrule runs, tests, a macro that runs
# in the compiler, a function in C. Remotely, then all cache hits here, and the reverse; no output says where it was made.
. "$(dirname "$0")/session.sh"
farm_verb="test"
copy_module "$farm_dir/project" lre-cc lre-go lre-rust
farm_start
examples=(@local-remote-execution//examples/go:all @local-remote-execution//examples/rust:all)
sources=$farm_workspace/local-remote-execution/examples

remote_then_cached 20 "${examples[@]}" --test_output=errors
bin=$(echo "$farm_workspace"/bazel-bin/external/local-remote-execution*/examples)
for said in "go:Hello, Local Remote Execution! go1." "rust:Hello, LocalRemoteExecution! (20 letters)"; do
  [[ "$(cat "$bin/${said%%:*}/said.txt")" == "${said#*:}"* ]] || fail "${said%%:*} said '$(cat "$bin/${said%%:*}/said.txt")'"
done
if grep -rlaE "$farm_workspace|/execroot/" "$bin/go/" "$bin/rust/" --include='*.a' --include='*.rlib' --include=hello_lre; then
  fail "the files above say where they were made"
fi

sed -i 's/"Hello, "/"Hello again, "/' "$sources/go/greeting.go"
sed -i 's/Output: Hello/Output: Hello again/' "$sources/go/greeting_test.go"
sed -i 's/\\"Hello, NAME/\\"Hello, dear NAME/' "$sources/rust/greeter.rs"
sed -i 's/Hello, Local/Hello, dear Local/' "$sources/rust/greeting.rs"
here_then_remote "([0-9]+ remote cache hit, )?[0-9]+ $local_strategy" "${examples[@]}" --test_output=errors
