#include "service/upload_table.h"

#include <vector>

namespace lre::service {

std::string UploadName(std::string_view resource_name, store::Partition partition) {
  if (partition == 0) return std::string(resource_name);
  return fmt::format("{} of partition {}", resource_name, partition);
}

void UploadTable::TakeExpired(Entries& entries, Entries* expired) const {
  const Instant now = clock_.Now();
  std::vector<Entries::iterator> old;
  for (auto it = entries.begin(); it != entries.end(); ++it) {
    if (it->second.parked && *it->second.parked + idle_max_ < now) old.push_back(it);
  }
  for (auto it : old) expired->insert(entries.extract(it));
}

Result<std::shared_ptr<Upload>> UploadTable::Open(std::string_view name, int64_t offset) {
  std::shared_ptr<Upload> replaced;
  return entries_.With([&](Entries& entries) -> Result<std::shared_ptr<Upload>> {
    auto it = entries.find(std::string(name));
    if (offset == 0) {
      auto upload = std::make_shared<Upload>();
      Entry& entry = it != entries.end() ? it->second : entries[std::string(name)];
      replaced = std::exchange(entry.upload, upload);
      entry.parked.reset();
      return upload;
    }
    const int64_t committed = it == entries.end() ? 0 : it->second.upload->committed.load();
    if (it != entries.end() && !it->second.parked) {
      return Error(Code::kAborted, "upload \"{}\" is being written by another call", name);
    }
    if (offset != committed) {
      return Error(Code::kInvalidArgument, "upload \"{}\": write_offset is {}, committed are {}",
                   name, offset, committed);
    }
    it->second.parked.reset();
    return it->second.upload;
  });
}

void UploadTable::Park(std::string_view name, const std::shared_ptr<Upload>& upload) {
  Entries expired;
  std::shared_ptr<Upload> dropped;
  entries_.With([&](Entries& entries) {
    TakeExpired(entries, &expired);
    auto it = entries.find(std::string(name));
    if (it == entries.end() || it->second.upload != upload) return;
    size_t parked = 0;
    for (const auto& [key, entry] : entries) parked += entry.parked.has_value();
    if (parked < parked_max_) {
      it->second.parked = clock_.Now();
    } else {
      dropped = std::move(it->second.upload);
      entries.erase(it);
    }
  });
}

void UploadTable::Close(std::string_view name, const std::shared_ptr<Upload>& upload) {
  entries_.With([&](Entries& entries) {
    auto it = entries.find(std::string(name));
    if (it != entries.end() && it->second.upload == upload) entries.erase(it);
  });
}

std::optional<int64_t> UploadTable::Committed(std::string_view name) {
  Entries expired;
  return entries_.With([&](Entries& entries) -> std::optional<int64_t> {
    TakeExpired(entries, &expired);
    auto it = entries.find(std::string(name));
    if (it == entries.end()) return std::nullopt;
    return it->second.upload->committed.load();
  });
}

}  // namespace lre::service
