// Runs itself with a fault for each that the sanitizer must find, and looks for its name in the
// report.
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "text.h"

namespace {

// Deep enough that no pointer to it stays behind on the stack.
__attribute__((noinline)) int Leak(int depth) {
  char* volatile lost = new char[77];
  lost[0] = static_cast<char>(depth);
  return depth == 0 ? lost[0] : Leak(depth - 1) + lost[0];
}

void Fault(const char* which) {
  if (std::strcmp(which, "use-after-free") == 0) {
    char* volatile gone = new char[8];
    delete[] gone;
    gone[1] = 'x';
  } else if (std::strcmp(which, "leak") == 0) {
    Leak(10);
  } else if (std::strcmp(which, "race") == 0) {
    static int counter = 0;
    std::thread other([] { ++counter; });
    ++counter;
    other.join();
  } else if (std::strcmp(which, "overflow") == 0) {
    volatile int most = INT_MAX;
    most = most + 1;
  }
}

bool Finds(const char* which, const char* wanted) {
  int report[2];
  if (pipe(report) != 0) return false;
  const pid_t child = fork();
  if (child == 0) {
    dup2(report[1], STDERR_FILENO);
    execl("/proc/self/exe", "sanitizer_test", "fault", which, nullptr);
    _exit(99);
  }
  close(report[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(report[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
  close(report[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const bool found = status != 0 && text.find(wanted) != std::string::npos;
  std::printf("%s: %s\n%s", which, found ? "found" : "NOT FOUND", found ? "" : text.c_str());
  return found;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3) {
    Fault(arguments[2]);
    return 0;
  }
  const std::string sanitizer = count > 1 ? arguments[1] : "";
  if (SumText(1, 2) != "3") return 1;
#ifdef __clang__
  // By the program that names functions.
  if (sanitizer == "tsan" && !Finds("race", "::Fault(char const*)")) return 1;
  const bool leaks = sanitizer == "asan" || sanitizer == "lsan";
  if (leaks && !Finds("leak", "::Leak(int)")) return 1;
#endif
  if (sanitizer == "asan") {
    return Finds("use-after-free", "heap-use-after-free") &&
                   Finds("leak", "LeakSanitizer: detected")
               ? 0
               : 1;
  }
  if (sanitizer == "lsan") return Finds("leak", "LeakSanitizer: detected") ? 0 : 1;
  if (sanitizer == "tsan") return Finds("race", "ThreadSanitizer: data race") ? 0 : 1;
  if (sanitizer == "ubsan") return Finds("overflow", "signed integer overflow") ? 0 : 1;
  return 1;
}
