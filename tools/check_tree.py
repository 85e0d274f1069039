#!/usr/bin/env python3
"""Checks of the tree that need no compiler: layering, size of files and functions, words and forms that
HACKING.md rules out. Prints one line per finding, "path:line: what, and what to do"; exits 1 if any.

The layering table is tools/layers.txt, the same one that CMake reads. Exceptions to the size rules stand in
tools/tidy.allow, one per line: `path[:function] reason`.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# Folders that may include generated protobuf headers; elsewhere reapi/wire reads what is needed.
PROTOBUF_USERS = {"reapi", "action_cache", "service", "worker", "explain"}


def tracked_files():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(pathlib.PurePosixPath(line) for line in listing.splitlines() if (ROOT / line).is_file())


def read_layers():
    direct = {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        match = re.fullmatch(r"([a-z_/]+) *:([^:]*):([^:]*)", line)
        if match:
            direct[match[1]] = match[2].split()
    reach = {}

    def closure(folder, path=()):
        if folder in path:
            sys.exit("tools/layers.txt: cycle " + " -> ".join(path + (folder,)))
        if folder not in reach:
            found = {folder}
            for need in direct[folder]:
                found |= closure(need, path + (folder,))
            reach[folder] = found
        return reach[folder]

    for folder in direct:
        closure(folder)
    return reach


def folder_of(path, layers):
    """The folder of the table that holds src/<path>, longest match first."""
    parts = path.parts[:-1]
    for length in range(len(parts), 0, -1):
        name = "/".join(parts[:length])
        if name in layers:
            return name
    return None


def check_includes(path, lines, layers):
    relative = pathlib.PurePosixPath(*path.parts[1:])
    folder = folder_of(relative, layers)
    if folder is None:
        yield 1, f"folder {relative.parent} is not in tools/layers.txt; add it"
        return
    is_test = path.name.endswith(("_test.cc", "_contract.cc", "_contract.h")) or path.name.startswith("fake_")
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "([^"]+)"', line)
        if not match:
            continue
        target = pathlib.PurePosixPath(match[1])
        if target.suffix == ".h" and target.name.endswith(".pb.h"):
            if folder not in PROTOBUF_USERS and not (folder in ("store", "cli") and path.name.startswith("remote_")) \
                    and not is_test:
                yield number, f"generated protobuf header {target} in {folder}; only {sorted(PROTOBUF_USERS)} may"
            if target.name.endswith(".grpc.pb.h") and not is_test:
                yield number, "grpc++ is a judge in tests only"
            continue
        included = folder_of(target, layers)
        if included is None:
            yield number, f"{target} is not below src/<folder>/; write the full path from src/"
        elif included not in layers[folder]:
            yield number, f"{folder} may not include {included} (tools/layers.txt)"
    for number, line in enumerate(lines, 1):
        if re.match(r"#include <grpc", line) and not is_test:
            yield number, "grpc++ is a judge in tests only"


def check_functions(path, lines, allowed):
    """Functions by their shape after clang-format: a line that opens a body, and its closing brace."""
    for number, line in enumerate(lines, 1):
        match = re.match(r"( {0,4})(?!namespace|class|struct|enum|union|extern|if|for|while|switch|else|do\b)\S.*\{$", line)
        if not match or (")" not in line and ") " not in line):
            continue
        indent = match[1]
        if len(indent) % 2 or line.lstrip().startswith(("}", "//", "*")):
            continue
        if re.match(r"\s*(TEST|TEST_F|TEST_P|BENCHMARK)\b", line):
            continue
        for end in range(number, len(lines)):
            if lines[end].startswith(indent + "}"):
                length = end + 1 - number
                if length > FUNCTION_LINES_MAX and str(path) not in allowed:
                    yield number, f"function of {length} lines (at most {FUNCTION_LINES_MAX}); split it"
                break
            if lines[end].strip() and len(lines[end]) - len(lines[end].lstrip()) < len(indent):
                break


def check_source(path, lines, layers, allowed):
    if path.parts[0] == "src":
        yield from check_includes(path, lines, layers)
    if len(lines) > FILE_LINES_MAX and str(path) not in allowed:
        yield 1, f"{len(lines)} lines (at most {FILE_LINES_MAX}); split it by what it is about"
    yield from check_functions(path, lines, allowed)
    if path.suffix == ".h" and path.parts[:2] != ("test", "e2e"):
        if not lines or not lines[0].startswith("//"):
            yield 1, "a header starts with a paragraph: what it is, thread-safety, who owns it"
        if "#pragma once" not in lines:
            yield 1, "a header has #pragma once"
    for number, line in enumerate(lines, 1):
        if "NOLINT" in line:  # with its reason beside it
            continue
        code = line.split("//")[0]
        if path.parts[0] == "src" and "using namespace" in code and "literals" not in code:
            yield number, "no `using namespace`"
        if re.search(r"\bTODO\b(?!\(#\d+\))", line):
            yield number, "a TODO names its issue: TODO(#12)"
        if path.name.endswith("_test.cc") and re.search(r"\bsleep(_for|_until)?\s*\(|\busleep\s*\(", code):
            yield number, "tests do not sleep to wait: wait for the event, with a deadline"
        if re.search(r"\.detach\(\)", code):
            yield number, "no detached threads (base/thread_group.h)"


def check_words(path, text):
    """Words that must not be in the project: this machine's paths, mirror and registry hosts."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"\bdebian\.(org|net)\b|\bpypi\.org\b|\bnpmjs\b|\bcrates\.io\b|/work/(main|shared)\b", line) \
                and str(path) not in ("tools/check_tree.py",):
            yield number, "names a host or a path of one machine; read it from the machine's configuration"


def check_shell(text):
    """`grep -q` ends at its first match; under pipefail whoever still writes to it fails, now and then."""
    if not re.search(r"^set -\w*o pipefail|session\.sh|serve\.sh", text, re.M):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"\|\s*grep\s+-\w*q", line) and not re.search(r"\bsh -c\b|^\s*#", line):
            yield number, "grep -q at the end of a pipe; read it whole: grep >/dev/null"


def main():
    layers = read_layers()
    allow_file = ROOT / "tools/tidy.allow"
    allowed = {line.split()[0].split(":")[0] for line in allow_file.read_text().splitlines()
               if line.strip() and not line.startswith("#")} if allow_file.exists() else set()
    findings = 0
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        found = list(check_words(path, text))
        if path.suffix in (".cc", ".h") and path.parts[0] in ("src", "test", "bench"):
            found += list(check_source(path, text.splitlines(), layers, allowed))
        if path.suffix == ".sh":
            found += list(check_shell(text))
        for name in path.parts:
            if re.fullmatch(r"(util|utils|common|helpers?)(\..*)?", name):
                found.append((1, "nothing is named util, common or helpers: say what it is"))
        for number, what in found:
            print(f"{path}:{number}: {what}")
            findings += 1
    if findings:
        sys.exit(1)


if __name__ == "__main__":
    main()
