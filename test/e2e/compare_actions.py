#!/usr/bin/env python3
"""Compares the commands of two `bazel aquery --output=jsonproto`: OURS THEIRS. Prints, for each kind of
action, the options that only one side has ("-": only theirs, "+": only ours) and those of both that stand
at another place. Names of tools and folders are made equal first."""
import collections
import difflib
import json
import re
import sys


def plain(argument):
    argument = re.sub(r"bazel-out/[^/]*/bin/", "bazel-out/bin/", argument)
    argument = re.sub(r"/lre/store/[0-9a-f]{32}-", "/lre/store/", argument)
    argument = re.sub(r"-l:?lib[S_]\S*", "-lSOLIB", argument)
    return re.sub(r"_solib_[a-z0-9_]*", "_solib", argument)


def commands(path):
    """(mnemonic, source or output) -> arguments without the program."""
    with open(path, encoding="utf-8") as file:
        actions = json.load(file).get("actions", [])
    found = {}
    for action in actions:
        arguments = list(action.get("arguments", []))
        for parameters in action.get("paramFiles", []):
            name = "@" + parameters["execPath"]
            if name in arguments:
                at = arguments.index(name)
                arguments[at : at + 1] = parameters["arguments"]
        arguments = [plain(a) for a in arguments[1:]]
        if action["mnemonic"] not in ("CppCompile", "CppLink", "CppArchive", "CppLTOIndexing", "CcLtoBackendCompile"):
            continue
        key = "-o" in arguments and arguments[arguments.index("-o") + 1] or arguments[1]
        found[action["mnemonic"] + " " + key] = arguments
    return found


def main():
    ours, theirs = commands(sys.argv[1]), commands(sys.argv[2])
    if set(ours) != set(theirs):
        print("actions of one side only:", *sorted(set(ours) ^ set(theirs)))
    found = {}
    for key in sorted(set(ours) & set(theirs)):
        lines = found.setdefault(key.split()[0], set())
        one, other = collections.Counter(ours[key]), collections.Counter(theirs[key])
        lines.update("+ " + option for option in one - other)
        lines.update("- " + option for option in other - one)
        both = [[a for a in side if a in one & other and overrides(a)] for side in (ours[key], theirs[key])]
        lines.update(out_of_order(*both))
    for mnemonic, lines in sorted(found.items()):
        for line in sorted(lines):
            print(mnemonic, line)


def overrides(option):
    """Whether its place among other options means anything."""
    return option.startswith("-") and not re.match(r"-(c|o|L.*|Wl,-S|Wl,-Map=.*|g.*|fsanitize=.*)$", option)


def out_of_order(ours, theirs):
    """The options that both have, but not at the same place among the others."""
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for what, start, end, _, _ in matcher.get_opcodes():
        if what != "equal":
            yield from ("moved " + option for option in ours[start:end])


main()
