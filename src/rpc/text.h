// The text that gRPC puts into HTTP/2 headers: timeouts, percent-encoded messages, base64 values.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace lre::rpc {

// "10S", "250m": at most 8 digits and a unit of H M S m u n.
std::optional<Duration> ParseTimeout(std::string_view text);
// The largest precision that fits 8 digits; never zero, so that a deadline just passed still
// travels.
std::string FormatTimeout(Duration timeout);

// grpc-message: everything outside printable ASCII, and '%', as %XX.
std::string PercentEncode(std::string_view text);
// Malformed escapes are kept as they are: a broken message must not lose the status.
std::string PercentDecode(std::string_view text);

// Without padding, as gRPC sends it.
std::string Base64Encode(std::string_view bytes);
// With or without padding.
std::optional<std::string> Base64Decode(std::string_view text);

// The code of a grpc-status value; kUnknown when it is none of ours.
Code ParseGrpcStatus(std::string_view text);
// The code of an answer that is not gRPC.
// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
Code CodeOfHttpStatus(int status);

// Whether `name` stands in "a, b,c", as lists in headers are written.
bool ListHas(std::string_view list, std::string_view name);

// True for "application/grpc", "application/grpc+proto", "application/grpc;...".
bool IsGrpcContentType(std::string_view content_type);

}  // namespace lre::rpc
