// Action, Command and Directory as LRE uses them: typed, validated copies of the messages that
// clients upload as blobs. Parsing refuses what the REAPI forbids and what would mean two things;
// unknown fields are ignored. Plain values, no thread-safety of their own.
//
// Where the REAPI asks clients to sort (environment, output paths, platform) but order has no
// meaning, any order is taken, since real clients differ; a name given twice is refused.
// Directories must be canonical: their bytes are their identity.
//
// Errors: kInvalidArgument naming the message, the field and the value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "digest/digest.h"

namespace lre::reapi {

// (name, value), sorted; a name may come several times with different values.
using Properties = std::vector<std::pair<std::string, std::string>>;

struct Action {
  Digest command;
  Digest input_root;
  std::optional<Duration> timeout;
  bool do_not_cache = false;
  std::string salt;
  std::optional<Properties> platform;  // set: wins over the command's
};

enum class OutputDirectoryFormat { kTreeOnly = 0, kDirectoryOnly = 1, kTreeAndDirectory = 2 };

struct Command {
  std::vector<std::string> arguments;                            // never empty
  std::vector<std::pair<std::string, std::string>> environment;  // sorted by name, names unique
  // Relative to the working directory, sorted, unique, no "." or "..". Either `output_paths` is
  // used (REAPI 2.1 and later) or the two old lists are.
  std::vector<std::string> output_paths, output_files, output_directories;
  std::string working_directory;  // relative to the input root; empty: the root itself
  std::optional<Properties> platform;
  std::vector<std::string> output_node_properties;
  OutputDirectoryFormat output_directory_format = OutputDirectoryFormat::kTreeOnly;
};

struct FileNode {
  std::string name;
  Digest digest;
  bool is_executable = false;
  std::optional<uint32_t> unix_mode;
  std::optional<WallTime> mtime;
  friend bool operator==(const FileNode&, const FileNode&) = default;
};
struct DirectoryNode {
  std::string name;
  Digest digest;
  friend bool operator==(const DirectoryNode&, const DirectoryNode&) = default;
};
struct SymlinkNode {
  std::string name;
  std::string target;
  friend bool operator==(const SymlinkNode&, const SymlinkNode&) = default;
};
// Every list sorted by name, names unique over all three.
struct Directory {
  std::vector<FileNode> files;
  std::vector<DirectoryNode> directories;
  std::vector<SymlinkNode> symlinks;
  friend bool operator==(const Directory&, const Directory&) = default;
};

// `function` is that of the request: every digest inside an uploaded message has the function of
// the digest it was asked for by.
Result<Action> ParseAction(std::string_view bytes, DigestFunction function);
Result<Command> ParseCommand(std::string_view bytes);
Result<Directory> ParseDirectory(std::string_view bytes, DigestFunction function);
// The canonical bytes. The lists are sorted first.
std::string EncodeDirectory(Directory directory);
std::string EncodeAction(const Action& action);
std::string EncodeCommand(const Command& command);

// What the action asks of a worker: its own platform, else the command's.
Properties PlatformOf(const Action& action, const Command& command);

// One path segment: not empty, not "." or "..", no '/' and no NUL, at most 255 bytes.
Status CheckFileName(std::string_view name);
// A path below something: segments as above joined by '/'. `what` names the field in the error.
Status CheckRelativePath(std::string_view path, std::string_view what);

}  // namespace lre::reapi
