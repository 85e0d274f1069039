// grpc.reflection.v1 and v1alpha: which services are served, and the descriptors of everything this
// program was built from, so that grpcurl and its like need no .proto files. Thread-safe; methods
// share what they were made with. A client that does not read gets nothing more: requests then wait
// within their stream's window. Specification:
// https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
#pragma once

#include <set>
#include <string>
#include <vector>

#include "rpc/call.h"

namespace lre::service {

// `services`: full names of what is served, see ServicesOf; those of reflection are added.
std::vector<rpc::Method> ReflectionMethods(std::set<std::string> services);

}  // namespace lre::service
