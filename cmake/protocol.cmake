# Generates and compiles proto/: lre_proto holds the messages; lre_proto_grpc the grpc++ stubs that only
# tests and benchmarks use, as an independent client and server.
file(GLOB_RECURSE LRE_PROTOS CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/proto ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(LRE_PROTO_OUT ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${LRE_PROTO_OUT})
find_program(PROTOC protoc REQUIRED)
set(proto_sources)
set(grpc_sources)
foreach(proto ${LRE_PROTOS})
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  add_custom_command(
    OUTPUT ${LRE_PROTO_OUT}/${stem}.pb.cc ${LRE_PROTO_OUT}/${stem}.pb.h
    COMMAND ${PROTOC} -I ${CMAKE_SOURCE_DIR}/proto --cpp_out=${LRE_PROTO_OUT} ${proto}
    DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto})
  list(APPEND proto_sources ${LRE_PROTO_OUT}/${stem}.pb.cc)
  file(STRINGS ${CMAKE_SOURCE_DIR}/proto/${proto} services REGEX "^service ")
  if(services)
    list(APPEND grpc_protos ${proto})
    list(APPEND grpc_stems ${stem})
  endif()
endforeach()
add_library(lre_proto STATIC ${proto_sources})
target_include_directories(lre_proto SYSTEM PUBLIC ${LRE_PROTO_OUT})
target_link_libraries(lre_proto PUBLIC lib::protobuf)
# Fields that newer versions of the REAPI deprecate are still what older clients send.
target_compile_options(lre_proto PRIVATE -w INTERFACE -Wno-deprecated-declarations)

if(LRE_TESTS OR LRE_BENCH)
  find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
  foreach(proto stem IN ZIP_LISTS grpc_protos grpc_stems)
    add_custom_command(
      OUTPUT ${LRE_PROTO_OUT}/${stem}.grpc.pb.cc ${LRE_PROTO_OUT}/${stem}.grpc.pb.h
      COMMAND ${PROTOC} -I ${CMAKE_SOURCE_DIR}/proto --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN}
              --grpc_out=${LRE_PROTO_OUT} ${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto})
    list(APPEND grpc_sources ${LRE_PROTO_OUT}/${stem}.grpc.pb.cc)
  endforeach()
  add_library(lre_proto_grpc STATIC EXCLUDE_FROM_ALL ${grpc_sources})
  target_link_libraries(lre_proto_grpc PUBLIC lre_proto lib::grpcpp)
  target_compile_options(lre_proto_grpc PRIVATE -w)
endif()
