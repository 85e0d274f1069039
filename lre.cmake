# CMake toolchain file: cmake --toolchain lre.cmake ...
# Written by `lre generate` from manifest sha256:58d7405ff20738f4b36adf2ec382e1751db4c8c4f7bc71f0d8cbed9395348bc7
# of lre-cc: edits are lost.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER "/lre/store/398bc59226c28a38f2228343940103c9-gcc/usr/bin/x86_64-linux-gnu-gcc-12")
set(CMAKE_CXX_COMPILER "/lre/store/398bc59226c28a38f2228343940103c9-gcc/usr/bin/x86_64-linux-gnu-g++-12")
set(CMAKE_AR "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-ar")
set(CMAKE_LINKER "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-ld")
set(CMAKE_NM "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-nm")
set(CMAKE_OBJCOPY "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-objcopy")
set(CMAKE_OBJDUMP "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-objdump")
set(CMAKE_RANLIB "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-ranlib")
set(CMAKE_STRIP "/lre/store/05be924634b136e00a9cd66f5d63510c-binutils/usr/bin/x86_64-linux-gnu-strip")
set(CMAKE_SYSROOT "/lre/store/60eb7d83b60160be4657bf80f2e06d58-sysroot")

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
