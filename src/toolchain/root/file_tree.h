// FileTree: a tree of files in memory, between the package it comes from and the store path it
// becomes. Working in memory keeps the rules that shape a tree (folding, links, relocation) pure
// functions; the bound is SyncOptions::tree_bytes_max. Paths are relative, without "./"; symlink
// targets that begin with '/' mean the root of the tree until LinkTargets has run. Folders exist
// through what is in them. Plain values, no thread-safety of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "toolchain/root/cas_tree.h"

namespace lre::toolchain {

struct FileNode {
  std::string content;  // bytes of a file, target of a symlink
  bool symlink = false;
  bool executable = false;
  friend bool operator==(const FileNode&, const FileNode&) = default;
};
using FileTree = std::map<std::string, FileNode, std::less<>>;

// A finished store path as others see it while they are made: what is in it, without the bytes.
struct Reference {
  std::string role;
  std::string path;  // "/lre/store/<hash>-libc"
  TreeListing listing;
  std::map<std::string, std::string, std::less<>> symlinks;  // path -> target
  std::map<std::string, bool, std::less<>> files;            // path -> executable
};
Reference MakeReference(std::string role, std::string path, TreeListing listing);

// "usr/lib/../bin/./x" -> "usr/bin/x"; ".." at the root stays at the root. A leading '/' goes.
std::string NormalPath(std::string_view path);
std::string_view ParentPath(std::string_view path);
std::string_view BaseName(std::string_view path);
// "a/b/c" as a target seen from a link at "a/x/y": "../b/c".
std::string RelativeTarget(std::string_view link, std::string_view target);

// Puts bin, sbin, lib, lib32, lib64 and libx32 below usr, as merged Debian systems have them.
std::string FoldUsr(std::string_view path);

// What `path` leads to when every symlink on the way is followed inside `tree`: a file's path, or
// the path of a folder. Empty when it leads to nothing or in circles. REQUIRES: targets as
// described above.
std::string Resolve(const FileTree& tree, std::string_view path);
// Whether a file or symlink lies below folder `path`.
bool HasFolder(const FileTree& tree, std::string_view path);

// Adds `from` to `into`. kAlreadyExists names a path that both have with different contents.
Status MergeTree(FileTree& into, FileTree from, std::string_view from_name);

// Makes every symlink one that holds anywhere: relative when its target is in the tree, absolute
// into the first reference that has it, and else left out (it would point into the host). Targets
// that already begin with a reference's path stay. Adds the links bin, sbin, lib, lib64 ... ->
// usr/... for the folders that exist. Returns the paths left out.
std::vector<std::string> LinkTargets(FileTree& tree,
                                     const std::vector<const Reference*>& references);

}  // namespace lre::toolchain
