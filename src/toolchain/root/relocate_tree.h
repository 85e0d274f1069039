// Makes the programs of a tree run from their store path: ELF files get the closure's loader and
// rpath, the loader and libc lose the host's paths, scripts get interpreters from the store. Works
// on trees as unpacked and merged, before links into other store paths are added. Thread-safe on
// distinct trees.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/elf/elf_file.h"
#include "toolchain/root/file_tree.h"

namespace lre::toolchain {

// What differs between processors.
struct SystemFacts {
  std::string system;   // "x86_64-linux"
  std::string triplet;  // "x86_64-linux-gnu", Debian's multiarch name and GCC's
  std::string loader;   // "ld-linux-x86-64.so.2"
  ElfMachine machine = ElfMachine::kOther;
  std::string debian;  // "amd64"
};
// kUnimplemented for a system that LRE has no toolchains for.
Result<SystemFacts> FindSystem(std::string_view system);
// The system of this machine.
std::string ThisSystem();

struct RelocateTreeOptions {
  std::string store_path;                    // where the tree will stand
  std::vector<const Reference*> references;  // the transitive closure, nearest first
  SystemFacts system;
  int threads = 2;
};

// kNotFound names the file and the library it needs that neither the tree nor its references have.
Status RelocateTree(FileTree& tree, const RelocateTreeOptions& options);

// The store path of the loader that programs of this tree use; kNotFound when none is in reach.
Result<std::string> FindLoader(const FileTree& tree, const RelocateTreeOptions& options);

// A first line that names `program`'s new place in the tree or its references; the same text when
// there is none or it is no script.
std::string RelocateShebang(std::string content, const FileTree& tree,
                            const RelocateTreeOptions& options);

}  // namespace lre::toolchain
