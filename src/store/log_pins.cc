// Pins: names that keep blobs. A pin is a small file of its own with the keys it keeps, written and
// removed at once and durably, so that what is pinned outlives a power loss. Keeping means:
// whenever recycling looks for what to give up, everything pinned has just been touched. Pins
// therefore cost nothing until the store is full, and then one lookup per key every few minutes.
#include <algorithm>
#include <cstring>
#include <map>

#include "base/log.h"
#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {
namespace {

struct PinHeader {
  static constexpr uint64_t kMagic = 0x31304E49504552;  // "REPIN01"
  uint64_t magic = kMagic;
  uint32_t crc = 0;  // of all that follows in the file
  uint32_t version = 1;
  uint64_t blobs = 0;
  uint64_t size_bytes = 0;
  int64_t until_seconds = 0;  // since 1970
  uint32_t name_bytes = 0;
  char reserved[20] = {};
};
static_assert(sizeof(PinHeader) == 64);
constexpr size_t kCrcEnd = 12;

std::string_view Text(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

}  // namespace

std::string LogStoreImpl::PathOfPin(const std::string& name) const {
  LogKey key = KeyOfValue(secret_, name);
  return fmt::format("{}/pins/{:016x}{:016x}", options_.directory, key.high, key.low);
}

Status LogStoreImpl::WritePin(const PinnedKeys& pin) {
  PinHeader header{.blobs = pin.pin.blobs,
                   .size_bytes = pin.pin.size_bytes,
                   .until_seconds = pin.pin.until.time_since_epoch() / std::chrono::seconds(1),
                   .name_bytes = static_cast<uint32_t>(pin.pin.name.size())};
  std::string_view keys = Text(pin.keys.data(), pin.keys.size() * sizeof(LogKey));
  header.crc = Crc32c(Text(&header, sizeof header).substr(kCrcEnd));
  header.crc = Crc32c(keys, Crc32c(pin.pin.name, header.crc));

  std::string path = PathOfPin(pin.pin.name), beside = path + ".tmp";
  auto write = [&]() -> Status {
    TRY_ASSIGN(auto file, files_.Open(beside, OpenMode::kCreate));
    TRY(file->Truncate(0));
    BytesList pieces = {Bytes::Static(Text(&header, sizeof header)), Bytes::Static(pin.pin.name),
                        Bytes::Static(keys)};
    TRY(file->WriteAt(pieces, 0));
    TRY(file->Sync());
    TRY(files_.Rename(beside, path));
    TRY(files_.SyncDirectory(options_.directory + "/pins"));
    return files_.SyncDirectory(options_.directory);
  };
  Status status = write();
  if (!status.ok()) (void)files_.Remove(beside).ok();
  return status;
}

Result<LogStoreImpl::PinnedKeys> LogStoreImpl::ReadPin(const std::string& path) const {
  TRY_ASSIGN(auto file, files_.Open(path, OpenMode::kRead));
  TRY_ASSIGN(uint64_t size, file->Size());
  PinHeader header;
  uint64_t size_max = sizeof header + Pin::kNameBytesMax + sizeof(LogKey) * (1ull << 32);
  std::string bytes(std::min(size, size_max), '\0');
  TRY_ASSIGN(size_t read, file->ReadAt(bytes.data(), bytes.size(), 0));
  bytes.resize(read);
  if (bytes.size() >= sizeof header) std::memcpy(&header, bytes.data(), sizeof header);
  if (bytes.size() >= sizeof header && header.magic == PinHeader::kMagic && header.version != 1) {
    return Error(Code::kFailedPrecondition, "pin {}: format version {} is newer than this lre",
                 path, header.version);
  }
  size_t keys_at = sizeof header + header.name_bytes;
  if (bytes.size() < sizeof header || header.magic != PinHeader::kMagic ||
      header.blobs > bytes.size() / sizeof(LogKey) ||
      bytes.size() != keys_at + header.blobs * sizeof(LogKey) ||
      Crc32c(std::string_view(bytes).substr(kCrcEnd)) != header.crc) {
    return Error(Code::kDataLoss, "pin {}: it is damaged", path);
  }
  PinnedKeys pin;
  pin.pin = {.name = bytes.substr(sizeof header, header.name_bytes),
             .blobs = header.blobs,
             .size_bytes = header.size_bytes};
  // The far end of time does not come back from seconds.
  if (header.until_seconds < WallTime::max().time_since_epoch() / std::chrono::seconds(1))
    pin.pin.until = WallTime(std::chrono::seconds(header.until_seconds));
  pin.keys.resize(header.blobs);
  if (header.blobs > 0)
    std::memcpy(pin.keys.data(), bytes.data() + keys_at, header.blobs * sizeof(LogKey));
  return pin;
}

Status LogStoreImpl::OpenPins() {
  std::string directory = options_.directory + "/pins";
  TRY(files_.MakeDirectories(directory));
  TRY_ASSIGN(std::vector<std::string> names, files_.List(directory));
  for (const std::string& name : names) {
    if (name.ends_with(".tmp")) {
      (void)files_.Remove(directory + "/" + name).ok();
      continue;
    }
    auto pin = ReadPin(directory + "/" + name);
    if (pin) {
      pins_.With([&](auto& pins) { pins[pin->pin.name] = std::move(*pin); });
    } else if (pin.error().code() == Code::kDataLoss) {
      Log(kWarning, "store_pin_damaged", {{"error", pin.error().message()}});
    } else {
      return pin.error();
    }
  }
  return {};
}

Status LogStoreImpl::CheckPinFits(const PinnedKeys& pin) const {
  uint64_t bytes = pin.pin.size_bytes, keys = pin.keys.size(), number = 1;
  pins_.With([&](const auto& pins) {
    for (const auto& [name, other] : pins) {
      if (name == pin.pin.name) continue;
      bytes += other.pin.size_bytes;
      keys += other.keys.size();
      ++number;
    }
  });
  uint64_t bytes_max =
      options_.size_bytes_max / 100 * static_cast<uint64_t>(options_.pinned_percent_max);
  if (bytes <= bytes_max && keys <= options_.pinned_blobs_max && number <= options_.pins_max)
    return {};
  return ErrorStatus(
      Code::kResourceExhausted,
      "pin {}: all pins would hold {} bytes (of at most {}: store.pinned_share) in {} blobs ({}: "
      "store.pinned_blobs_max) under {} names ({}: store.pins_max); remove some or raise "
      "the bound",
      pin.pin.name, bytes, bytes_max, keys, options_.pinned_blobs_max, number, options_.pins_max);
}

Status LogStoreImpl::SetPin(Pin pin, Partition partition, std::span<const Digest> digests) {
  if (pin.name.empty() || pin.name.size() > Pin::kNameBytesMax) {
    return ErrorStatus(Code::kInvalidArgument, "a pin's name has 1 to {} bytes, not {}",
                       Pin::kNameBytesMax, pin.name.size());
  }
  PinnedKeys pinned;
  // As large as the blobs are, however they are kept.
  std::map<LogKey, uint64_t> sizes;
  for (const Digest& digest : digests) {
    TRY(CheckKey({digest, partition}));
    if (IsEmptyBlob(digest)) continue;
    sizes[KeyOfBlob(secret_, digest, partition)] = static_cast<uint64_t>(digest.size_bytes);
  }
  pin.size_bytes = 0;
  for (const auto& [key, size_bytes] : sizes) {
    pinned.keys.push_back(key);
    pin.size_bytes += size_bytes;
  }
  // Recycling stands still between finding the blobs and having the pin.
  std::lock_guard lock(recycle_mutex_);
  TRY_ASSIGN(std::vector<uint32_t> missing, FindMissing(partition, digests));
  if (!missing.empty()) {
    return ErrorStatus(Code::kNotFound, "pin {}: blob {} and {} more are absent", pin.name,
                       digests[missing[0]], missing.size() - 1);
  }
  pin.blobs = pinned.keys.size();
  pinned.pin = std::move(pin);
  TRY(CheckPinFits(pinned));
  TRY(Sync());
  TRY(WritePin(pinned));
  pins_.With([&](auto& pins) { pins[pinned.pin.name] = std::move(pinned); });
  return {};
}

Status LogStoreImpl::RemovePin(const std::string& name) {
  std::lock_guard lock(recycle_mutex_);
  bool known = pins_.With([&](const auto& pins) { return pins.count(name) != 0; });
  if (!known) return {};
  TRY(files_.Remove(PathOfPin(name)));
  TRY(files_.SyncDirectory(options_.directory + "/pins"));
  pins_.With([&](auto& pins) { pins.erase(name); });
  recycle_again_at_ = {};
  return {};
}

std::vector<Pin> LogStoreImpl::Pins() const {
  std::vector<Pin> all;
  pins_.With([&](const auto& pins) {
    for (const auto& [name, pinned] : pins)
      if (clock_.WallNow() < pinned.pin.until) all.push_back(pinned.pin);
  });
  return all;
}

void LogStoreImpl::RenewPins() {
  uint32_t now = NowTick();
  std::vector<std::string> expired;
  std::vector<LogEntry> lists;
  pins_.With([&](auto& pins) {
    for (auto it = pins.begin(); it != pins.end();) {
      if (clock_.WallNow() >= it->second.pin.until) {
        expired.push_back(it->first);
        it = pins.erase(it);
        continue;
      }
      // Not journalled: after a start the pin touches them again.
      bool moved = false;
      for (const LogKey& key : it->second.keys) {
        auto entry = index_.Touch(key, now, 1, &moved);
        if (entry && entry->is_list()) lists.push_back(*entry);
      }
      ++it;
    }
  });
  for (const LogEntry& entry : lists)
    if (auto list = *LoadList<true>(entry)) TouchChunks(entry, **list);
  // One that stays behind is forgotten again after the next start.
  for (const std::string& name : expired) (void)files_.Remove(PathOfPin(name)).ok();
}

}  // namespace lre::store
