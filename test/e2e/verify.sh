#!/usr/bin/env bash
# `lre verify`: the example and the whole test project are 100 % shared in both directions with the same bytes;
# an action that is not reproducible and one that may not be cached are told apart from that, by name.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project farm_log=
copy_project "$farm_workspace"
farm_start

flags=(--bazel "$bazel" --server "$farm_cache" --output-base "$farm_dir/base" --logs "$farm_dir/logs")
for file in $bazel_rc "${farm_rc[@]}"; do flags+=("--startup-flag=--bazelrc=$file"); done
for flag in --nohome_rc "${farm_startup[@]}"; do flags+=("--startup-flag=$flag"); done
flags+=(--build-flag=--lockfile_mode=off)
for flag in "${farm_overrides[@]}"; do flags+=("--build-flag=$flag"); done
farm_log=$farm_dir/verify.log

# verify WHAT FLAGS...: its output goes to $farm_log.
verify() { (cd "$farm_workspace" && "$lre" verify "${flags[@]}" "$@") >"$farm_log" 2>&1; }
verify_end() {
  (cd "$farm_workspace" && "$bazel" --nohome_rc "${farm_startup[@]}" "--output_base=$farm_dir/base" shutdown >/dev/null 2>&1) || true
  farm_end
}
trap verify_end EXIT

# What is built when nothing is said: the example that every project with the module has.
verify --json || fail "the example: $(cat "$farm_log")"
cat "$farm_log"
[ "$(grep -c '"hits": 2,' "$farm_log")" = 2 ] || fail "not 2 hits both ways"
grep -q '"shared": true' "$farm_log" || fail "the example is not shared"

verify //... --test || fail "the test project: $(cat "$farm_log")"
cat "$farm_log"
grep -q 'remote, then local: .* 100 %' "$farm_log" || fail "not 100 %"
grep -q 'local, then remote: .* 100 %' "$farm_log" || fail "not 100 %"
grep -q ' 0 of them gave other bytes' "$farm_log" || fail "other bytes"

cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'

genrule(
    name = "clock",
    outs = ["clock.txt"],
    cmd = "date +%N > $@",
)

genrule(
    name = "uncached",
    outs = ["uncached.txt"],
    cmd = "echo > $@",
    tags = ["no-remote-cache", "no-remote"],
)
BUILD
if verify //:clock //:uncached; then fail "a clock is not reproducible"; fi
cat "$farm_log"
grep -q 'clock.txt is not reproducible' "$farm_log" || fail "the clock is not named"
grep -q '1 more may not be cached' "$farm_log" || fail "the uncached rule is not counted"
echo "passed"
