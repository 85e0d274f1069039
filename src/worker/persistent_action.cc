#include "worker/persistent_action.h"

#include <algorithm>
#include <string_view>

#include "base/file.h"
#include "digest/hasher.h"
#include "worker/output_tree.h"

namespace lre::worker {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;

// Labels of other repositories begin as flag files do: @repository//package:target.
bool IsLabel(std::string_view argument) {
  return argument.starts_with('@') && argument.find("//") != argument.npos;
}

bool IsFlagFile(std::string_view argument) {
  for (std::string_view prefix : {"@", "--flagfile=", "-flagfile="}) {
    if (argument.starts_with(prefix) && argument.size() > prefix.size()) return !IsLabel(argument);
  }
  return false;
}

Status Lacks(std::string_view what) {
  return ErrorStatus(Code::kFailedPrecondition, "the action {}", what);
}

// Puts the lines of flag files in the place of their names.
class Expander {
 public:
  Expander(const std::string& directory, const PersistentActionOptions& options,
           blaze::worker::WorkRequest& request)
      : inputs_(directory, ""), options_(options), request_(request) {}

  Status Add(const std::string& argument, int depth = 0) {
    bytes_ += argument.size() + 1;
    if (bytes_ > options_.arguments_bytes_max || depth > options_.flag_file_depth_max)
      return Lacks("has more arguments in flag files than a process is told");
    if (!argument.starts_with('@') || argument.starts_with("@@") || IsLabel(argument)) {
      request_.add_arguments(argument);
      return {};
    }
    std::string path = argument.substr(1);
    TRY(reapi::CheckRelativePath(path, "flag file"));
    TRY_ASSIGN(OutputTree::Entry entry, inputs_.Find(path));
    if (entry.kind != OutputTree::Kind::kFile)
      return Lacks(fmt::format("names the flag file {}, which is no input", path));
    TRY_ASSIGN(std::string text, ReadFile(entry.path, options_.arguments_bytes_max));
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find_first_of("\r\n", at), text.size());
      TRY(Add(text.substr(at, end - at), depth + 1));
      bool both = text.compare(end, 2, "\r\n") == 0;
      at = end + (both ? 2 : 1);
    }
    return {};
  }

 private:
  const OutputTree inputs_;
  const PersistentActionOptions& options_;
  blaze::worker::WorkRequest& request_;
  uint64_t bytes_ = 0;
};

// Unambiguous: every text comes behind its size.
class ToolHash {
 public:
  void Add(std::string_view text) {
    hasher_.Update(fmt::format("{} ", text.size()));
    hasher_.Update(text);
  }
  std::string Finish() { return hasher_.Finish().Hex(); }

 private:
  Hasher hasher_{DigestFunction::kSha256};
};

// Names all inputs in the request; adds those of the tool to `hash`. How many those are.
Result<size_t> AddInputs(const Digest& root, const DirectoryMap& tree, size_t inputs_max,
                         blaze::worker::WorkRequest& request, ToolHash& hash) {
  size_t tools = 0;
  // Not recursive: the tree is as deep as the client likes. Sorted, for the hash.
  std::vector<std::pair<std::string, Digest>> todo = {{"", root}};
  size_t entries = 0;
  while (!todo.empty()) {
    auto [prefix, digest] = std::move(todo.back());
    todo.pop_back();
    const InputDirectory& directory = *tree.at(digest);
    entries += directory.files.size() + directory.directories.size();
    if (entries > inputs_max) return std::unexpected(Lacks("has too many inputs"));
    for (const reapi::FileNode& file : directory.files) {
      std::string path = prefix + file.name;
      blaze::worker::Input* input = request.add_inputs();
      input->set_path(path);
      input->set_digest(file.digest.Hex());
      if (!std::binary_search(directory.tools.begin(), directory.tools.end(), file.name)) continue;
      ++tools;
      hash.Add(path);
      hash.Add(fmt::format("{} {}", file.digest, file.is_executable));
    }
    for (auto it = directory.directories.rbegin(); it != directory.directories.rend(); ++it)
      todo.emplace_back(prefix + it->name + "/", it->digest);
  }
  return tools;
}

// What lies at the top of the input root is not the process's to make: see sandbox::Command.
bool HasOutputAtTheTop(const reapi::Command& command) {
  for (const auto* list :
       {&command.output_paths, &command.output_files, &command.output_directories}) {
    for (const std::string& path : *list)
      if (path.find('/') == path.npos) return true;
  }
  return false;
}

}  // namespace

PersistentWish PersistentWishOf(const pb::Platform& platform) {
  PersistentWish wish;
  for (const pb::Platform::Property& property : platform.properties()) {
    if (property.name() == "persistentWorkerKey") wish.key = property.value();
    if ((property.name() == "persistentWorkerProtocol" ||
         property.name() == "requires-worker-protocol") &&
        property.value() == "json")
      wish.protocol = WorkProtocol::kJson;
  }
  return wish;
}

Result<PersistentAction> MakePersistentAction(const reapi::Command& command, const Digest& root,
                                              const DirectoryMap& tree,
                                              const std::string& directory,
                                              const PersistentActionOptions& options) {
  if (!command.working_directory.empty())
    return std::unexpected(Lacks("has a working directory below its input root"));
  if (HasOutputAtTheTop(command))
    return std::unexpected(Lacks("has an output at the top of its input root"));
  PersistentAction action;
  ToolHash hash;
  Expander expander(directory, options, action.request);
  bool has_flag_file = false;
  for (const std::string& argument : command.arguments) {
    if (IsFlagFile(argument)) {
      TRY(expander.Add(argument));
      has_flag_file = true;
    } else {
      action.start_arguments.push_back(argument);
      hash.Add(argument);
    }
  }
  if (!has_flag_file) return std::unexpected(Lacks("has no argument that is a flag file"));
  if (action.start_arguments.empty()) return std::unexpected(Lacks("names no program"));
  action.start_arguments.emplace_back("--persistent_worker");
  for (const auto& [name, value] : command.environment) {
    hash.Add(name);
    hash.Add(value);
  }
  TRY_ASSIGN(size_t tools, AddInputs(root, tree, options.inputs_max, action.request, hash));
  if (tools == 0) return std::unexpected(Lacks("marks no input as part of the tool"));
  action.tool = hash.Finish();
  return action;
}

}  // namespace lre::worker
