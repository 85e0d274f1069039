#include "reapi/action.h"

#include <algorithm>
#include <tuple>

#include "reapi/digest_proto.h"

namespace lre::reapi {
namespace {

constexpr size_t kFileNameBytesMax = 255;  // NAME_MAX
constexpr size_t kPathBytesMax = 4095;     // PATH_MAX less its NUL
constexpr int64_t kTimeoutSecondsMax = 366 * 86400;

std::string_view Shown(std::string_view text) { return text.substr(0, 200); }

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

Result<Properties> ParsePlatform(const pb::Platform& platform) {
  Properties properties;
  properties.reserve(platform.properties_size());
  for (const auto& property : platform.properties()) {
    if (property.name().empty()) {
      return Error(Code::kInvalidArgument, "platform: a property with value \"{}\" has no name",
                   Shown(property.value()));
    }
    properties.emplace_back(property.name(), property.value());
  }
  std::sort(properties.begin(), properties.end());
  auto twice = std::adjacent_find(properties.begin(), properties.end());
  if (twice != properties.end()) {
    return Error(Code::kInvalidArgument, "platform: property \"{}\" has the value \"{}\" twice",
                 Shown(twice->first), Shown(twice->second));
  }
  return properties;
}

void EncodePlatform(const Properties& properties, pb::Platform* platform) {
  for (const auto& [name, value] : properties) {
    auto* property = platform->add_properties();
    property->set_name(name);
    property->set_value(value);
  }
}

Result<Duration> ParseTimeout(const google::protobuf::Duration& timeout) {
  if (timeout.seconds() < 0 || timeout.nanos() < 0 || timeout.nanos() > 999999999 ||
      timeout.seconds() > kTimeoutSecondsMax) {
    return Error(Code::kInvalidArgument, "action: timeout {} s {} ns is not from 0 to a year",
                 timeout.seconds(), timeout.nanos());
  }
  return std::chrono::seconds(timeout.seconds()) + std::chrono::nanoseconds(timeout.nanos());
}

Result<Digest> RequiredDigest(bool present, const pb::Digest& message, DigestFunction function,
                              std::string_view what) {
  if (!present) return Error(Code::kInvalidArgument, "{} is missing", what);
  Result<Digest> digest = FromProto(message, function);
  if (!digest) return std::unexpected(digest.error().WithContext(what));
  return digest;
}

// Sorts and checks one list of output paths.
Result<std::vector<std::string>> ParseOutputPaths(
    const google::protobuf::RepeatedPtrField<std::string>& list, std::string_view what,
    bool empty_allowed) {
  std::vector<std::string> paths(list.begin(), list.end());
  for (const std::string& path : paths) {
    if (path.empty() && empty_allowed) continue;
    TRY(CheckRelativePath(path, what));
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

Result<std::vector<std::pair<std::string, std::string>>> ParseEnvironment(
    const pb::Command& command) {
  std::vector<std::pair<std::string, std::string>> environment;
  environment.reserve(command.environment_variables_size());
  for (const auto& variable : command.environment_variables()) {
    if (variable.name().empty() || variable.name().find('=') != std::string::npos ||
        HasNul(variable.name()) || HasNul(variable.value())) {
      return Error(Code::kInvalidArgument,
                   "command: environment variable \"{}\": the name is empty or has '=', or name "
                   "or value have a NUL",
                   Shown(variable.name()));
    }
    environment.emplace_back(variable.name(), variable.value());
  }
  std::sort(environment.begin(), environment.end());
  for (size_t i = 1; i < environment.size(); i++) {
    if (environment[i].first == environment[i - 1].first) {
      return Error(Code::kInvalidArgument, "command: environment variable \"{}\" is set twice",
                   Shown(environment[i].first));
    }
  }
  return environment;
}

// Names must rise strictly: sorted by bytes, none twice.
Status CheckNextName(std::string_view list, const std::string& name, const std::string* before) {
  Status valid = CheckFileName(name);
  if (!valid.ok()) return valid.WithContext("directory");
  if (!before || *before < name) return Status();
  if (*before == name) {
    return ErrorStatus(Code::kInvalidArgument, "directory: \"{}\" is there twice", Shown(name));
  }
  return ErrorStatus(Code::kInvalidArgument, "directory: {} are not sorted: \"{}\" after \"{}\"",
                     list, Shown(name), Shown(*before));
}

Status CheckNodeProperties(const pb::NodeProperties& properties) {
  for (int i = 1; i < properties.properties_size(); i++) {
    if (!(properties.properties(i - 1).name() < properties.properties(i).name())) {
      return ErrorStatus(Code::kInvalidArgument,
                         "directory: node properties are not sorted at \"{}\"",
                         Shown(properties.properties(i).name()));
    }
  }
  return Status();
}

Result<FileNode> ParseFileNode(const pb::FileNode& node, DigestFunction function) {
  FileNode file{.name = node.name(), .is_executable = node.is_executable()};
  TRY_ASSIGN(file.digest, RequiredDigest(node.has_digest(), node.digest(), function,
                                         fmt::format("digest of file \"{}\"", Shown(node.name()))));
  if (!node.has_node_properties()) return file;
  const pb::NodeProperties& properties = node.node_properties();
  TRY(CheckNodeProperties(properties));
  if (properties.has_unix_mode()) file.unix_mode = properties.unix_mode().value();
  if (properties.has_mtime()) {
    const auto& mtime = properties.mtime();
    constexpr int64_t kSecondsMax = INT64_MAX / 1000000000 - 1;
    if (mtime.nanos() < 0 || mtime.nanos() > 999999999 || mtime.seconds() < -kSecondsMax ||
        mtime.seconds() > kSecondsMax) {
      return Error(Code::kInvalidArgument, "directory: mtime of \"{}\" is out of range",
                   Shown(node.name()));
    }
    file.mtime =
        WallTime(std::chrono::seconds(mtime.seconds()) + std::chrono::nanoseconds(mtime.nanos()));
  }
  return file;
}

// No name in two of the lists, which are sorted each.
Status CheckDisjoint(const Directory& directory) {
  std::vector<std::string_view> names;
  names.reserve(directory.files.size() + directory.directories.size() + directory.symlinks.size());
  for (const auto& node : directory.files) names.push_back(node.name);
  for (const auto& node : directory.directories) names.push_back(node.name);
  for (const auto& node : directory.symlinks) names.push_back(node.name);
  std::sort(names.begin(), names.end());
  auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return Status();
  return ErrorStatus(Code::kInvalidArgument, "directory: \"{}\" is there twice", Shown(*twice));
}

}  // namespace

Status CheckFileName(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > kFileNameBytesMax ||
      name.find('/') != std::string_view::npos || HasNul(name)) {
    return ErrorStatus(Code::kInvalidArgument, "\"{}\" is not the name of one file", Shown(name));
  }
  return Status();
}

Status CheckRelativePath(std::string_view path, std::string_view what) {
  if (path.size() > kPathBytesMax) {
    return ErrorStatus(Code::kInvalidArgument, "{}: a path of {} bytes; at most {} are taken", what,
                       path.size(), kPathBytesMax);
  }
  for (size_t start = 0;;) {
    size_t slash = path.find('/', start);
    std::string_view segment = path.substr(start, slash - start);
    if (!CheckFileName(segment).ok()) {
      return ErrorStatus(Code::kInvalidArgument,
                         "{}: \"{}\" is not a relative path of plain names joined by '/'", what,
                         Shown(path));
    }
    if (slash == std::string_view::npos) return Status();
    start = slash + 1;
  }
}

Result<Action> ParseAction(std::string_view bytes, DigestFunction function) {
  pb::Action message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kInvalidArgument, "action: its {} bytes are no Action message",
                 bytes.size());
  }
  Action action{.do_not_cache = message.do_not_cache(), .salt = message.salt()};
  TRY_ASSIGN(action.command, RequiredDigest(message.has_command_digest(), message.command_digest(),
                                            function, "action: command_digest"));
  TRY_ASSIGN(action.input_root,
             RequiredDigest(message.has_input_root_digest(), message.input_root_digest(), function,
                            "action: input_root_digest"));
  if (message.has_timeout()) {
    TRY_ASSIGN(action.timeout, ParseTimeout(message.timeout()));
  }
  if (message.has_platform()) {
    TRY_ASSIGN(action.platform, ParsePlatform(message.platform()));
  }
  return action;
}

Result<Command> ParseCommand(std::string_view bytes) {
  pb::Command message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kInvalidArgument, "command: its {} bytes are no Command message",
                 bytes.size());
  }
  Command command;
  command.arguments.assign(message.arguments().begin(), message.arguments().end());
  if (command.arguments.empty() || command.arguments[0].empty()) {
    return Error(Code::kInvalidArgument, "command: arguments are empty: no program to run");
  }
  for (const std::string& argument : command.arguments) {
    if (HasNul(argument)) {
      return Error(Code::kInvalidArgument, "command: argument \"{}\" has a NUL", Shown(argument));
    }
  }
  TRY_ASSIGN(command.environment, ParseEnvironment(message));
  // When the new list is there the old ones are for older servers and must be ignored.
  TRY_ASSIGN(command.output_paths,
             ParseOutputPaths(message.output_paths(), "command: output_paths", true));
  if (command.output_paths.empty()) {
    TRY_ASSIGN(command.output_files,
               ParseOutputPaths(message.output_files(), "command: output_files", false));
    TRY_ASSIGN(command.output_directories,
               ParseOutputPaths(message.output_directories(), "command: output_directories", true));
  }
  command.working_directory = message.working_directory();
  // As trexe says it.
  if (command.working_directory == ".") command.working_directory.clear();
  if (!command.working_directory.empty()) {
    TRY(CheckRelativePath(command.working_directory, "command: working_directory"));
  }
  if (message.has_platform()) {
    TRY_ASSIGN(command.platform, ParsePlatform(message.platform()));
  }
  command.output_node_properties.assign(message.output_node_properties().begin(),
                                        message.output_node_properties().end());
  const int format = message.output_directory_format();
  if (format < 0 || format > 2) {
    return Error(Code::kInvalidArgument, "command: output_directory_format {} is not known",
                 format);
  }
  command.output_directory_format = static_cast<OutputDirectoryFormat>(format);
  return command;
}

Result<Directory> ParseDirectory(std::string_view bytes, DigestFunction function) {
  pb::Directory message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kInvalidArgument, "directory: its {} bytes are no Directory message",
                 bytes.size());
  }
  Directory directory;
  directory.files.reserve(message.files_size());
  for (const auto& node : message.files()) {
    TRY(CheckNextName("files", node.name(),
                      directory.files.empty() ? nullptr : &directory.files.back().name));
    TRY_ASSIGN(FileNode file, ParseFileNode(node, function));
    directory.files.push_back(std::move(file));
  }
  directory.directories.reserve(message.directories_size());
  for (const auto& node : message.directories()) {
    TRY(CheckNextName(
        "directories", node.name(),
        directory.directories.empty() ? nullptr : &directory.directories.back().name));
    TRY_ASSIGN(Digest digest,
               RequiredDigest(node.has_digest(), node.digest(), function,
                              fmt::format("digest of directory \"{}\"", Shown(node.name()))));
    directory.directories.push_back({node.name(), digest});
  }
  for (const auto& node : message.symlinks()) {
    TRY(CheckNextName("symlinks", node.name(),
                      directory.symlinks.empty() ? nullptr : &directory.symlinks.back().name));
    if (node.target().empty() || node.target().size() > kPathBytesMax || HasNul(node.target())) {
      return Error(Code::kInvalidArgument, "directory: symlink \"{}\" has no usable target \"{}\"",
                   Shown(node.name()), Shown(node.target()));
    }
    directory.symlinks.push_back({node.name(), node.target()});
  }
  TRY(CheckDisjoint(directory));
  return directory;
}

std::string EncodeDirectory(Directory directory) {
  auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  std::sort(directory.files.begin(), directory.files.end(), by_name);
  std::sort(directory.directories.begin(), directory.directories.end(), by_name);
  std::sort(directory.symlinks.begin(), directory.symlinks.end(), by_name);
  pb::Directory message;
  for (const FileNode& file : directory.files) {
    auto* node = message.add_files();
    node->set_name(file.name);
    ToProto(file.digest, node->mutable_digest());
    node->set_is_executable(file.is_executable);
    if (file.unix_mode) {
      node->mutable_node_properties()->mutable_unix_mode()->set_value(*file.unix_mode);
    }
    if (file.mtime) {
      const int64_t nanos = file.mtime->time_since_epoch().count();
      const int64_t seconds = nanos >= 0 ? nanos / 1000000000 : -((999999999 - nanos) / 1000000000);
      auto* mtime = node->mutable_node_properties()->mutable_mtime();
      mtime->set_seconds(seconds);
      mtime->set_nanos(static_cast<int32_t>(nanos - seconds * 1000000000));
    }
  }
  for (const DirectoryNode& child : directory.directories) {
    auto* node = message.add_directories();
    node->set_name(child.name);
    ToProto(child.digest, node->mutable_digest());
  }
  for (const SymlinkNode& symlink : directory.symlinks) {
    auto* node = message.add_symlinks();
    node->set_name(symlink.name);
    node->set_target(symlink.target);
  }
  return SerializeDeterministically(message);
}

std::string EncodeAction(const Action& action) {
  pb::Action message;
  ToProto(action.command, message.mutable_command_digest());
  ToProto(action.input_root, message.mutable_input_root_digest());
  if (action.timeout) {
    message.mutable_timeout()->set_seconds(action.timeout->count() / 1000000000);
    message.mutable_timeout()->set_nanos(
        static_cast<int32_t>(action.timeout->count() % 1000000000));
  }
  message.set_do_not_cache(action.do_not_cache);
  message.set_salt(action.salt);
  if (action.platform) EncodePlatform(*action.platform, message.mutable_platform());
  return SerializeDeterministically(message);
}

std::string EncodeCommand(const Command& command) {
  pb::Command message;
  for (const auto& argument : command.arguments) message.add_arguments(argument);
  for (const auto& [name, value] : command.environment) {
    auto* variable = message.add_environment_variables();
    variable->set_name(name);
    variable->set_value(value);
  }
  for (const auto& path : command.output_paths) message.add_output_paths(path);
  for (const auto& path : command.output_files) message.add_output_files(path);
  for (const auto& path : command.output_directories) message.add_output_directories(path);
  message.set_working_directory(command.working_directory);
  if (command.platform) EncodePlatform(*command.platform, message.mutable_platform());
  for (const auto& name : command.output_node_properties) message.add_output_node_properties(name);
  message.set_output_directory_format(
      static_cast<pb::Command::OutputDirectoryFormat>(command.output_directory_format));
  return SerializeDeterministically(message);
}

Properties PlatformOf(const Action& action, const Command& command) {
  if (action.platform) return *action.platform;
  return command.platform.value_or(Properties());
}

}  // namespace lre::reapi
