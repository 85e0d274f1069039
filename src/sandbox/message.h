// The messages between the program, its launcher process and the slot processes: text and numbers
// packed one after another, descriptors beside them (SCM_RIGHTS on a SOCK_SEQPACKET pair). Both
// ends are the same binary, so there are no versions. Plain values; the functions are thread-safe
// for different sockets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "sandbox/sandbox.h"

namespace lre::sandbox {

inline constexpr size_t kMessageBytesMax = 32 << 10;  // of one packet

// To the launcher: start a slot process that owns the descriptor beside this message.
struct StartSlot {
  bool namespaces = true;
  bool network = false;
};

enum class RequestKind : uint32_t { kRun, kCancel, kStart, kShow, kHide, kUsage, kStop };
// To a slot process. kRun carries stdout and stderr, kStart (of a resident) these and stdin, and
// both are followed by the packed command; so is kShow, of whose command only the overlay counts.
// One that does not fit into the packet comes as one more descriptor. `resident` is the id of its
// kStart.
struct Request {
  RequestKind kind = RequestKind::kRun;
  uint64_t id = 0;
  uint64_t resident = 0;
};

// From a slot process: the end of a run, or that a request about a resident is done (of kUsage with
// the processor times and, as peak, the memory in use); id 0 says that the slot is ready, with the
// file system in memory as descriptor (where there are namespaces), or why it is not.
struct Reply {
  uint64_t id = 0;
  Code code = Code::kOk;
  Outcome outcome;  // but for what was printed and `files`, which do not travel
  std::string message;
  bool memory_overlays = false;  // when ready: whether overlays in memory are possible
};

// The directory of run `id` in the slot's file system in memory that has its overlay.
std::string MemoryName(uint64_t id);

std::string PackCommand(const Command& command);
Result<Command> UnpackCommand(std::string_view bytes);
std::string PackReply(const Reply& reply);
Result<Reply> UnpackReply(std::string_view bytes);

// A datagram and its descriptors. An empty message with closed = true: the other end is gone.
struct Packet {
  std::string bytes;
  std::vector<UniqueFd> fds;
  bool closed = false;
};
Status SendPacket(int socket, std::string_view bytes, const std::vector<int>& fds = {});
Result<Packet> ReceivePacket(int socket);
// Two connected SOCK_SEQPACKET ends, closed on exec.
struct SocketPair {
  UniqueFd ours, theirs;
};
Result<SocketPair> MakeSocketPair();

}  // namespace lre::sandbox
