#!/usr/bin/env bash
# Two repositories that depend on the same library, kept in different places: what one of them has built remotely, the
# other finds in the cache, all of it, though its root module, its user, its output root and its workspace are others.
# The library depends on another and has a generator, a genrule that runs it, and Java. Then the binutils change, and
# nothing else of the toolchain: what was compiled is compiled again, Java and genrules are still hits.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/module" lre-cc lre-java
use_module_of "$farm_dir/module"

# repository NAME PLACE: a workspace whose root module is NAME and which has the library in PLACE.
repository() {
  mkdir -p "$farm_dir/$1/$2"
  cat >"$farm_dir/$1/MODULE.bazel" <<END
module(name = "$1")
bazel_dep(name = "local-remote-execution", version = "0")
bazel_dep(name = "rules_cc", version = "0.0.17")
bazel_dep(name = "shared", version = "1")
local_path_override(module_name = "shared", path = "$2")
END
  cat >"$farm_dir/$1/BUILD.bazel" <<END
load("@rules_cc//cc:defs.bzl", "cc_test")
cc_test(name = "$1", size = "small", srcs = ["$1.cc"], deps = ["@shared//:table"])
END
  printf '#include "table.h"\nint main() { return Table(3) == 9 ? 0 : 1; }  // %s\n' "$1" >"$farm_dir/$1/$1.cc"
  (
    cd "$farm_dir/$1/$2" || exit
    cat >MODULE.bazel <<'END'
module(name = "shared", version = "1")
bazel_dep(name = "rules_cc", version = "0.0.17")
bazel_dep(name = "rules_java", version = "7.6.5")
END
    cat >BUILD.bazel <<'END'
load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")
load("@rules_java//java:defs.bzl", "java_library")
package(default_visibility = ["//visibility:public"])
cc_library(name = "square", srcs = ["square.cc"], hdrs = ["square.h"])
cc_binary(name = "generator", srcs = ["generator.cc"], deps = [":square"])
genrule(name = "numbers", outs = ["numbers.inc"], cmd = "$(execpath :generator) > $@", tools = [":generator"])
genrule(name = "sorted", srcs = [":numbers"], outs = ["sorted.txt"], cmd = "tr , '\n' < $< | sort -rn > $@")
cc_library(name = "table", srcs = ["table.cc", "numbers.inc"], hdrs = ["table.h"], deps = [":square"])
java_library(name = "java", srcs = ["Numbers.java"], resources = [":sorted"])
END
    echo 'int Square(int number);' >square.h
    printf '#include "square.h"\nint Square(int number) { return number * number; }\n' >square.cc
    printf '#include <iostream>\n#include "square.h"\nint main() { for (int i = 0; i < 9; ++i) std::cout << Square(i) << ","; }\n' >generator.cc
    echo 'int Table(int number);' >table.h
    printf '#include "table.h"\nint Table(int number) {\n  static const int table[] = {\n#include "numbers.inc"\n  };\n  return table[number];\n}\n' >table.cc
    printf 'public class Numbers {\n  public static String name() { return "/sorted.txt"; }\n}\n' >Numbers.java
  )
}
repository first third_party/shared
repository second vendor/of/others
farm_start

farm_workspace=$farm_dir/first
farm_build remote @shared//:all
spawns=$(count_spawns)
[ "$spawns" -ge 12 ] || fail "only $spawns spawns"
expect_spawns "the first repository, remote" "$spawns remote"
farm_bazel shutdown

farm_workspace=$farm_dir/second farm_output_root=$farm_dir/elsewhere
mkdir -p "$farm_dir/home"
farm_client=(unshare --user --map-user=12345 --map-group=12345 env USER=somebody LOGNAME=somebody "HOME=$farm_dir/home")
farm_build cached @shared//:all
expect_spawns "the second, as somebody else" "$spawns remote cache hit"
# And the library is used: only what is the second's own is built.
farm_verb="test"
farm_build cached //:second --test_output=errors
expect_spawns "its own test" "([0-9]+ remote cache hit, )?[234] $local_strategy"

# The binutils with one file more: another path, and so another compiler, which knows the path of its assembler.
farm_verb=build
mkdir -p "$farm_dir/module/over/usr/share"
echo "another" >"$farm_dir/module/over/usr/share/another"
(cd "$farm_dir/module" && "$lre" dev lre-cc binutils=over) >"$farm_dir/dev.log" || { cat "$farm_dir/dev.log"; fail "lre dev"; }
farm_clean
farm_build cached @shared//:all --noslim_profile "--profile=$farm_dir/profile.json"
# Of each spawn, by what it is for: whether something was run, or only the cache asked. (Bazel 7 cannot write a log of
# spawns in which Java is compiled.)
python3 - "$farm_dir/profile.json" >"$farm_dir/hits" <<'END'
import collections, json, sys
events = [event for event in json.load(open(sys.argv[1]))["traceEvents"] if event.get("ph") == "X"]
counts = collections.Counter()
for action in events:
    if action.get("cat") != "action processing":
        continue
    within = {event["name"] for event in events if event["tid"] == action["tid"] and action["ts"] <= event["ts"] < action["ts"] + action["dur"]}
    if "check cache hit" in within:
        counts[action["args"]["mnemonic"], "hit" if "Remote.download" in within else "miss"] += 1
for (mnemonic, what), count in sorted(counts.items()):
    print(count, mnemonic, what)
END
cat "$farm_dir/hits"
count() { awk -v what="$1" '$3 == what { n += $1 } END { print n + 0 }' "$farm_dir/hits"; }
expect_spawns "other binutils" "$(count hit) remote cache hit, $(count miss) $local_strategy"
if grep ' Cpp.* hit' "$farm_dir/hits"; then fail "compiled with the old binutils"; fi
if grep -v ' Cpp' "$farm_dir/hits" | grep ' miss'; then fail "missed though it knows no binutils"; fi
for mnemonic in CppCompile CppArchive CppLink Genrule Javac; do
  grep -q " $mnemonic " "$farm_dir/hits" || fail "nothing was asked of $mnemonic"
done
