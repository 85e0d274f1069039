// Functions of a shared library that is loaded when it is first needed, not when the program
// starts. For libraries that bring in dozens of others and are used by few commands: `lre env` runs
// at every prompt. What is loaded stays loaded. Thread-safe. Errors: kFailedPrecondition with what
// dlopen(3) or dlsym(3) says.
#pragma once

#include "base/status.h"

namespace lre {

Result<void*> LateSymbol(const char* library, const char* symbol);

// Puts the function's address into `function`, whose type is that of its declaration:
//   decltype(&::deflate) deflate;  TRY(LoadLate("libz.so.1", "deflate", deflate));
template <typename F>
Status LoadLate(const char* library, const char* symbol, F*& function) {
  TRY_ASSIGN(void* const address, LateSymbol(library, symbol));
  function = reinterpret_cast<F*>(address);
  return {};
}

}  // namespace lre
