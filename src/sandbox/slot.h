// Slot: the program's end of one slot process, and what is asked of it; a Resident of it. One
// request is under way at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "sandbox/message.h"
#include "sandbox/sandbox.h"

namespace lre::sandbox {

// A slot process and the commands given to it one after another.
struct Slot {
  std::mutex running;  // held for the length of a run
  // Guarded by `running`:
  UniqueFd socket;          // empty until started or after it was lost
  uint64_t generation = 0;  // how many times it was started: residents end with their slot process
  uint64_t last_id = 0;
  std::shared_ptr<const UniqueFd> memory;  // the slot's file system; shared with MemoryFiles
};

inline std::string_view AsBytes(const Request& request) {
  return {reinterpret_cast<const char*>(&request), sizeof request};
}

// `streams`: the descriptors that go with this kind of request.
Status SendCommand(int socket, const Request& request, const Command& command,
                   std::vector<int> streams);

// REQUIRES: the caller has slot->running, and there is a slot process; `command` is checked.
Result<std::unique_ptr<Resident>> StartSlotResident(std::shared_ptr<Slot> slot,
                                                    const Command& command);

}  // namespace lre::sandbox
