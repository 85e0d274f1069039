// Status and Result: how every function of LRE says that it could not do what it was asked.
//
// Codes are gRPC's, so a Status can be sent to a client as it is. Values are plain data: copyable,
// no thread-safety of their own. A Status never carries a bug: bugs are CHECKs (base/check.h).
// Messages name the thing and the value, without "failed to" and without a full stop.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace lre {

// https://grpc.github.io/grpc/core/md_doc_statuscodes.html
enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// The name of a code as the gRPC specification spells it: "NOT_FOUND".
std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // A serialised google.rpc.Status for the trailer grpc-status-details-bin; empty when there is
  // none.
  const std::string& details() const { return details_; }
  Status WithDetails(std::string details) && {
    details_ = std::move(details);
    return std::move(*this);
  }
  // The same status with "context: " put before its message.
  Status WithContext(std::string_view context) const;

  // "NOT_FOUND: blob abc/3", for logs and terminals.
  std::string ToString() const;

  friend bool operator==(const Status&, const Status&) = default;

 private:
  Code code_ = Code::kOk;
  std::string message_;
  std::string details_;
};

template <typename T>
using Result = std::expected<T, Status>;

// Error(Code::kNotFound, "blob {}", digest) converts to a Status and to any Result<T>.
template <typename... Args>
std::unexpected<Status> Error(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Status(code, fmt::format(format, std::forward<Args>(args)...)));
}
template <typename... Args>
Status ErrorStatus(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}

// The status of errno value `error`, e.g. ENOSPC -> RESOURCE_EXHAUSTED "open /a/b: No space left on
// device".
Status ErrnoStatus(int error, std::string_view what);
std::unexpected<Status> ErrnoError(int error, std::string_view what);

inline Status ToStatus(const Status& status) { return status; }
inline Status ToStatus(Status&& status) { return std::move(status); }
template <typename T>
Status ToStatus(const Result<T>& result) {
  return result ? Status() : result.error();
}

// What TRY returns: converts to Status and to Result<T>.
struct PropagatedError {
  Status status;
  operator Status() && { return std::move(status); }  // NOLINT(google-explicit-constructor)
  template <typename T>
  operator Result<T>() && {  // NOLINT(google-explicit-constructor)
    return std::unexpected(std::move(status));
  }
};

}  // namespace lre

#define LRE_CONCAT_INNER(a, b) a##b
#define LRE_CONCAT(a, b) LRE_CONCAT_INNER(a, b)

// TRY(expression): returns the error of a Status or Result<T> from the enclosing function.
#define TRY(expression)                                                             \
  do {                                                                              \
    if (auto lre_try = (expression); !::lre::ToStatus(lre_try).ok()) [[unlikely]] { \
      return ::lre::PropagatedError{::lre::ToStatus(std::move(lre_try))};           \
    }                                                                               \
  } while (false)

// TRY_ASSIGN(auto x, F()): x is the value of Result F(), or the enclosing function returns its
// error.
#define TRY_ASSIGN(declaration, expression) \
  LRE_TRY_ASSIGN(LRE_CONCAT(lre_result_, __LINE__), declaration, expression)
#define LRE_TRY_ASSIGN(result, declaration, expression)       \
  auto result = (expression);                                 \
  if (!result) [[unlikely]] {                                 \
    return ::lre::PropagatedError{std::move(result).error()}; \
  }                                                           \
  declaration = std::move(*result)
