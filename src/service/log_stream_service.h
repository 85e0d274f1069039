// build.bazel.remote.logstream.v1.LogStreamService, and the part of ByteStream that reads and
// writes log streams. A read follows its stream until the writer finishes it; a write must go on at
// the end of the stream, finish_write finishes it, and one that broke can be gone on with at what
// QueryWriteStatus tells. A reader sees the streams that it may see the operations of. Thread-safe;
// what is borrowed must outlive every call.
#pragma once

#include <vector>

#include "rpc/call.h"
#include "service/log_stream.h"
#include "service/partitions.h"

namespace lre::service {

std::vector<rpc::Method> LogStreamMethods(LogStreams& streams,
                                          const Partitions& partitions = Partitions::None());

// The methods of ByteStream, as they are but for resource names of log streams.
std::vector<rpc::Method> WithLogStreams(std::vector<rpc::Method> byte_stream, LogStreams& streams,
                                        const Partitions& partitions = Partitions::None());

}  // namespace lre::service
