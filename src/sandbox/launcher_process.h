// The launcher process and the slot processes, seen from inside them. Each has one thread, never
// returns into the program, and ends when the other end of its socket is gone.
#pragma once

#include <string>

#include "sandbox/sandbox.h"

namespace lre::sandbox {

// The launcher: starts slot processes as `socket` asks. Called right after fork.
[[noreturn]] void RunLauncherProcess(int socket, const SandboxOptions& options);

// Where slots mount what they assemble: a directory that is always empty. The same for all, each
// mounts in a namespace of its own.
std::string ScratchPlace(const SandboxOptions& options);

}  // namespace lre::sandbox
