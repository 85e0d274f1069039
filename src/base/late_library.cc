#include "base/late_library.h"

#include <dlfcn.h>

namespace lre {

Result<void*> LateSymbol(const char* library, const char* symbol) {
  // Counted by the loader: opening it again gives the same library.
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  void* const address = handle != nullptr ? dlsym(handle, symbol) : nullptr;
  if (address != nullptr) return address;
  const char* const reason = dlerror();
  return Error(Code::kFailedPrecondition, "{}: {}", library,
               reason != nullptr ? reason : "no such function");
}

}  // namespace lre
