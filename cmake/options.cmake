# Compiler options shared by every target.
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Werror=return-type -Werror=unused-result
                    $<$<CONFIG:Release>:-O2> $<$<CONFIG:Debug>:-O1> -g1 -fno-omit-frame-pointer)
# The build directory must not enter the bytes: the program is reproducible too.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
# A CHECK is ours and stays on in Release; assert() of the libraries stays on as well.
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
if(LRE_SANITIZE)
  add_compile_options(-fsanitize=${LRE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LRE_SANITIZE})
endif()
option(LRE_FUZZ "Build the targets of test/fuzz with libFuzzer; needs clang 19 or newer" OFF)
if(LRE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
find_program(LRE_MOLD mold)
if(LRE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
# Precompiled headers halve the time of a build from nothing (half of it is parsing the same headers).
# The debug preset goes without them, so that ./check sees a file that forgets an include.
option(LRE_PCH "Precompile the headers that every file includes" ON)
find_program(LRE_CCACHE ccache)
if(LRE_CCACHE)
  set(LRE_CCACHE_ENVIRONMENT "")
  if(LRE_PCH)
    # What ccache needs to remember files that use a precompiled header (its manual, "Precompiled headers").
    list(APPEND LRE_CCACHE_ENVIRONMENT CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime)
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
  # What one checkout has compiled, another one finds: paths count from the checkout, and -ffile-prefix-map has taken
  # its own path out of the debug information.
  cmake_path(IS_PREFIX CMAKE_SOURCE_DIR "${CMAKE_BINARY_DIR}" inside)
  if(inside)
    list(APPEND LRE_CCACHE_ENVIRONMENT CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1)
  endif()
  set(LRE_CCACHE ${CMAKE_COMMAND} -E env ${LRE_CCACHE_ENVIRONMENT} ${LRE_CCACHE})
endif()
if(LRE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LRE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${LRE_CCACHE})
endif()
