#include "store/read_through_store.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <unordered_map>

#include "base/guarded.h"
#include "base/log.h"
#include "digest/hasher.h"

namespace lre::store {
namespace {

// Fetches in flight. The first to ask for a blob is its fetcher and must call Land; the others
// wait.
class Flights {
 public:
  struct Flight {
    std::mutex mutex;
    std::condition_variable landed;
    bool done = false;
    Status status;
  };
  // nullptr: the caller is the fetcher.
  std::shared_ptr<Flight> Join(const BlobKey& key) {
    return flights_.With([&](auto& flights) -> std::shared_ptr<Flight> {
      auto [it, first] = flights.try_emplace(key);
      if (!first) return it->second;
      it->second = std::make_shared<Flight>();
      return nullptr;
    });
  }
  void Land(const BlobKey& key, const Status& status) {
    std::shared_ptr<Flight> flight = flights_.With([&](auto& flights) {
      auto node = flights.extract(key);
      return std::move(node.mapped());
    });
    std::lock_guard lock(flight->mutex);
    flight->done = true;
    flight->status = status;
    flight->landed.notify_all();
  }
  static Status Wait(Flight& flight, const BlobKey& key, Duration longest) {
    std::unique_lock lock(flight.mutex);
    if (flight.landed.wait_for(lock, longest, [&] { return flight.done; })) return flight.status;
    return ErrorStatus(Code::kDeadlineExceeded, "blob {}: it is still being fetched from upstream",
                       key.digest);
  }

 private:
  // Shared by the fetcher and those who wait, whoever of them leaves last.
  Guarded<std::unordered_map<BlobKey, std::shared_ptr<Flight>, BlobKeyHash>> flights_;
};

class ReadThroughStore final : public BlobStore {
 public:
  ReadThroughStore(std::unique_ptr<BlobStore> local, std::unique_ptr<BlobStore> upstream,
                   const Clock& clock, ReadThroughOptions options)
      : local_(std::move(local)),
        upstream_(std::move(upstream)),
        clock_(clock),
        options_(options),
        fetched_bytes_((options.metrics ? *options.metrics : own_metrics_)
                           .AddCounter("lre_store_upstream_fetched_bytes_total",
                                       "Bytes that were fetched from the upstream store")),
        errors_((options.metrics ? *options.metrics : own_metrics_)
                    .AddCounter("lre_store_upstream_errors_total",
                                "Calls that the upstream store did not answer or refused")) {}

  Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                            std::span<const Digest> digests) override;
  Result<BytesList> Read(const BlobKey& key, ByteRange range) override;
  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) override;
  std::vector<Result<BytesList>> ReadMany(Partition partition,
                                          std::span<const Digest> digests) override;
  std::vector<Status> PutMany(Partition partition,
                              std::span<const std::pair<Digest, Bytes>> blobs) override;

  std::optional<Result<std::vector<uint32_t>>> TryFindMissing(
      Partition partition, std::span<const Digest> digests) override {
    auto missing = local_->TryFindMissing(partition, digests);
    if (!missing || !*missing || !options_.find_upstream) return missing;
    for (uint32_t i : **missing)
      if (Asks({digests[i], partition})) return std::nullopt;
    return missing;
  }
  std::optional<Result<BytesList>> TryRead(const BlobKey& key, ByteRange range) override {
    auto read = local_->TryRead(key, range);
    if (read && !*read && read->error().code() == Code::kNotFound && Asks(key)) return std::nullopt;
    return read;
  }
  std::optional<Status> TryPut(const BlobKey& key, const Bytes& bytes, bool verified) override {
    if (WritesThrough(key.partition) && IsUp()) return std::nullopt;
    return local_->TryPut(key, bytes, verified);
  }
  std::optional<std::vector<Status>> TryPutMany(Partition partition,
                                                std::span<const std::pair<Digest, Bytes>> blobs,
                                                bool verified) override {
    if (WritesThrough(partition) && IsUp()) return std::nullopt;
    return local_->TryPutMany(partition, blobs, verified);
  }
  // Of chunks that only upstream has, and for an upstream that is written to, the bytes are copied.
  Status Splice(const BlobKey& key, const Chunking& chunking, bool verified) override {
    if (verified || !WritesThrough(key.partition)) {
      Status status = local_->Splice(key, chunking, verified);
      if (status.code() != Code::kNotFound || key.partition != 0) return status;
    }
    return BlobStore::Splice(key, chunking, verified);
  }
  Result<std::optional<Chunking>> Chunks(const BlobKey& key) override {
    return local_->Chunks(key);
  }
  Result<std::optional<ZstdFrame>> ReadZstd(const BlobKey& key, uint64_t offset) override {
    return local_->ReadZstd(key, offset);
  }

  // Copies a blob that is here to upstream.
  void PushUpstream(const BlobKey& key);

 private:
  bool IsUp() const { return clock_.Now().time_since_epoch().count() >= down_until_; }
  // Whether upstream is asked for a blob that is not here.
  bool Asks(const BlobKey& key) const {
    return key.partition == 0 &&
           static_cast<uint64_t>(key.digest.size_bytes) <= options_.blob_bytes_max && IsUp();
  }
  bool WritesThrough(Partition partition) const { return partition == 0 && options_.write_through; }
  // Keeps account of what upstream answered.
  void Note(const Status& status);
  Status Fetch(const BlobKey& key);
  // Brings the blob here unless it is being brought already.
  Status FetchOnce(const BlobKey& key);

  const std::unique_ptr<BlobStore> local_, upstream_;
  const Clock& clock_;
  const ReadThroughOptions options_;
  Metrics own_metrics_;
  Counter& fetched_bytes_;
  Counter& errors_;
  std::atomic<int64_t> down_until_{INT64_MIN};
  std::atomic<bool> said_down_{false};
  Flights flights_;
};

void ReadThroughStore::Note(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
    case Code::kNotFound:
      if (said_down_.exchange(false)) Log(kInfo, "store_upstream_up", {});
      return;
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
    case Code::kResourceExhausted:  // it answers, though not as we wish
      errors_.Add();
      return;
    default:
      errors_.Add();
      down_until_ = (clock_.Now() + options_.down_pause).time_since_epoch().count();
      // Once until it is back: an upstream that is down for a night is one line.
      if (!said_down_.exchange(true))
        Log(kWarning, "store_upstream_down", {{"error", status.ToString()}});
  }
}

Result<std::vector<uint32_t>> ReadThroughStore::FindMissing(Partition partition,
                                                            std::span<const Digest> digests) {
  TRY_ASSIGN(std::vector<uint32_t> missing, local_->FindMissing(partition, digests));
  if (missing.empty() || !options_.find_upstream) return missing;
  std::vector<Digest> asked;
  std::vector<uint32_t> answer, indices;  // of those that are not asked for, and those that are
  for (uint32_t i : missing) {
    const bool asks = Asks({digests[i], partition});
    (asks ? indices : answer).push_back(i);
    if (asks) asked.push_back(digests[i]);
  }
  if (asked.empty()) return missing;
  auto nowhere = upstream_->FindMissing(partition, asked);
  Note(ToStatus(nowhere));
  if (!nowhere) return missing;
  for (uint32_t i : *nowhere) answer.push_back(indices[i]);
  std::sort(answer.begin(), answer.end());
  return answer;
}

Status ReadThroughStore::Fetch(const BlobKey& key) {
  uint64_t size = static_cast<uint64_t>(key.digest.size_bytes);
  std::unique_ptr<BlobWriter> writer;
  for (uint64_t at = 0; at < size;) {
    auto pieces = upstream_->Read(key, {at, std::min(size, at + options_.piece_bytes)});
    Note(ToStatus(pieces));
    if (!pieces) return pieces.error();
    if (TotalSize(*pieces) == 0) {
      return ErrorStatus(Code::kUnavailable, "blob {}: upstream sent nothing from byte {} on",
                         key.digest, at);
    }
    // No place is taken here before upstream has shown that it has the blob.
    if (writer == nullptr) {
      TRY_ASSIGN(writer, local_->Write(key));
    }
    for (Bytes& piece : *pieces) {
      at += piece.size();
      fetched_bytes_.Add(piece.size());
      TRY(writer->Append(std::move(piece)));
    }
  }
  return writer == nullptr ? Status() : writer->Commit();
}

Status ReadThroughStore::FetchOnce(const BlobKey& key) {
  if (auto flight = flights_.Join(key)) return Flights::Wait(*flight, key, options_.fetch_max);
  // Another fetch may have landed since the caller looked.
  auto missing = local_->FindMissing(key.partition, {&key.digest, 1});
  Status status = missing && missing->empty() ? Status() : Fetch(key);
  // The only bytes that a writer here refuses as wrong are upstream's.
  if (status.code() == Code::kInvalidArgument) {
    errors_.Add();
    Log(kWarning, "store_upstream_wrong", {{"error", status.message()}});
  }
  flights_.Land(key, status);
  return status;
}

Result<BytesList> ReadThroughStore::Read(const BlobKey& key, ByteRange range) {
  auto here = local_->Read(key, range);
  if (here || here.error().code() != Code::kNotFound || !Asks(key)) return here;
  TRY(CheckKey(key));
  Status fetched = FetchOnce(key);
  if (fetched.ok()) return local_->Read(key, range);
  // What upstream says about its own blob stays absent here; a full store is no reason not to read.
  if (fetched.code() != Code::kResourceExhausted || !IsUp()) return here;
  auto there = upstream_->Read(key, range);
  Note(ToStatus(there));
  return there ? std::move(there) : std::move(here);
}

std::vector<Result<BytesList>> ReadThroughStore::ReadMany(Partition partition,
                                                          std::span<const Digest> digests) {
  auto answers = local_->ReadMany(partition, digests);
  std::vector<uint32_t> fetched, awaited;
  std::vector<Digest> asked;
  for (uint32_t i = 0; i < answers.size(); ++i) {
    if (answers[i] || answers[i].error().code() != Code::kNotFound) continue;
    if (!Asks({digests[i], partition})) continue;
    if (!CheckKey({digests[i], partition}).ok()) continue;
    // Whoever else fetches one of these may itself wait for others that we fetch: so wait last.
    if (flights_.Join({digests[i], partition}) != nullptr) {
      awaited.push_back(i);
    } else {
      fetched.push_back(i);
      asked.push_back(digests[i]);
    }
  }
  if (!asked.empty()) {
    std::vector<Result<BytesList>> got = upstream_->ReadMany(partition, asked);
    std::vector<std::pair<Digest, Bytes>> blobs;
    std::vector<uint32_t> indices;
    for (size_t i = 0; i < got.size(); ++i) {
      Note(ToStatus(got[i]));
      if (!got[i]) {
        flights_.Land({asked[i], partition}, got[i].error());
        continue;
      }
      blobs.emplace_back(asked[i], Bytes(Flatten(*got[i])));
      fetched_bytes_.Add(blobs.back().second.size());
      indices.push_back(fetched[i]);
    }
    std::vector<Status> put = local_->PutMany(partition, blobs);
    for (size_t i = 0; i < put.size(); ++i) {
      flights_.Land({blobs[i].first, partition}, put[i]);
      // A full store is no reason not to read; bytes that are wrong stay absent.
      const auto& [digest, bytes] = blobs[i];
      bool right =
          put[i].ok() || (put[i].code() == Code::kResourceExhausted &&
                          CheckDigest(digest, ComputeDigest(digest.function, bytes.view())).ok());
      if (right) answers[indices[i]] = BytesList{blobs[i].second};
    }
  }
  for (uint32_t i : awaited) answers[i] = Read({digests[i], partition}, {});
  return answers;
}

void ReadThroughStore::PushUpstream(const BlobKey& key) {
  if (!IsUp()) return;
  auto push = [&]() -> Status {
    TRY_ASSIGN(auto writer, upstream_->Write(key));
    uint64_t size = static_cast<uint64_t>(key.digest.size_bytes);
    for (uint64_t at = 0; at < size;) {
      TRY_ASSIGN(BytesList pieces,
                 local_->Read(key, {at, std::min(size, at + options_.piece_bytes)}));
      for (Bytes& piece : pieces) {
        at += piece.size();
        TRY(writer->Append(std::move(piece)));
      }
    }
    return writer->Commit();
  };
  Note(push());
}

// Writes here, then upstream.
class ThroughWriter final : public BlobWriter {
 public:
  ThroughWriter(ReadThroughStore& store, const BlobKey& key, std::unique_ptr<BlobWriter> local)
      : store_(store), key_(key), local_(std::move(local)) {}
  Status Append(Bytes bytes) override { return local_->Append(std::move(bytes)); }
  uint64_t size() const override { return local_->size(); }
  Status Commit() override {
    TRY(local_->Commit());
    store_.PushUpstream(key_);
    return {};
  }

 private:
  ReadThroughStore& store_;
  const BlobKey key_;
  const std::unique_ptr<BlobWriter> local_;
};

Result<std::unique_ptr<BlobWriter>> ReadThroughStore::Write(const BlobKey& key) {
  TRY_ASSIGN(auto writer, local_->Write(key));
  if (!WritesThrough(key.partition)) return writer;
  return std::make_unique<ThroughWriter>(*this, key, std::move(writer));
}

std::vector<Status> ReadThroughStore::PutMany(Partition partition,
                                              std::span<const std::pair<Digest, Bytes>> blobs) {
  std::vector<Status> answers = local_->PutMany(partition, blobs);
  if (!WritesThrough(partition) || !IsUp()) return answers;
  std::vector<std::pair<Digest, Bytes>> written;
  for (size_t i = 0; i < blobs.size(); ++i)
    if (answers[i].ok()) written.push_back(blobs[i]);
  for (const Status& status : upstream_->PutMany(partition, written)) Note(status);
  return answers;
}

}  // namespace

std::unique_ptr<BlobStore> NewReadThroughStore(std::unique_ptr<BlobStore> local,
                                               std::unique_ptr<BlobStore> upstream,
                                               const Clock& clock, ReadThroughOptions options) {
  return std::make_unique<ReadThroughStore>(std::move(local), std::move(upstream), clock, options);
}

}  // namespace lre::store
