// Between times and durations of the clock and their messages. Values that the clock cannot hold
// become the nearest it can. Free functions, thread-safe.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "base/clock.h"

namespace lre::service {

google::protobuf::Timestamp ToProtoTime(WallTime time);
WallTime FromProtoTime(const google::protobuf::Timestamp& message);
Duration FromProtoDuration(const google::protobuf::Duration& message);

}  // namespace lre::service
