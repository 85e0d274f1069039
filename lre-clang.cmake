# CMake toolchain file: cmake --toolchain lre-clang.cmake ...
# Written by `lre generate` from manifest sha256:3f09089b0cbcb3bee53abc6fd07e1faf8703ba96ec2125149b66ef83a4a7ae64
# of lre-clang: edits are lost.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER "/lre/store/78c0d2ec22b773019ade6ade30c006a1-clang/usr/lib/llvm-16/bin/clang")
set(CMAKE_CXX_COMPILER "/lre/store/78c0d2ec22b773019ade6ade30c006a1-clang/usr/lib/llvm-16/bin/clang++")
set(CMAKE_AR "/lre/store/a1b6e8131f5aa33cfcc4caf66bb216a2-binutils/usr/bin/x86_64-linux-gnu-ar")
set(CMAKE_LINKER "/lre/store/78c0d2ec22b773019ade6ade30c006a1-clang/usr/lib/llvm-16/bin/ld.lld")
set(CMAKE_NM "/lre/store/a1b6e8131f5aa33cfcc4caf66bb216a2-binutils/usr/bin/x86_64-linux-gnu-nm")
set(CMAKE_OBJCOPY "/lre/store/a1b6e8131f5aa33cfcc4caf66bb216a2-binutils/usr/bin/x86_64-linux-gnu-objcopy")
set(CMAKE_OBJDUMP "/lre/store/a1b6e8131f5aa33cfcc4caf66bb216a2-binutils/usr/bin/x86_64-linux-gnu-objdump")
set(CMAKE_RANLIB "/lre/store/a1b6e8131f5aa33cfcc4caf66bb216a2-binutils/usr/bin/x86_64-linux-gnu-ranlib")
set(CMAKE_STRIP "/lre/store/a1b6e8131f5aa33cfcc4caf66bb216a2-binutils/usr/bin/x86_64-linux-gnu-strip")
set(CMAKE_SYSROOT "/lre/store/4009ddf331fd50c1771a1dbb2f864535-sysroot")

# Other languages, for add_custom_command.
set(LRE_GO "/lre/store/2abef5cb324819e5b7186ed88744c613-go/usr/bin/go")
set(LRE_RUSTC "/lre/store/44e1b8fab6f44d614f098c62a4ff9d94-rust/usr/bin/rustc")

# Headers and libraries come from the sysroot, never from this machine; programs may.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# The place of the build must not enter its outputs.
string(APPEND CMAKE_C_FLAGS_INIT " -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
string(APPEND CMAKE_CXX_FLAGS_INIT " -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")

# With recc on PATH: cmake -DLRE_RECC=ON builds through the farm that recc.conf names.
option(LRE_RECC "Compile through recc" OFF)
if(LRE_RECC)
  set(CMAKE_C_COMPILER_LAUNCHER recc)
  set(CMAKE_CXX_COMPILER_LAUNCHER recc)
endif()
