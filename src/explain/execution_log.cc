#include "explain/execution_log.h"

#include <google/protobuf/util/json_util.h>
#include <zstd.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/file.h"
#include "bazel/execution_log.pb.h"

namespace lre::explain {
namespace {

namespace pb = ::tools::protos;
using Entry = pb::ExecLogEntry;

constexpr size_t kMessageBytesMax = 256 << 20;
constexpr uint64_t kLogBytesMax = uint64_t{16} << 30;
constexpr std::string_view kZstdMagic("\x28\xB5\x2F\xFD", 4);

// Empty files may come without a digest.
std::string DigestText(const pb::Digest& digest) {
  if (digest.hash().empty()) return "(empty)";
  return fmt::format("{}/{}", digest.hash(), digest.size_bytes());
}
std::string LinkText(std::string_view target) { return fmt::format("-> {}", target); }

std::map<std::string, std::string> Environment(
    const google::protobuf::RepeatedPtrField<pb::EnvironmentVariable>& variables) {
  std::map<std::string, std::string> environment;
  for (const auto& variable : variables) environment[variable.name()] = variable.value();
  return environment;
}
std::map<std::string, std::string> PlatformOf(const pb::Platform& platform) {
  std::map<std::string, std::string> properties;
  for (const auto& property : platform.properties()) {
    std::string& value = properties[property.name()];
    value += (value.empty() ? "" : ",") + property.value();
  }
  return properties;
}

// What SpawnExec and ExecLogEntry.Spawn have under the same names.
template <typename Message>
Spawn Common(const Message& message) {
  Spawn spawn;
  spawn.target = message.target_label();
  spawn.mnemonic = message.mnemonic();
  spawn.runner = message.runner();
  spawn.status = message.status();
  if (!message.digest().hash().empty()) spawn.action = DigestText(message.digest());
  spawn.cache_hit = message.cache_hit();
  spawn.remotable = message.remotable();
  spawn.cacheable = message.cacheable() && message.remote_cacheable();
  spawn.exit_code = message.exit_code();
  spawn.facts.platform = PlatformOf(message.platform());
  spawn.facts.timeout_ms = message.timeout_millis();
  return spawn;
}

// Splits a stream of messages, each after its length as a varint; the bytes may come in pieces.
class Splitter {
 public:
  explicit Splitter(std::function<Status(std::string_view)> take) : take_(std::move(take)) {}

  Status Update(std::string_view piece) {
    buffer_.append(piece);
    std::string_view rest = buffer_;
    for (;;) {
      size_t length = 0, used = 0;
      bool complete = false;
      while (used < rest.size() && used < 10 && !complete) {
        auto byte = static_cast<unsigned char>(rest[used]);
        length |= static_cast<size_t>(byte & 0x7f) << (7 * used);
        complete = byte < 0x80;
        ++used;
      }
      if (!complete && used >= 10)
        return ErrorStatus(Code::kInvalidArgument, "no execution log: byte {} begins no message",
                           position_);
      if (complete && length > kMessageBytesMax)
        return ErrorStatus(Code::kResourceExhausted,
                           "the message at byte {} has {} bytes, more than {}", position_, length,
                           kMessageBytesMax);
      if (!complete || rest.size() - used < length) break;
      TRY(take_(rest.substr(used, length)));
      rest.remove_prefix(used + length);
      position_ += used + length;
    }
    buffer_.erase(0, buffer_.size() - rest.size());
    return {};
  }
  Status Finish() const {
    if (buffer_.empty()) return {};
    return ErrorStatus(Code::kDataLoss, "the log breaks off in the message at byte {}", position_);
  }

 private:
  const std::function<Status(std::string_view)> take_;
  std::string buffer_;
  uint64_t position_ = 0;
};

Status Decompress(std::string_view bytes, const std::function<Status(std::string_view)>& take) {
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                  ZSTD_freeDStream);
  std::string out(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  size_t wanted = 1;
  while (input.pos < input.size) {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    wanted = ZSTD_decompressStream(stream.get(), &output, &input);
    if (ZSTD_isError(wanted) != 0)
      return ErrorStatus(Code::kDataLoss, "compressed byte {}: {}", input.pos,
                         ZSTD_getErrorName(wanted));
    TRY(take(std::string_view(out).substr(0, output.pos)));
  }
  if (wanted != 0)
    return ErrorStatus(Code::kDataLoss, "the log breaks off at compressed byte {}", input.pos);
  return {};
}

// The JSON objects of a file, one after the other without anything between them.
Status SplitJson(std::string_view text, const std::function<Status(std::string_view)>& take) {
  int depth = 0;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      if (depth++ == 0) begin = i;
    } else if (c == '}' && --depth == 0) {
      TRY(take(text.substr(begin, i + 1 - begin)));
    }
  }
  if (depth == 0 && !quoted) return {};
  return ErrorStatus(Code::kDataLoss, "the log breaks off in the object at byte {}", begin);
}

}  // namespace

struct ExecutionLog::State {
  std::vector<Spawn> spawns;
  // Of JSON and binary logs: by spawn.
  std::vector<std::map<std::string, std::string>> inputs;
  // Of compact logs.
  std::unordered_map<uint32_t, Entry> entries;
  std::vector<uint32_t> input_sets;  // by spawn

  Status AddSpawnExec(const pb::SpawnExec& message) {
    Spawn spawn = Common(message);
    spawn.facts.arguments.assign(message.command_args().begin(), message.command_args().end());
    spawn.facts.environment = Environment(message.environment_variables());
    spawn.facts.outputs.assign(message.listed_outputs().begin(), message.listed_outputs().end());
    auto text = [](const pb::File& file) {
      return file.symlink_target_path().empty() ? DigestText(file.digest())
                                                : LinkText(file.symlink_target_path());
    };
    for (const pb::File& file : message.actual_outputs()) spawn.outputs[file.path()] = text(file);
    std::map<std::string, std::string> files;
    for (const pb::File& file : message.inputs()) files[file.path()] = text(file);
    inputs.push_back(std::move(files));
    spawns.push_back(std::move(spawn));
    return {};
  }

  Status AddEntry(std::string_view bytes) {
    Entry entry;
    if (!entry.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      return ErrorStatus(Code::kDataLoss, "entry {} does not parse", entries.size());
    if (entry.has_spawn()) return AddSpawn(entry.spawn());
    if (entry.id() != 0) entries[entry.id()] = std::move(entry);
    return {};
  }

  Status AddSpawn(const Entry::Spawn& message) {
    Spawn spawn = Common(message);
    spawn.facts.arguments.assign(message.args().begin(), message.args().end());
    spawn.facts.environment = Environment(message.env_vars());
    for (const Entry::Output& output : message.outputs()) {
      if (output.type_case() == Entry::Output::kInvalidOutputPath) {
        spawn.facts.outputs.push_back(output.invalid_output_path());
        continue;
      }
      uint32_t id = output.output_id() + output.file_id() + output.directory_id() +
                    output.unresolved_symlink_id();  // one of them is set
      auto it = entries.find(id);
      if (it == entries.end()) continue;
      const Entry& entry = it->second;
      spawn.facts.outputs.push_back(entry.has_file()        ? entry.file().path()
                                    : entry.has_directory() ? entry.directory().path()
                                                            : entry.unresolved_symlink().path());
      AddFiles(entry, "", spawn.outputs);
    }
    std::sort(spawn.facts.outputs.begin(), spawn.facts.outputs.end());
    input_sets.push_back(message.input_set_id());
    spawns.push_back(std::move(spawn));
    return {};
  }

  // A file, directory or link, its paths below `prefix`.
  void AddFiles(const Entry& entry, const std::string& prefix,
                std::map<std::string, std::string>& files) const {
    if (entry.has_file()) {
      files[prefix + entry.file().path()] = DigestText(entry.file().digest());
    } else if (entry.has_directory()) {
      for (const Entry::File& file : entry.directory().files())
        files[prefix + entry.directory().path() + "/" + file.path()] = DigestText(file.digest());
    } else if (entry.has_unresolved_symlink()) {
      files[prefix + entry.unresolved_symlink().path()] =
          LinkText(entry.unresolved_symlink().target_path());
    } else if (entry.has_runfiles_tree()) {
      AddRunfiles(entry.runfiles_tree(), prefix, files);
    }
  }

  // Where each file of it stands is Bazel's affair; its own path below the tree's names it as well.
  void AddRunfiles(const Entry::RunfilesTree& tree, const std::string& prefix,
                   std::map<std::string, std::string>& files) const {
    const std::string below = prefix + tree.path() + "/";
    AddSet(tree.input_set_id(), below, files);
    for (uint32_t id : {tree.symlinks_id(), tree.root_symlinks_id()}) AddLinks(id, below, files);
    for (const std::string& path : tree.empty_files()) files[below + path] = "(empty)";
    if (tree.has_repo_mapping_manifest())
      files[below + "_repo_mapping"] = DigestText(tree.repo_mapping_manifest().digest());
  }

  // Sets refer to earlier sets only, so there are no circles; a queue keeps the stack flat.
  void AddSet(uint32_t root, const std::string& prefix,
              std::map<std::string, std::string>& files) const {
    if (root == 0) return;
    std::vector<uint32_t> queue = {root};
    std::unordered_set<uint32_t> seen = {root};
    auto add = [&](const google::protobuf::RepeatedField<uint32_t>& ids) {
      for (uint32_t id : ids) {
        auto it = entries.find(id);
        if (it != entries.end() && !it->second.has_input_set()) AddFiles(it->second, prefix, files);
      }
    };
    for (size_t i = 0; i < queue.size(); ++i) {
      auto it = entries.find(queue[i]);
      if (it == entries.end()) continue;
      const Entry::InputSet& set = it->second.input_set();
      add(set.input_ids());
      add(set.file_ids());
      add(set.directory_ids());
      add(set.unresolved_symlink_ids());
      for (uint32_t id : set.transitive_set_ids())
        if (seen.insert(id).second) queue.push_back(id);
    }
  }

  void AddLinks(uint32_t root, const std::string& prefix,
                std::map<std::string, std::string>& files) const {
    std::vector<uint32_t> queue = {root};
    std::unordered_set<uint32_t> seen = {0, root};
    for (size_t i = 0; i < queue.size(); ++i) {
      auto it = entries.find(queue[i]);
      if (it == entries.end()) continue;
      const Entry::SymlinkEntrySet& set = it->second.symlink_entry_set();
      for (const auto& [path, id] : set.direct_entries()) {
        auto target = entries.find(id);
        if (target != entries.end()) AddFiles(target->second, prefix + path + " = ", files);
      }
      for (uint32_t id : set.transitive_set_ids())
        if (seen.insert(id).second) queue.push_back(id);
    }
  }
};

std::string Spawn::Name() const {
  return fmt::format("{}, {}, {}", target, mnemonic,
                     facts.outputs.empty() ? "no output" : facts.outputs.front());
}

ExecutionLog::ExecutionLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
ExecutionLog::~ExecutionLog() = default;
ExecutionLog::ExecutionLog(ExecutionLog&&) noexcept = default;
ExecutionLog& ExecutionLog::operator=(ExecutionLog&&) noexcept = default;

const std::vector<Spawn>& ExecutionLog::spawns() const { return state_->spawns; }

ActionFacts ExecutionLog::Facts(size_t index) const {
  ActionFacts facts = state_->spawns[index].facts;
  if (!state_->inputs.empty()) {
    facts.inputs = state_->inputs[index];
  } else {
    state_->AddSet(state_->input_sets[index], "", facts.inputs);
  }
  return facts;
}

Result<ExecutionLog> ExecutionLog::Parse(std::string_view bytes) {
  auto state = std::make_unique<State>();
  size_t first = bytes.find_first_not_of(" \t\r\n");
  if (bytes.starts_with(kZstdMagic)) {
    Splitter splitter([&](std::string_view message) { return state->AddEntry(message); });
    TRY(Decompress(bytes, [&](std::string_view piece) { return splitter.Update(piece); }));
    TRY(splitter.Finish());
  } else if (first != bytes.npos && bytes[first] == '{') {
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    TRY(SplitJson(bytes, [&](std::string_view text) -> Status {
      pb::SpawnExec message;
      auto parsed = google::protobuf::util::JsonStringToMessage(
          google::protobuf::StringPiece(text.data(), text.size()), &message, options);
      if (!parsed.ok())
        return ErrorStatus(Code::kInvalidArgument, "object at byte {}: {}",
                           text.data() - bytes.data(), parsed.message().as_string());
      return state->AddSpawnExec(message);
    }));
  } else {
    Splitter splitter([&](std::string_view text) -> Status {
      pb::SpawnExec message;
      if (!message.ParseFromArray(text.data(), static_cast<int>(text.size())))
        return ErrorStatus(Code::kInvalidArgument, "no execution log: message {} does not parse",
                           state->spawns.size());
      return state->AddSpawnExec(message);
    });
    TRY(splitter.Update(bytes));
    TRY(splitter.Finish());
  }
  return ExecutionLog(std::move(state));
}

Result<ExecutionLog> ExecutionLog::Read(const std::string& path) {
  TRY_ASSIGN(std::string bytes, ReadFile(path, kLogBytesMax));
  Result<ExecutionLog> log = Parse(bytes);
  if (!log) return std::unexpected(log.error().WithContext(path));
  return log;
}

}  // namespace lre::explain
