// Finding store paths in bytes. The prefix is rare, so the scan is memmem over the text (glibc's is
// about as fast as memory), and only what follows a hit is looked at closely.
#include <string.h>

#include <algorithm>

#include "toolchain/nix/store_name.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {
namespace {

// A role is at most this long.
constexpr size_t kRoleLengthMax = 64;
// What the scanner must keep of one piece, besides the prefix, to finish in the next.
constexpr size_t kNameKept =
    1 + std::max(kStoreHashLength + 1 + kRoleLengthMax, kNixHashLength + 1 + kNixNameMax);

bool IsHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
bool IsRoleStart(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsRole(char c) { return IsRoleStart(c) || c == '.' || c == '_' || c == '+' || c == '-'; }

// Length of the store name that `text` begins with; 0 when it does not.
size_t NameLength(std::string_view text) {
  if (text.size() < kStoreHashLength + 2 || text[kStoreHashLength] != '-') return 0;
  if (!std::all_of(text.begin(), text.begin() + kStoreHashLength, IsHex)) return 0;
  if (!IsRoleStart(text[kStoreHashLength + 1])) return 0;
  size_t end = kStoreHashLength + 1,
         bound = std::min(text.size(), kStoreHashLength + 1 + kRoleLengthMax);
  while (end < bound && IsRole(text[end])) ++end;
  while (text[end - 1] == '.' || text[end - 1] == '-') --end;
  return end;
}

size_t NameLength(std::string_view text, std::string_view prefix) {
  return prefix == kNixStorePrefix ? NixNameLength(text) : NameLength(text);
}

void Insert(std::vector<std::string>& sorted, std::string path) {
  auto at = std::lower_bound(sorted.begin(), sorted.end(), path);
  if (at == sorted.end() || *at != path) sorted.insert(at, std::move(path));
}

// Adds what `text` names; hits that begin at or after `limit` are left for later.
void Scan(std::string_view text, std::string_view prefix, size_t limit,
          std::vector<std::string>& found) {
  size_t at = 0;
  while (at < text.size()) {
    const void* hit = memmem(text.data() + at, text.size() - at, prefix.data(), prefix.size());
    if (hit == nullptr) return;
    at = static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    if (at >= limit) return;
    size_t name = at + prefix.size();
    if (name < text.size() && text[name] == '/') {
      size_t length = NameLength(text.substr(name + 1), prefix);
      if (length != 0) Insert(found, std::string(text.substr(at, prefix.size() + 1 + length)));
    }
    at += prefix.size();
  }
}

}  // namespace

bool IsStoreName(std::string_view name) { return !name.empty() && NameLength(name) == name.size(); }

std::vector<std::string> FindStoreReferences(std::string_view text, std::string_view prefix) {
  std::vector<std::string> found;
  Scan(text, prefix, text.size(), found);
  return found;
}

std::vector<std::string> FindAllReferences(std::string_view text, std::string_view prefix) {
  std::vector<std::string> found;
  for (std::string_view each : {prefix, kNixStorePrefix}) Scan(text, each, text.size(), found);
  return found;
}

StoreReferenceScanner::StoreReferenceScanner(std::string_view prefix) : prefix_(prefix) {}

void StoreReferenceScanner::ScanUpTo(std::string_view text, size_t limit) {
  for (std::string_view each : {std::string_view(prefix_), kNixStorePrefix})
    Scan(text, each, limit, found_);
}

void StoreReferenceScanner::Update(std::string_view piece) {
  // A hit in the last `keep` bytes may go on in the next piece: it is looked at then.
  const size_t keep = std::max(prefix_.size(), kNixStorePrefix.size()) + kNameKept;
  if (!tail_.empty()) {
    size_t tail = tail_.size();
    tail_.append(piece.substr(0, keep));
    if (piece.size() < keep) {
      size_t limit = tail_.size() > keep ? tail_.size() - keep : 0;
      ScanUpTo(tail_, limit);
      tail_.erase(0, limit);
      return;
    }
    ScanUpTo(tail_, tail);
  }
  size_t limit = piece.size() > keep ? piece.size() - keep : 0;
  ScanUpTo(piece, limit);
  tail_.assign(piece.substr(limit));
}

std::vector<std::string> StoreReferenceScanner::Finish() {
  ScanUpTo(tail_, tail_.size());
  tail_.clear();
  return std::move(found_);
}

}  // namespace lre::toolchain
