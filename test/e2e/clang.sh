#!/usr/bin/env bash
# The test project and every feature of the C++ toolchain with clang: C, C++, assembler, static and shared,
# sanitizers that find what they are for (leaks too) inside the worker's sandbox. With GCC's C++ library and with
# clang's own: built and tested remotely it is all cache hits locally, and the reverse; then by thin LTO.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/module" lre-cc lre-clang
use_module_of "$farm_dir/module"
farm_workspace=$farm_dir/project
farm_verb="test"
copy_project "$farm_workspace"
cp -R "$root/test/e2e/features" "$farm_workspace/features"
farm_start

for config in clang clang-libcxx; do
  farm_clean
  farm_build remote //... @local-remote-execution//examples:hello_lre "--config=$config" --test_output=errors
  spawns=$(count_spawns)
  [ "$spawns" -ge 60 ] || fail "only $spawns spawns"
  # What does not know the compiler's C++ library is there already.
  expect_spawns "$config, remote" "([0-9]+ remote cache hit, )?[0-9]+ remote"
  farm_clean
  farm_build cached //... @local-remote-execution//examples:hello_lre "--config=$config"
  expect_spawns "$config, clean, local" "$spawns remote cache hit"
done

new_sources "$farm_workspace" 1
sed -i 's/not positive/nought or less/' "$farm_workspace/features/text.cc"
here_then_remote "([0-9]+ remote cache hit, )?[0-9]+ $local_strategy" --config=clang --test_output=errors \
  //:throws_dynamic //:generated //features:plain //features:shared //features:asan

farm_clean
echo "thin LTO"
remote_then_cached 4 //features:plain //features:shared --config=clang --features=thin_lto -c opt --test_output=errors \
  "--execution_log_json_file=$farm_dir/spawns.json"
for mnemonic in CppLTOIndexing CcLtoBackendCompile; do
  grep -q "\"mnemonic\": \"$mnemonic\"" "$farm_dir/spawns.json" || fail "thin LTO without any $mnemonic"
done

# The sanitizers with GCC.
farm_clean
farm_build remote //features:asan //features:lsan //features:tsan //features:ubsan --test_output=errors
spawns=$(count_spawns)
expect_spawns "sanitizers of GCC, remote" "([0-9]+ remote cache hit, )?[0-9]+ remote"
farm_clean
farm_build cached //features:asan //features:lsan //features:tsan //features:ubsan
expect_spawns "sanitizers of GCC, clean, local" "$spawns remote cache hit"
