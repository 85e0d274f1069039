#include "sandbox/message.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace lre::sandbox {
namespace {

constexpr int kFdsMax = 4;

class Packer {
 public:
  void Number(uint64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Text(std::string_view text) {
    Number(text.size());
    bytes_.append(text);
  }
  void Texts(const std::vector<std::string>& texts) {
    Number(texts.size());
    for (const std::string& text : texts) Text(text);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what Packer wrote; after any shortage everything reads as empty and ok() is false.
class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  uint64_t Number() {
    uint64_t value = 0;
    if (bytes_.size() < sizeof value) {
      ok_ = false;
      bytes_ = {};
      return 0;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  template <typename T>
  T As() {
    return static_cast<T>(Number());
  }
  std::string Text() {
    uint64_t size = Number();
    if (bytes_.size() < size) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  std::vector<std::string> Texts() {
    std::vector<std::string> texts;
    for (uint64_t left = Number(); left > 0 && ok_; --left) texts.push_back(Text());
    return texts;
  }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace

// Not one of kWritableNames.
std::string MemoryName(uint64_t id) { return fmt::format("overlay-{}", id); }

std::string PackCommand(const Command& command) {
  Packer out;
  out.Texts(command.arguments);
  out.Texts(command.environment);
  out.Text(command.working_directory);
  out.Text(command.root_directory);
  out.Number(command.mounts.size());
  for (const Mount& mount : command.mounts) {
    out.Number(static_cast<uint64_t>(mount.kind));
    out.Text(mount.target);
    out.Text(mount.source);
  }
  out.Number(command.overlays.size());
  for (const Command::Overlay& overlay : command.overlays) {
    out.Text(overlay.lower);
    out.Text(overlay.upper);
    out.Text(overlay.work);
    out.Text(overlay.target);
    out.Texts(overlay.directories);
    out.Number(overlay.by_entry ? 1 : 0);
    out.Number(overlay.entries.size());
    for (const Command::Overlay::Entry& entry : overlay.entries) {
      out.Text(entry.name);
      out.Number(entry.is_directory ? 1 : 0);
    }
  }
  out.Number(command.memory_files_bytes_max);
  out.Number(command.memory_bytes_max);
  out.Number(static_cast<uint64_t>(command.timeout.count()));
  return out.Take();
}

Result<Command> UnpackCommand(std::string_view bytes) {
  Unpacker in(bytes);
  Command command;
  command.arguments = in.Texts();
  command.environment = in.Texts();
  command.working_directory = in.Text();
  command.root_directory = in.Text();
  for (uint64_t left = in.Number(); left > 0 && in.ok(); --left) {
    auto kind = in.As<MountKind>();
    std::string target = in.Text();
    command.mounts.push_back({kind, std::move(target), in.Text()});
  }
  for (uint64_t left = in.Number(); left > 0 && in.ok(); --left) {
    Command::Overlay& overlay = command.overlays.emplace_back();
    overlay.lower = in.Text();
    overlay.upper = in.Text();
    overlay.work = in.Text();
    overlay.target = in.Text();
    overlay.directories = in.Texts();
    overlay.by_entry = in.Number() != 0;
    for (uint64_t entries = in.Number(); entries > 0 && in.ok(); --entries) {
      std::string name = in.Text();
      overlay.entries.push_back({std::move(name), in.Number() != 0});
    }
  }
  command.memory_files_bytes_max = in.Number();
  command.memory_bytes_max = in.Number();
  command.timeout = Duration(in.As<int64_t>());
  if (!in.ok())
    return Error(Code::kInternal, "a packed command of {} bytes ends early", bytes.size());
  return command;
}

std::string PackReply(const Reply& reply) {
  Packer out;
  out.Number(reply.id);
  out.Number(static_cast<uint64_t>(reply.code));
  out.Number(static_cast<uint64_t>(reply.outcome.ending));
  out.Number(static_cast<uint64_t>(reply.outcome.exit_code));
  out.Number(static_cast<uint64_t>(reply.outcome.signal));
  out.Number(static_cast<uint64_t>(reply.outcome.wall.count()));
  out.Number(static_cast<uint64_t>(reply.outcome.user_cpu.count()));
  out.Number(static_cast<uint64_t>(reply.outcome.system_cpu.count()));
  out.Number(static_cast<uint64_t>(reply.outcome.memory_peak_bytes));
  out.Number(static_cast<uint64_t>(reply.outcome.read_bytes));
  out.Number(static_cast<uint64_t>(reply.outcome.write_bytes));
  out.Number(reply.memory_overlays ? 1 : 0);
  out.Text(std::string_view(reply.message).substr(0, kMessageBytesMax / 2));
  return out.Take();
}

Result<Reply> UnpackReply(std::string_view bytes) {
  Unpacker in(bytes);
  Reply reply;
  reply.id = in.Number();
  reply.code = in.As<Code>();
  reply.outcome.ending = in.As<Ending>();
  reply.outcome.exit_code = in.As<int>();
  reply.outcome.signal = in.As<int>();
  reply.outcome.wall = Duration(in.As<int64_t>());
  reply.outcome.user_cpu = Duration(in.As<int64_t>());
  reply.outcome.system_cpu = Duration(in.As<int64_t>());
  reply.outcome.memory_peak_bytes = in.As<int64_t>();
  reply.outcome.read_bytes = in.As<int64_t>();
  reply.outcome.write_bytes = in.As<int64_t>();
  reply.memory_overlays = in.Number() != 0;
  reply.message = in.Text();
  if (!in.ok()) return Error(Code::kInternal, "a reply of {} bytes ends early", bytes.size());
  return reply;
}

Status SendPacket(int socket, std::string_view bytes, const std::vector<int>& fds) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)];
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    std::memset(control, 0, sizeof control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "send to the launcher");
  }
  return {};
}

Result<Packet> ReceivePacket(int socket) {
  Packet packet;
  packet.bytes.resize(kMessageBytesMax);
  iovec piece{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size;
  while ((size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno == ECONNRESET) break;
    if (errno != EINTR) return ErrnoError(errno, "receive from the launcher");
  }
  packet.closed = size <= 0;
  packet.bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
  if (size <= 0) return packet;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      packet.fds.emplace_back(fd);
    }
  }
  return packet;
}

Result<SocketPair> MakeSocketPair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoError(errno, "socketpair");
  SocketPair pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
  // Not in the place of a standard stream that is closed: those are inherited.
  for (UniqueFd* end : {&pair.ours, &pair.theirs}) {
    if (end->get() <= 2) *end = UniqueFd(fcntl(end->get(), F_DUPFD_CLOEXEC, 3));
    if (!*end) return ErrnoError(errno, "dup of a socket");
  }
  return pair;
}

}  // namespace lre::sandbox
