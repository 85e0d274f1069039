#include "sandbox/slot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "sandbox/plan.h"

namespace lre::sandbox {
namespace {

Result<UniqueFd> MakeCommandFile(std::string_view bytes) {
  UniqueFd fd(memfd_create("lre-command", MFD_CLOEXEC));
  if (!fd) return ErrnoError(errno, "memfd_create");
  for (size_t done = 0; done < bytes.size();) {
    ssize_t n = write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write of a command");
    done += static_cast<size_t>(n);
  }
  return fd;
}

// The answer to request `id`; those of others that came too late are dropped.
Result<Reply> AwaitReply(int socket, uint64_t id) {
  for (;;) {
    TRY_ASSIGN(Packet packet, ReceivePacket(socket));
    if (packet.closed) return Error(Code::kInternal, "the sandbox's slot process ended");
    TRY_ASSIGN(Reply reply, UnpackReply(packet.bytes));
    if (reply.id == id) return reply;
  }
}

class SlotResident final : public Resident {
 public:
  static Result<std::unique_ptr<Resident>> Start(std::shared_ptr<Slot> slot,
                                                 const Command& command) {
    auto resident = std::make_unique<SlotResident>();
    resident->slot_ = std::move(slot);
    Slot& of = *resident->slot_;
    UniqueFd theirs[3];
    for (int i = 0; i < 3; ++i) {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
      int ours = i == 0 ? 1 : 0;  // of stdin we have the end to write to
      resident->streams_[i] = UniqueFd(ends[ours]);
      theirs[i] = UniqueFd(ends[1 - ours]);
      fcntl(ends[ours], F_SETFL, O_NONBLOCK);
    }
    Request request{.kind = RequestKind::kStart, .id = ++of.last_id};
    TRY(SendCommand(of.socket.get(), request, command,
                    {theirs[1].get(), theirs[2].get(), theirs[0].get()}));
    Result<Reply> reply = AwaitReply(of.socket.get(), request.id);
    if (!reply) {
      of.socket.Reset();
      return std::unexpected(reply.error());
    }
    if (reply->code != Code::kOk) return std::unexpected(Status(reply->code, reply->message));
    resident->id_ = resident->shown_ = request.id;
    resident->generation_ = of.generation;
    resident->memory_ = of.memory;
    return std::unique_ptr<Resident>(std::move(resident));
  }
  ~SlotResident() override {
    if (id_ == 0) return;
    (void)Ask({.kind = RequestKind::kStop});
    if (shown_ != 0) MemoryFiles(memory_, MemoryName(shown_));
  }

  int input_fd() const override { return streams_[0].get(); }
  int output_fd() const override { return streams_[1].get(); }
  int error_fd() const override { return streams_[2].get(); }

  Status Show(const Command::Overlay& overlay) override {
    TRY(CheckOverlay(overlay));
    Command command;
    command.overlays = {overlay};
    TRY_ASSIGN(Reply reply, Ask({.kind = RequestKind::kShow}, &command));
    shown_ = reply.id;
    return {};
  }
  Result<std::unique_ptr<MemoryFiles>> Hide() override {
    auto files = std::make_unique<MemoryFiles>(memory_, MemoryName(std::exchange(shown_, 0)));
    TRY(ToStatus(Ask({.kind = RequestKind::kHide})));
    return files;
  }
  Result<Usage> GetUsage() override {
    TRY_ASSIGN(Reply reply, Ask({.kind = RequestKind::kUsage}));
    return Usage{.user_cpu = reply.outcome.user_cpu,
                 .system_cpu = reply.outcome.system_cpu,
                 .memory_bytes = reply.outcome.memory_peak_bytes};
  }
  uint64_t MemoryFilesBytes() const override {
    struct statfs info;
    if (fstatfs(memory_->get(), &info) != 0) return 0;
    return static_cast<uint64_t>(info.f_blocks - info.f_bfree) *
           static_cast<uint64_t>(info.f_bsize);
  }

 private:
  Result<Reply> Ask(Request request, const Command* command = nullptr) {
    std::lock_guard running(slot_->running);
    if (!slot_->socket || slot_->generation != generation_)
      return Error(Code::kInternal, "the sandbox's slot process ended");
    request.id = ++slot_->last_id;
    request.resident = id_;
    int socket = slot_->socket.get();
    Status sent = command != nullptr ? SendCommand(socket, request, *command, {})
                                     : SendPacket(socket, AsBytes(request));
    Result<Reply> reply = sent.ok() ? AwaitReply(socket, request.id) : std::unexpected(sent);
    if (!reply) {
      slot_->socket.Reset();
      return Error(Code::kInternal, "the sandbox's slot process ended");
    }
    if (reply->code != Code::kOk) return std::unexpected(Status(reply->code, reply->message));
    return reply;
  }

  std::shared_ptr<Slot> slot_;
  std::shared_ptr<const UniqueFd> memory_;
  UniqueFd streams_[3];
  uint64_t id_ = 0, generation_ = 0;
  uint64_t shown_ = 0;  // the request that showed what is shown; 0: nothing is
};

}  // namespace

Status SendCommand(int socket, const Request& request, const Command& command,
                   std::vector<int> streams) {
  std::string message(AsBytes(request));
  std::string packed = PackCommand(command);
  UniqueFd file;
  if (message.size() + packed.size() <= kMessageBytesMax) {
    message += packed;
  } else {
    TRY_ASSIGN(file, MakeCommandFile(packed));
    streams.push_back(file.get());
  }
  return SendPacket(socket, message, streams);
}

Result<std::unique_ptr<Resident>> StartSlotResident(std::shared_ptr<Slot> slot,
                                                    const Command& command) {
  return SlotResident::Start(std::move(slot), command);
}

}  // namespace lre::sandbox
