#!/usr/bin/env bash
# Every label and name that the generated files take from others is in the sources of the provided Bazel and
# its rules. (What newer rules have is said in test/golden/public_labels.txt; a unit test says that nothing
# else is taken.)
. "$(dirname "$0")/session.sh"
share=$(dirname "$(dirname "$bazel")")/root/usr/share/bazel
[ -d "$share" ] || { echo "the Bazel on PATH brings no sources of rules: nothing to look at"; exit 0; }
offline=$(echo "$(dirname "$bazel_rc")"/offline-[0-9])
checked=0 farm_log=none
while read -r label name; do
  case $label in '#'* | @platforms//*) continue ;; esac
  package=${label#@*//} package=${package%%:*} target=${label##*:}
  case $label in
    @bazel_tools//*) folder=$share/embedded_tools/$package ;;
    @rules_*)  # the rules that the offline flags name come first
      folder=${label%%//*} folder=${folder#@}
      if [ -d "$offline/$folder" ]; then folder=$offline/$folder/$package; else folder=$share/rules/${folder#rules_}/$package; fi
      ;;
    *) fail "no sources are known for $label" ;;
  esac
  if [ -n "$name" ]; then
    grep -qE "^def $name\(|^$name = " "$folder/$target" || fail "$folder/$target defines no $name"
  else
    grep -qE "name = \"$target\"" "$folder"/BUILD* || fail "$folder has no target $target"
  fi
  : $((checked += 1))
done <"$root/test/golden/public_labels.txt"
[ $checked -ge 20 ] || fail "only $checked labels checked"
echo "$checked labels are there"
