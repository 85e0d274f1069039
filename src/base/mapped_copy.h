// MappedCopy: memcpy from a file mapping that survives what a mapping can do: when a page can no
// longer be read (the disk gives an error, the file was cut off), the kernel sends SIGBUS to
// whoever touches it, and this returns false instead of ending the process. Thread-safe. The first
// call installs a handler for SIGBUS; a fault anywhere else goes to the handler that was there
// before.
#pragma once

#include <cstddef>

namespace lre {

// Whether all `size` bytes were copied; if not, `to` holds some of them.
[[nodiscard]] bool MappedCopy(void* to, const void* from, size_t size);

}  // namespace lre
