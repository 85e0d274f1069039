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
find_program(LRE_MOLD mold)
if(LRE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(LRE_CCACHE ccache)
if(LRE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LRE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${LRE_CCACHE})
endif()
