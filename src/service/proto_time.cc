#include "service/proto_time.h"

#include <algorithm>

namespace lre::service {
namespace {

// About 292 years on either side: what 64 bits of nanoseconds hold.
constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;

Duration FromParts(int64_t seconds, int32_t nanos) {
  return std::chrono::seconds(std::clamp(seconds, -kSecondsMax, kSecondsMax)) +
         std::chrono::nanoseconds(std::clamp(nanos, -999'999'999, 999'999'999));
}

}  // namespace

google::protobuf::Timestamp ToProtoTime(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time.time_since_epoch());
  google::protobuf::Timestamp message;
  message.set_seconds(seconds.count());
  message.set_nanos(static_cast<int32_t>((time.time_since_epoch() - seconds).count()));
  return message;
}

WallTime FromProtoTime(const google::protobuf::Timestamp& message) {
  return WallTime(FromParts(message.seconds(), message.nanos()));
}

Duration FromProtoDuration(const google::protobuf::Duration& message) {
  return FromParts(message.seconds(), message.nanos());
}

}  // namespace lre::service
