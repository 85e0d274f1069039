// AssetRecords: which digest an asset (URI and qualifiers) has, since when and until when. Thread-
// safe; blocks; borrows what it is made of.
//
// A record is an entry of the action cache under an instance name that no client can say: so it is
// served only while everything it names is there, a hit renews the leases of all of that, and it
// lives and goes as action results do. Format: docs/formats/asset.md.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "action_cache/action_cache.h"
#include "base/clock.h"
#include "service/asset_qualifiers.h"
#include "store/blob_store.h"

namespace lre::service {

// Keeps blobs of a partition under a name until a time; of no blobs: forgets the name.
using PinFunction = std::function<Status(const std::string& name, store::Partition partition,
                                         std::span<const Digest> digests, WallTime until)>;

struct AssetName {
  AssetKind kind = AssetKind::kBlob;
  store::Partition partition = 0;
  std::string instance_name;
  std::string uri;
  const QualifierList& qualifiers;
};

struct Asset {
  Digest digest;
  WallTime since;                 // pushed, or its retrieval from origin started
  std::optional<WallTime> until;  // none: as long as its blobs are there
  bool pushed = false;
  bool verified = false;  // fetched with a checksum
  bool pinned = false;    // its blobs are kept until then
  // Of Put only: what is kept beside it.
  std::vector<Digest> blobs, directories;
};

class AssetRecords {
 public:
  // `pin` may be empty: then nothing is pinned.
  AssetRecords(store::BlobStore& store, action_cache::ActionCache& entries, PinFunction pin)
      : store_(store), entries_(entries), pin_(std::move(pin)) {}

  // Nullopt when there is none, or something it names is gone.
  Result<std::optional<Asset>> Find(const AssetName& name, DigestFunction function);
  // kFailedPrecondition names a blob that is absent.
  Status Put(const AssetName& name, const Asset& asset);
  Status Remove(const AssetName& name, DigestFunction function);
  // Pins everything that `asset` needs. kResourceExhausted when it does not fit, kUnimplemented
  // when nothing can be pinned here.
  Status Pin(const AssetName& name, const Asset& asset, WallTime until);

 private:
  store::BlobStore& store_;
  action_cache::ActionCache& entries_;
  const PinFunction pin_;
};

}  // namespace lre::service
