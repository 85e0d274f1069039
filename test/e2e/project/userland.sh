#!/bin/bash
# The userland that tests find: the same programs on every machine, from the store.
set -eu
cat "$1"
grep -q '^[1-9][0-9]* words$' "$1"
for program in sed awk grep tar find sort; do
  case $(command -v "$program") in
    /lre/store/*) ;;
    *) echo "$program is $(command -v "$program"), not of the store" >&2; exit 1 ;;
  esac
done
