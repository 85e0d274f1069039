#!/usr/bin/env python3
"""Unpacks the packages of a lock's store paths as they were packaged, nothing relocated.

  test/toolchain/unpack_locked.py LOCK DIRECTORY STORE_PATH...

Each store path of the lock ("gcc", "libc") becomes DIRECTORY/<name>. The packages are those that `lre sync` or the
tests have downloaded; what is not there is an error that says so."""
import os
import pathlib
import subprocess
import sys
import tomllib


def packages_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "lre" / "packages"


def unpack(lock_file, directory, names):
    lock = tomllib.loads(pathlib.Path(lock_file).read_text())
    folders = []
    for name in names:
        folder = pathlib.Path(directory) / name
        folder.mkdir(parents=True)
        for package in lock["store"][name]["packages"]:
            deb = packages_folder() / (lock["package"][package]["sha256"] + ".deb")
            if not deb.exists():
                sys.exit(f"{deb} ({package}) is not there: make the toolchain first (lre sync)")
            subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
        folders.append(folder)
    return folders


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    unpack(sys.argv[1], sys.argv[2], sys.argv[3:])
