// Resource names: how ByteStream names a blob or an upload.
//
//   read    [{instance}/]blobs/[{function}/]{hash}/{size}
//           [{instance}/]compressed-blobs/{compressor}/[{function}/]{uncompressed hash}/{size}
//   write   [{instance}/]uploads/{uuid}/blobs/[{function}/]{hash}/{size}[/{anything}]
//           [{instance}/]uploads/{uuid}/compressed-blobs/{compressor}/[{function}/]{hash}/{size}[/..]
//
// The instance name is anything, also empty, also with slashes, but has none of the words blobs,
// uploads, actions, actionResults, operations, capabilities, compressed-blobs as a segment; so the
// first such word ends it. {function} is written for functions that the hash's length does not tell
// (BLAKE3); it is accepted for all. Plain values; the parsed instance name and uuid borrow from the
// text. Errors: kInvalidArgument naming the resource name and the part that is wrong.
// Source: comments of ByteStream in remote_execution.proto (REAPI 2.x).
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "digest/digest.h"

namespace lre::reapi {

// Numbers are those of build.bazel.remote.execution.v2.Compressor.Value.
enum class Compressor : uint8_t { kIdentity = 0, kZstd = 1, kDeflate = 2, kBrotli = 3 };

// "zstd", "deflate", "brotli"; "identity" for kIdentity (never part of a resource name).
std::string_view CompressorName(Compressor compressor);

struct ResourceName {
  std::string_view instance_name;
  std::string_view upload_id;  // the uuid; empty for a read
  Compressor compressor = Compressor::kIdentity;
  Digest digest;  // of the uncompressed bytes
  friend bool operator==(const ResourceName&, const ResourceName&) = default;
};

Result<ResourceName> ParseReadName(std::string_view text);
Result<ResourceName> ParseWriteName(std::string_view text);
// The name of a read, or of a write when upload_id is set.
std::string PrintResourceName(const ResourceName& name);

// Whether `name` may be an instance name: no segment is a reserved word, none is empty, at most 1
// KiB.
Status CheckInstanceName(std::string_view name);

}  // namespace lre::reapi
