#!/usr/bin/env python3
"""Compiles every header of src/ alone: a header includes what it uses. Results are remembered by content in
build/check/, so a second run compiles only what changed. Needs a configured build (for generated protobuf)."""
import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEMORY = ROOT / "build/check/headers"


def compile_alone(header, proto):
    include = [f"-I{ROOT / 'src'}", f"-I{proto}"]
    preprocess = subprocess.run(["g++", "-std=c++23", "-E", "-P", "-w", *include, "-x", "c++", str(header)],
                                capture_output=True)
    key = hashlib.sha256(preprocess.stdout).hexdigest()
    if preprocess.returncode == 0 and (MEMORY / key).exists():
        return header, ""
    result = subprocess.run(["g++", "-std=c++23", "-fsyntax-only", "-w", *include, "-x", "c++", str(header)],
                            capture_output=True, text=True)
    if result.returncode == 0:
        (MEMORY / key).touch()
        return header, ""
    return header, result.stderr


def main():
    build = pathlib.Path(sys.argv[1])
    MEMORY.mkdir(parents=True, exist_ok=True)
    headers = sorted((ROOT / "src").rglob("*.h"))
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, error in pool.map(lambda h: compile_alone(h, build / "proto"), headers):
            if error:
                failed = True
                print(f"{header.relative_to(ROOT)}: does not compile alone\n{error}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
