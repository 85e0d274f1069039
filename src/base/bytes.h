// Bytes: an immutable run of bytes that stays valid while held, whoever owns the memory (a string,
// a mapped segment, a received frame). Cheap to copy (one reference count); slices share the owner.
// Thread-safe like shared_ptr: different copies may be used and dropped on different threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lre {

class Bytes {
 public:
  Bytes() = default;
  // Takes over `text`.
  explicit Bytes(std::string text) {
    auto owned = std::make_shared<const std::string>(std::move(text));
    view_ = *owned;
    owner_ = std::move(owned);
  }
  // `view` must stay valid while `owner` lives.
  Bytes(std::shared_ptr<const void> owner, std::string_view view)
      : owner_(std::move(owner)), view_(view) {}
  // Bytes that live as long as the program, e.g. literals.
  static Bytes Static(std::string_view view) { return Bytes(nullptr, view); }

  const char* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  std::string_view view() const { return view_; }
  // The part [offset, offset + size), clamped to what is there, sharing the owner.
  Bytes Slice(size_t offset, size_t size = std::string_view::npos) const {
    return Bytes(owner_, offset >= view_.size() ? std::string_view() : view_.substr(offset, size));
  }

 private:
  std::shared_ptr<const void> owner_;
  std::string_view view_;
};

// Consecutive pieces of one value.
using BytesList = std::vector<Bytes>;

size_t TotalSize(const BytesList& list);
std::string Flatten(const BytesList& list);

}  // namespace lre
