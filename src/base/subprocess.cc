#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"

extern char** environ;

namespace lre {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

struct Pipe {
  UniqueFd read_end, write_end;
};

Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Moves bytes until both outputs are closed; kills nothing itself.
Status Communicate(const SubprocessOptions& options, Pipe& in, Pipe& out, Pipe& err,
                   SubprocessResult& result) {
  Instant deadline = SystemClock().Now() + options.timeout;
  std::string_view input = options.input;
  if (input.empty()) in.write_end.Reset();
  fcntl(in.write_end.get(), F_SETFL, O_NONBLOCK);
  while (out.read_end || err.read_end) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SystemClock().Now());
    if (left.count() <= 0) {
      return ErrorStatus(Code::kDeadlineExceeded, "{} ran longer than {} s", options.arguments[0],
                         std::chrono::duration_cast<std::chrono::seconds>(options.timeout).count());
    }
    pollfd polls[3] = {{out.read_end.get(), POLLIN, 0},
                       {err.read_end.get(), POLLIN, 0},
                       {in.write_end.get(), POLLOUT, 0}};
    if (poll(polls, 3, static_cast<int>(std::min<int64_t>(left.count(), 1 << 30))) < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "poll");
    }
    if (polls[2].revents != 0) {
      ssize_t n = write(in.write_end.get(), input.data(), input.size());
      if (n > 0) input.remove_prefix(static_cast<size_t>(n));
      if (input.empty() || (n < 0 && errno != EAGAIN)) in.write_end.Reset();
    }
    auto drain = [&](Pipe& pipe, short events, std::string& sink) -> Status {
      if (events == 0) return {};
      char buffer[1 << 16];
      ssize_t n = read(pipe.read_end.get(), buffer, sizeof buffer);
      if (n <= 0) {
        pipe.read_end.Reset();
        return {};
      }
      sink.append(buffer, static_cast<size_t>(n));
      if (sink.size() > options.output_bytes_max)
        return ErrorStatus(Code::kResourceExhausted, "{} printed more than {} bytes",
                           options.arguments[0], options.output_bytes_max);
      return {};
    };
    TRY(drain(out, polls[0].revents, result.output));
    TRY(drain(err, polls[1].revents, result.error_output));
  }
  return {};
}

}  // namespace

Result<SubprocessResult> RunSubprocess(const SubprocessOptions& options) {
  TRY_ASSIGN(Pipe in, MakePipe());
  TRY_ASSIGN(Pipe out, MakePipe());
  TRY_ASSIGN(Pipe err, MakePipe());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.read_end.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out.write_end.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, err.write_end.get(), 2);
  if (!options.directory.empty())
    posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  auto arguments = Pointers(options.arguments);
  auto environment = options.environment ? Pointers(*options.environment) : std::vector<char*>();
  pid_t pid = 0;
  int error = posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(),
                           options.environment ? environment.data() : environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoError(error, "run " + options.arguments[0]);
  in.read_end.Reset();
  out.write_end.Reset();
  err.write_end.Reset();

  SubprocessResult result;
  Status status = Communicate(options, in, out, err, result);
  if (!status.ok()) kill(pid, SIGKILL);
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (!status.ok()) return std::unexpected(status);
  result.exit_code =
      WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  return result;
}

}  // namespace lre
