#!/usr/bin/env bash
# The C++ toolchains know what Bazel's own for Unix knows: the names of the features, and for the same GCC the
# same command lines, but for the differences below. And each feature does what it is for, with GCC and clang.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/module" lre-cc lre-clang
use_module_of "$farm_dir/module"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
cp -R "$root/test/e2e/features" "$farm_workspace/features"
gcc=$(sed -n 's/^ *"gcc": "\(.*\)",$/\1/p' "$farm_dir/module/local-remote-execution/toolchain.json")
clang=$(sed -n 's/^ *"clang": "\(.*\)",$/\1/p' "$farm_dir/module/local-remote-execution/lre-clang.json")

# ---- names ----
farm_build alone //features:sum
bazel_tools=$(readlink "$(farm_bazel info --lockfile_mode=off output_base 2>/dev/null)/external/bazel_tools")
# The provided Bazel sees a /usr of its own.
[ -d "$bazel_tools" ] || bazel_tools=$(dirname "$(dirname "$bazel")")/root$bazel_tools
theirs=$bazel_tools/tools/cpp/unix_cc_toolchain_config.bzl
[ -e "$theirs" ] || fail "no $theirs"
python3 - "$theirs" "$farm_workspace/known" <<'END' || fail "no list of features"
import os, re, sys
names = set(re.findall(r'(?:feature|_feature)\(\s*name = "([a-z0-9_]+)"', open(sys.argv[1]).read()))
# What Bazel itself has, or asks toolchains for.
names |= set("""archiver_flags autofdo build_interface_libraries cs_fdo_instrument cs_fdo_optimize dependency_file
  dynamic_library_linker_tool fdo_instrument fdo_prefetch_hints force_pic_flags fully_static_link include_paths includes
  legacy_compile_flags legacy_link_flags library_search_directories linkstamps output_execpath_flags pic preprocessor_defines propeller_optimize
  random_seed shared_flag strip_debug_symbols compiler_output_flags symbol_counts user_archiver_flags""".split())
# What the toolchains of rules_cc 0.2.22 (for Bazel 8 and 9) know besides.
newer = set("""clang_trace compiler_input_flags compiler_output_flags cpp_module_modmap_file cpp_modules cpp20_module_compile_flags
  fastbuild lsan macos_reproducible no_dotd_file no_use_lto_indexing_bitcode_file parse_headers_as_c prefer_pic_for_opt_binaries
  skip_virtual_includes trace use_lto_native_object_directory""".split())
os.mkdir(sys.argv[2])
open(sys.argv[2] + "/names.bzl", "w").write("NAMES = %r\n" % sorted(names | newer))
open(sys.argv[2] + "/newer", "w").write("\n".join(newer) + "\n")
END
# Asked of the toolchain that Bazel made of them: a name counts if it can be switched on.
cat >"$farm_workspace/known/known.bzl" <<'END'
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")
load(":names.bzl", "NAMES")

def _known(ctx):
    toolchain = find_cc_toolchain(ctx)
    known = []
    for name in NAMES:
        for also in [[], ["coverage"], ["trace"]]:  # which some need
            features = cc_common.configure_features(
                cc_toolchain = toolchain,
                ctx = ctx,
                requested_features = [name] + also,
            )
            if cc_common.is_enabled(feature_configuration = features, feature_name = name):
                known.append(name)
                break
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(out, "\n".join(known) + "\n")
    return DefaultInfo(files = depset([out]))

known = rule(
    implementation = _known,
    attrs = {"_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain")},
    fragments = ["cpp"],
    toolchains = use_cc_toolchain(),
)
END
printf 'load(":known.bzl", "known")\n\nknown(name = "known")\n' >"$farm_workspace/known/BUILD.bazel"
# For macOS, and C++20 modules, whose scanner neither compiler's packages have.
not_here="libtool macos_default_link_flags macos_minimum_os macos_reproducible set_install_name
  cpp_modules cpp_module_modmap_file cpp20_module_compile_flags"
# Of clang and lld, though Bazel's own lists some for GCC too.
not_of_gcc="thin_lto no_use_lto_indexing_bitcode_file use_lto_native_object_directory supports_start_end_lib
  serialized_diagnostics_file trace clang_trace"
not_of_clang="fission_support" # whose flag lld does not need
module_rc=("${farm_rc[@]}")
for compiler in gcc clang; do
  flags=() not_of=not_of_$compiler
  [ $compiler = gcc ] || flags=(--config=clang)
  farm_build alone //known "${flags[@]}"
  cp -L "$farm_workspace/bazel-bin/known/known.txt" "$farm_dir/known.ours"
  farm_rc=()
  farm_build alone //known "--repo_env=CC=${!compiler}"
  farm_rc=("${module_rc[@]}")
  sort -u "$farm_workspace/bazel-bin/known/known.txt" "$farm_workspace/known/newer" >"$farm_dir/known.theirs"
  # shellcheck disable=SC2086  # words
  missing=$(sort "$farm_dir/known.ours" | comm -13 - "$farm_dir/known.theirs" |
    grep -vxF "$(printf '%s\n' $not_here ${!not_of})" | paste -sd' ' || true)
  echo "$compiler: $(wc -l <"$farm_dir/known.theirs") features of Bazel's own toolchains, $(comm -12 <(sort "$farm_dir/known.ours") \
    "$farm_dir/known.theirs" | wc -l) here too, not accounted for: ${missing:-none}"
  [ -z "$missing" ] || fail "the features of $compiler"
done

# ---- command lines ----
# actions FILE FLAGS: the commands of the features project, with the module's compiler or that of a Bazel that finds it.
targets="//features:sum + //features:text + //features:program"
actions() {
  local file=$1
  shift
  farm_bazel aquery --lockfile_mode=off --output=jsonproto --include_param_files "${farm_overrides[@]}" "$@" "$targets" \
    >"$file" 2>"$farm_dir/aquery.log" || { cat "$farm_dir/aquery.log" >&2; fail "aquery $*"; }
}
gcc_flag_sets=("" "-c opt" "-c dbg --fission=yes" --features=asan --features=tsan --features=ubsan --collect_code_coverage
  "--features=fully_static_link --features=treat_warnings_as_errors --features=generate_linkmap"
  "--copt=-DUSER --cxxopt=-DUSER_CXX --conlyopt=-DUSER_C --linkopt=-lm" --fdo_instrument=/tmp/profile
  "--features=parse_headers --process_headers_in_dependencies --features=external_include_paths")
# Fewer: most flags are those of GCC.
clang_flag_sets=("--features=layering_check --features=asan" "-c opt --features=thin_lto"
  "-c dbg --fission=yes --copt=-DUSER --cxxopt=-DUSER_CXX --conlyopt=-DUSER_C --linkopt=-lm"
  --collect_code_coverage)
for compiler in gcc clang; do
  # Bazel's own for GCC links with gold where there is one, which knows more than GNU ld.
  choice=(--nostart_end_lib) sets="${compiler}_flag_sets[@]" index=0
  [ $compiler = gcc ] || choice=(--config=clang)
  for flags in "${!sets}"; do
    # shellcheck disable=SC2086  # words
    actions "$farm_dir/ours.$((index += 1)).json" "${choice[@]}" $flags
  done
  farm_rc=() index=0
  [ $compiler = gcc ] || choice=()
  for flags in "${!sets}"; do
    # shellcheck disable=SC2086
    actions "$farm_dir/theirs.$((index += 1)).json" "${choice[@]}" "--repo_env=CC=${!compiler}" --incompatible_strict_action_env $flags
    echo "== $compiler $flags"
    python3 "$root/test/e2e/compare_actions.py" "$farm_dir/ours.$index.json" "$farm_dir/theirs.$index.json"
  done
  farm_rc=("${module_rc[@]}")
done >"$farm_dir/differences"
diff "$root/test/e2e/cc_features.expected" "$farm_dir/differences" ||
  fail "other command lines than expected: < expected differences, > those found ($farm_dir/differences)"
echo "command lines: $(grep -c '^==' "$farm_dir/differences") sets of flags compared, the differences are those of cc_features.expected"

# ---- what each does ----
# refuses TARGET WORDS FLAGS: it must not build, and say so.
refuses() {
  local target=$1 words=$2
  shift 2
  farm_build alone "$target" "$@" 2>/dev/null && fail "$target was built with $*"
  grep -q "$words" "$farm_log" || fail "$target with $*: not refused for '$words'"
  echo "$target is refused: $words"
}
# linked_by PROGRAM: the link editor that made it, by what each leaves behind; GNU ld leaves nothing.
linked_by() {
  if readelf -SW "$1" | grep >/dev/null gnu.gold-version; then echo gold; elif readelf -p .comment "$1" | grep >/dev/null LLD; then echo lld; else echo bfd; fi
}
bin=$farm_workspace/bazel-bin/features
for config in gcc clang clang-libcxx; do
  flags=()
  [ $config = gcc ] || flags=("--config=$config")
  headers=(--features=parse_headers --process_headers_in_dependencies)
  farm_build alone //features:sum //features:text "${headers[@]}" "${flags[@]}"
  refuses //features:lacks_an_include "std" "${headers[@]}" "${flags[@]}"
  refuses //features:warns "unused variable" --features=treat_warnings_as_errors "${flags[@]}"
  [ $config = clang-libcxx ] && continue
  linkers=(bfd gold)
  [ $config = gcc ] || linkers+=(lld)
  for linker in "${linkers[@]}"; do
    # GNU ld does not know the options that the toolchain of clang, whose own is lld, uses instead of archives.
    more=()
    [ "$config $linker" != "clang bfd" ] || more=(--nostart_end_lib)
    farm_build alone //features:program "--linkopt=-fuse-ld=$linker" "${more[@]}" "${flags[@]}"
    [ "$(linked_by "$bin/program")" = "$linker" ] || fail "$config with -fuse-ld=$linker: linked by $(linked_by "$bin/program")"
  done
  farm_build alone -c dbg --fission=yes //features:program.dwp "${flags[@]}"
  # readelf is not content with all of it, but reads what matters.
  readelf --debug-dump=info "$bin/program.dwp" >"$farm_dir/dwarf" 2>&1 || true
  grep -q DW_TAG_subprogram "$farm_dir/dwarf" || fail "the debug package of $config describes no function"
done
# Archives of objects for the link editor's own optimisation: what is in them is found, and defined once.
farm_build alone //features:program --copt=-flto --linkopt=-flto
find -L "$bin/" -name 'sum.*o' -path '*/sum/*' -exec readelf -SW {} + | grep >/dev/null '\.gnu\.lto_' || fail "-flto makes no such objects"
refuses //features:takes_what_it_does_not_name "does not depend on a module exporting 'sum.h'" --config=clang
farm_build alone //features:names_what_it_takes --config=clang
farm_build alone //features:program //features:static_runtimes --config=clang-libcxx
if readelf -d "$bin/program" "$bin/static_runtimes" | grep NEEDED | grep -v 'lib[cm]\.so'; then
  fail "a program with clang's C++ library needs more than libc"
fi
for flags in "" --config=clang; do
  farm_build alone //features:static_runtimes ${flags:+"$flags"}
  if readelf -d "$bin/static_runtimes" | grep NEEDED | grep -v 'lib[cm]\.so\|ld-linux'; then
    fail "a program with static run-time libraries needs the above"
  fi
done
# Newer Bazels say by a feature what 7 says by a link variable: that a program is a test. And a test may be told to
# take the machine's C library.
mkdir "$farm_workspace/loaders"
cat >"$farm_workspace/loaders/BUILD.bazel" <<'END'
cc_binary(name = "test_of_newer", srcs = ["main.c"], features = ["is_cc_test"])
cc_test(name = "test_of_host", srcs = ["main.c"], features = ["lre_host_loader"])
END
echo 'int main(void) { return 0; }' >"$farm_workspace/loaders/main.c"
farm_build alone //loaders:all
loader_of() { readelf -lW "$farm_workspace/bazel-bin/loaders/$1" | sed -n 's/.*interpreter: \(.*\)]/\1/p'; }
[[ "$(loader_of test_of_newer)" == /lre/store/* ]] || fail "the loader of newer Bazels' tests is $(loader_of test_of_newer)"
[[ "$(loader_of test_of_host)" == /lib64/* ]] || fail "the loader of a test that is told so is $(loader_of test_of_host)"
# Archives with the same symbol twice. The rule is an experiment of Bazel 7, so it is not among the features.
mkdir "$farm_workspace/archives"
cat >"$farm_workspace/archives/BUILD.bazel" <<'END'
cc_library(name = "other", srcs = ["other.cc"])
cc_static_library(name = "once", features = ["symbol_check"], deps = ["//features:text"])
cc_static_library(name = "twice", features = ["symbol_check"], deps = [":other", "//features:text"])
END
printf '#include <string>\nstd::string SumText(int, int) { return ""; }\n' >"$farm_workspace/archives/other.cc"
sed -i '/name = "text",/a\    visibility = ["//visibility:public"],' "$farm_workspace/features/BUILD.bazel"
for config in gcc clang; do
  flags=(--experimental_cc_static_library)
  [ $config = gcc ] || flags+=("--config=$config")
  farm_build alone //archives:once "${flags[@]}"
  refuses //archives:twice "SumText.*in .*text.pic.o.*other.pic.o\|SumText.*in .*other.pic.o.*text.pic.o" "${flags[@]}"
done

# Two objects with GCC's intermediate code.
farm_build alone //archives:once --experimental_cc_static_library --copt=-flto

# A profile of the program, and the program made with it.
farm_build alone -c opt //features:program --config=clang "--fdo_instrument=$farm_dir/profile"
"$bin/program" >/dev/null
profile=$(find "$farm_dir/profile" -name '*.profraw')
farm_build alone -c opt //features:program --config=clang "--fdo_optimize=$profile" -s
grep -q -- "-fprofile-use=" "$farm_log" || fail "no compile uses the profile"
