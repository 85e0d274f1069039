// SHA and MD5 come from OpenSSL, which uses the machine's SHA instructions. A context is dear (two
// allocations and a fetch of the algorithm from the provider), a re-initialised one is cheap: each
// Hasher keeps its own, and each thread one per function for whole small blobs.
#include "digest/hasher.h"

#include <openssl/evp.h>

#include <variant>

#include "base/check.h"
#include "digest/blake3.h"

namespace lre {
namespace {

// The algorithm as OpenSSL's default provider has it; fetched once, as fetching takes a lock.
const EVP_MD* Algorithm(DigestFunction function) {
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static const EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  static const EVP_MD* const sha384 = EVP_MD_fetch(nullptr, "SHA384", nullptr);
  static const EVP_MD* const sha512 = EVP_MD_fetch(nullptr, "SHA512", nullptr);
  static const EVP_MD* const md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  switch (function) {
    case DigestFunction::kSha256:
      return sha256;
    case DigestFunction::kSha1:
      return sha1;
    case DigestFunction::kSha384:
      return sha384;
    case DigestFunction::kSha512:
      return sha512;
    case DigestFunction::kMd5:
      return md5;
    case DigestFunction::kBlake3:
    case DigestFunction::kUnknown:
      break;
  }
  return nullptr;
}

class OpensslState {
 public:
  explicit OpensslState(DigestFunction function) : context_(EVP_MD_CTX_new()) {
    const EVP_MD* algorithm = Algorithm(function);
    CHECK(algorithm != nullptr, "OpenSSL's provider has every digest function LRE serves");
    CHECK(context_ != nullptr && EVP_DigestInit_ex2(context_, algorithm, nullptr) == 1);
  }
  OpensslState(const OpensslState&) = delete;
  OpensslState& operator=(const OpensslState&) = delete;
  ~OpensslState() { EVP_MD_CTX_free(context_); }

  void Update(std::string_view bytes) {
    CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
  }
  // Leaves the state as new.
  void Finish(char* out) {
    unsigned size = 0;
    CHECK(EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(out), &size) == 1);
    CHECK(EVP_DigestInit_ex2(context_, nullptr, nullptr) == 1);
  }

 private:
  EVP_MD_CTX* context_;
};

template <DigestFunction kFunction>
void HashOnThread(std::string_view bytes, char* out) {
  // Per thread, so that hashing a small blob allocates nothing and takes no lock.
  thread_local OpensslState state(kFunction);
  state.Update(bytes);
  state.Finish(out);
}

}  // namespace

struct Hasher::State {
  explicit State(DigestFunction function) {
    if (function == DigestFunction::kBlake3)
      impl.emplace<Blake3>();
    else
      impl.emplace<OpensslState>(function);
  }
  std::variant<std::monostate, OpensslState, Blake3> impl;
};

Hasher::Hasher(DigestFunction function)
    : function_(function), state_(std::make_unique<State>(function)) {}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::Update(std::string_view bytes) {
  size_bytes_ += static_cast<int64_t>(bytes.size());
  if (auto* blake3 = std::get_if<Blake3>(&state_->impl))
    blake3->Update(bytes);
  else
    std::get<OpensslState>(state_->impl).Update(bytes);
}

Digest Hasher::Finish() {
  Digest digest{.function = function_, .size_bytes = std::exchange(size_bytes_, 0)};
  if (auto* blake3 = std::get_if<Blake3>(&state_->impl)) {
    blake3->Finish(digest.hash.data());
    blake3->Reset();
  } else {
    std::get<OpensslState>(state_->impl).Finish(digest.hash.data());
  }
  return digest;
}

Digest ComputeDigest(DigestFunction function, std::string_view bytes) {
  Digest digest{.function = function, .size_bytes = static_cast<int64_t>(bytes.size())};
  switch (function) {
    case DigestFunction::kSha256:
      HashOnThread<DigestFunction::kSha256>(bytes, digest.hash.data());
      break;
    case DigestFunction::kSha1:
      HashOnThread<DigestFunction::kSha1>(bytes, digest.hash.data());
      break;
    case DigestFunction::kSha384:
      HashOnThread<DigestFunction::kSha384>(bytes, digest.hash.data());
      break;
    case DigestFunction::kSha512:
      HashOnThread<DigestFunction::kSha512>(bytes, digest.hash.data());
      break;
    case DigestFunction::kMd5:
      HashOnThread<DigestFunction::kMd5>(bytes, digest.hash.data());
      break;
    case DigestFunction::kBlake3: {
      Blake3 blake3;
      blake3.Update(bytes);
      blake3.Finish(digest.hash.data());
      break;
    }
    case DigestFunction::kUnknown:
      CHECK(false, "a digest function is given");
  }
  return digest;
}

Digest EmptyDigest(DigestFunction function) { return ComputeDigest(function, {}); }

}  // namespace lre
