#!/usr/bin/env python3
"""Every dynamic program and library of the packages of GCC's closure, relocated and judged by others.

  test/toolchain/elf_test.py RELOCATE_ELF SOURCE_DIRECTORY

From the file as packaged: twice the same bytes; readelf reads all of it without a word; eu-elflint has nothing to say
that it did not say of the packaged file; patchelf reads back what was set; the loader finds the same libraries; and
programs print and return what the packaged ones do. A relocated file is refused; one that patchelf has been at is
relocated and judged the same, or refused."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def run(command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", **more)


def complaints(file):
    """What eu-elflint says, without the numbers of sections and places, which may differ."""
    lines = run(["eu-elflint", "--gnu-ld", file]).stdout.splitlines()
    # It takes a relocation to write as many bytes as its symbol has; one of a large table, near the end of the writable
    # segment, then seems to reach into the new one behind it.
    return {re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in lines
            if line != "No errors" and "read-only section modified but text relocation flag not set" not in line}


class Judge:
    def __init__(self, relocate, directory, loader, rpath):
        self.relocate, self.directory, self.loader, self.rpath = relocate, directory, loader, rpath

    def relocated(self, file, out):
        return run([self.relocate, file, out, self.loader, self.rpath])

    def libraries(self, file, *options):
        """The libraries that the loader finds for it, by name and place."""
        said = run([self.loader, *options, "--list", file], env={})
        # Of the loader itself only where it is, not by which name the file asks for it.
        return said.returncode, sorted(re.sub(r".* => (.*/ld-linux)", r"\1", line.split(" (0x")[0].strip())
                                       for line in said.stdout.splitlines())

    def judged(self, original, file, program):
        """What is wrong with `file`, which was relocated from `original`, or from what patchelf made of it."""
        said = run(["readelf", "-Wa", file]).stderr
        if said and said != run(["readelf", "-Wa", original]).stderr:
            yield f"readelf: {said.splitlines()[0]}"
        new = complaints(file) - complaints(original)
        if new:
            yield f"eu-elflint: {sorted(new)[0]}"
        rpath = run(["patchelf", "--print-rpath", file]).stdout.strip()
        if not rpath.endswith(self.rpath):
            yield f"patchelf reads the rpath '{rpath}'"
        if program and run(["patchelf", "--print-interpreter", file]).stdout.strip() != self.loader:
            yield "patchelf reads another interpreter"
        if self.libraries(file) != self.libraries(original, "--library-path", self.rpath):
            yield "the loader finds other libraries"
        if program and os.access(original, os.X_OK):
            before = run([self.loader, "--library-path", self.rpath, original, "--version"], env={}, timeout=20, cwd=self.directory)
            after = run([file, "--version"], env={}, timeout=20, cwd=self.directory)
            if (before.returncode, before.stdout) != (after.returncode, after.stdout):
                yield f"--version: {before.returncode} {before.stdout[:80]!r}, relocated {after.returncode} {after.stdout[:80]!r}"

    def judge(self, original):
        """None when the file is not one to relocate, else what is wrong with it relocated."""
        name = original.name
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        once, again, patched, after = (folder / part / name for part in ("once", "again", "patched", "after"))
        for file in (once, again, patched, after):
            file.parent.mkdir()
        said = self.relocated(original, once)
        if said.returncode == 3:
            return None
        if said.returncode != 0:
            return [said.stderr.strip()]
        program = run(["readelf", "-lW", original]).stdout.find("INTERP") >= 0
        wrong = list(self.judged(original, once, program))
        self.relocated(original, again)
        if once.read_bytes() != again.read_bytes():
            wrong.append("other bytes the second time")
        if self.relocated(once, again).returncode != 3:
            wrong.append("relocated a second time")
        shutil.copy(original, patched)
        if run(["patchelf", "--set-rpath", "/nowhere/at/all/but/long/enough/to/move/things", patched]).returncode == 0:
            said = self.relocated(patched, after)
            # What it has moved across two segments is refused, with the reason.
            if said.returncode != 0 and "INVALID_ARGUMENT" not in said.stderr:
                wrong.append(f"after patchelf: {said.stderr.strip()}")
            elif said.returncode == 0:
                wrong += [f"after patchelf: {each}" for each in self.judged(patched, after, program)]
        shutil.rmtree(folder)
        return wrong


def main():
    relocate, source = sys.argv[1], pathlib.Path(sys.argv[2])
    for tool in ("readelf", "eu-elflint", "patchelf", "dpkg-deb"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: tools/install-packages test")
    sys.path.insert(0, str(source / "test" / "toolchain"))
    import unpack_locked
    with tempfile.TemporaryDirectory() as directory:
        folders = unpack_locked.unpack(source / "lre.lock", directory, ["binutils", "gcc", "libc", "sysroot"])
        files = sorted(file for folder in folders for file in folder.rglob("*")
                       if file.is_file() and not file.is_symlink() and file.open("rb").read(4) == b"\x7fELF")
        rpath = ":".join(sorted({str(file.parent) for file in files if ".so" in file.name}))
        judge = Judge(relocate, directory, str(next(file for file in files if file.name == "ld-linux-x86-64.so.2")), rpath)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(judge.judge, files))
        bad = 0
        for file, wrong in zip(files, results):
            for each in wrong or []:
                print(f"{file.relative_to(directory)}: {each}")
                bad += 1
        judged = sum(result is not None for result in results)
        print(f"{judged} programs and libraries relocated and judged, {len(files) - judged} other ELF files left alone, {bad} faults")
        sys.exit(bad > 0 or judged < 60)


main()
