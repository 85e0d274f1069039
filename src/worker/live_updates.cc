#include "worker/live_updates.h"

#include <algorithm>
#include <utility>

namespace lre::worker {

LiveUpdates::LiveUpdates(LiveUpdatesOptions options)
    : options_(options), slots_(static_cast<size_t>(options.slots)) {}

void LiveUpdates::Begin(int slot, const v1::Assignment& assignment) {
  std::lock_guard lock(mutex_);
  Slot& state = slots_[static_cast<size_t>(slot)];
  state = {};
  state.attempt = assignment.attempt();
  state.streams[0].wanted = !assignment.stdout_stream_name().empty();
  state.streams[1].wanted = !assignment.stderr_stream_name().empty();
}

void LiveUpdates::SetProgress(int slot, v1::Progress progress) {
  std::lock_guard lock(mutex_);
  slots_[static_cast<size_t>(slot)].progress = std::move(progress);
}

void LiveUpdates::Append(int slot, bool is_stderr, std::string_view bytes) {
  std::lock_guard lock(mutex_);
  Stream& stream = slots_[static_cast<size_t>(slot)].streams[is_stderr ? 1 : 0];
  if (!stream.wanted) return;
  size_t kept = 0;
  // After a gap nothing more fits into the same message.
  if (stream.skipped == 0)
    kept = std::min(bytes.size(), options_.pending_bytes_max - stream.pending.size());
  stream.pending.append(bytes.substr(0, kept));
  stream.skipped += static_cast<int64_t>(bytes.size() - kept);
}

void LiveUpdates::TakeOutputs(Slot& slot, std::vector<v1::FromWorker>& messages) const {
  for (int i = 0; i < 2; ++i) {
    Stream& stream = slot.streams[i];
    for (size_t at = 0; at < stream.pending.size(); at += options_.message_bytes_max) {
      v1::Output& output = *messages.emplace_back().mutable_output();
      *output.mutable_attempt() = slot.attempt;
      output.set_is_stderr(i == 1);
      output.set_offset(stream.offset + static_cast<int64_t>(at));
      output.set_data(stream.pending.substr(at, options_.message_bytes_max));
    }
    stream.offset += static_cast<int64_t>(stream.pending.size()) + stream.skipped;
    stream.skipped = 0;
    stream.pending.clear();
  }
}

std::vector<v1::FromWorker> LiveUpdates::End(int slot) {
  std::vector<v1::FromWorker> messages;
  std::lock_guard lock(mutex_);
  Slot& state = slots_[static_cast<size_t>(slot)];
  TakeOutputs(state, messages);
  state = {};
  return messages;
}

std::vector<v1::FromWorker> LiveUpdates::Take() {
  std::vector<v1::FromWorker> messages;
  std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.progress) {
      *messages.emplace_back().mutable_progress() = std::move(*slot.progress);
      slot.progress.reset();
    }
    TakeOutputs(slot, messages);
  }
  return messages;
}

}  // namespace lre::worker
