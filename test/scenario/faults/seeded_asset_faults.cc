// Seeded faults of SplitBlob, SpliceBlob and the Remote Asset API.
#include <map>
#include <memory>

#include "build/bazel/remote/asset/v1/remote_asset.pb.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "fault_list.h"

namespace lre::scenario {
namespace {

namespace re = ::build::bazel::remote::execution::v2;
namespace as = ::build::bazel::remote::asset::v1;

const std::string kCas = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
const std::string kFetch = "/build.bazel.remote.asset.v1.Fetch/";
const std::string kPush = "/build.bazel.remote.asset.v1.Push/";

// A code in the status of an answer becomes another.
FaultHooks Says(int from, int to) {
  return Answered<as::FetchBlobResponse>([from, to](auto& r) {
    if (r.status().code() == from) r.mutable_status()->set_code(to);
  });
}

}  // namespace

void AddChunkFaults(List& list) {
  const std::string split = kCas + "SplitBlob", splice = kCas + "SpliceBlob";
  list.Add("SplitBlob of an absent blob is OK", split, Ends(Code::kNotFound, Code::kOk));
  list.Add("SplitBlob takes what is malformed", split, Ends(Code::kInvalidArgument, Code::kOk));
  list.Add("SplitBlob loses the last chunk", split,
           Answered<re::SplitBlobResponse>([](auto& r) { DropLast(r.mutable_chunk_digests()); }));
  list.Add("SplitBlob does not say how it cut", split,
           Answered<re::SplitBlobResponse>([](auto& r) { r.clear_chunking_function(); }));
  list.Add("SplitBlob answers the blob itself", split, [] {
    auto asked = std::make_shared<re::Digest>();
    FaultHooks hooks = Asked<re::SplitBlobRequest>([asked](auto& r) { *asked = r.blob_digest(); });
    hooks.reply = Answered<re::SplitBlobResponse>([asked](auto& r) {
                    r.clear_chunk_digests();
                    *r.add_chunk_digests() = *asked;
                  }).reply;
    return hooks;
  }());
  list.Add("SpliceBlob takes chunks that are another blob", splice,
           Ends(Code::kInvalidArgument, Code::kOk));
  list.Add("SpliceBlob of an absent chunk is INTERNAL", splice,
           Ends(Code::kNotFound, Code::kInternal));
  list.Add("SpliceBlob does not say what it made", splice,
           Answered<re::SpliceBlobResponse>([](auto& r) { r.clear_blob_digest(); }));
  list.Add("SpliceBlob needs a digest", splice, [] {
    FaultHooks hooks = Asked<re::SpliceBlobRequest>([](auto& r) {
      if (!r.has_blob_digest()) r.mutable_blob_digest()->set_hash("none");
    });
    return hooks;
  }());
  list.Add("SpliceBlob sorts its chunks", splice, Asked<re::SpliceBlobRequest>([](auto& r) {
             if (r.chunk_digests_size() == 2) r.mutable_chunk_digests()->SwapElements(0, 1);
           }));
}

namespace {

void AddFetchBlobFaults(List& list) {
  const std::string blob = kFetch + "FetchBlob";
  using Blob = as::FetchBlobResponse;
  using Ask = as::FetchBlobRequest;
  list.Add("FetchBlob does not say the URI", blob, Answered<Blob>([](Blob& r) { r.clear_uri(); }));
  list.Add("FetchBlob does not say its digest function", blob,
           Answered<Blob>([](Blob& r) { r.clear_digest_function(); }));
  list.Add("FetchBlob answers another size", blob, Answered<Blob>([](Blob& r) {
             if (r.has_blob_digest()) r.mutable_blob_digest()->set_size_bytes(1);
           }));
  list.Add("FetchBlob calls a miss OK", blob, Says(5, 0));
  list.Add("FetchBlob answers a miss as an error of the call", blob, [] {
    FaultHooks hooks;
    auto missed = std::make_shared<bool>(false);
    hooks.reply = [missed](std::string& bytes) {
      Blob message;
      *missed = message.ParseFromString(bytes) && message.status().code() != 0;
      return !*missed;
    };
    hooks.status = [missed](Status& status, std::string*) {
      if (std::exchange(*missed, false)) status = Status(Code::kNotFound, "a seeded fault");
    };
    return hooks;
  }());
  list.Add("FetchBlob calls an origin that is not allowed absent", blob, Says(7, 5));
  list.Add("FetchBlob ignores qualifiers", blob, Asked<Ask>([](Ask& r) { r.clear_qualifiers(); }));
  list.Add("FetchBlob minds the order of qualifiers", blob, Asked<Ask>([](Ask& r) {
             if (r.qualifiers_size() == 2 && r.qualifiers(0).name() > r.qualifiers(1).name()) {
               r.mutable_qualifiers(0)->set_name("another");
             }
           }));
  list.Add("FetchBlob ignores how old content may be", blob,
           Asked<Ask>([](Ask& r) { r.clear_oldest_content_accepted(); }));
  list.Add("FetchBlob looks at the first URI only", blob, Asked<Ask>([](Ask& r) {
             while (r.uris_size() > 1) r.mutable_uris()->RemoveLast();
           }));
  list.Add("FetchBlob takes what is malformed", blob, Ends(Code::kInvalidArgument, Code::kOk));
  list.Add("FetchBlob does not name the qualifier that it cannot meet", blob, [] {
    FaultHooks hooks;
    hooks.status = [](Status& status, std::string*) {
      if (!status.ok()) status = Status(status.code(), status.message());
    };
    return hooks;
  }());
}

}  // namespace

void AddAssetFaults(List& list) {
  AddFetchBlobFaults(list);
  const std::string directory = kFetch + "FetchDirectory";
  const std::string push = kPush + "PushBlob", push_directory = kPush + "PushDirectory";
  list.Add("FetchDirectory does not say the URI", directory,
           Answered<as::FetchDirectoryResponse>([](auto& r) { r.clear_uri(); }));
  list.Add("FetchDirectory answers another directory", directory,
           Answered<as::FetchDirectoryResponse>([](auto& r) {
             if (r.has_root_directory_digest()) {
               r.mutable_root_directory_digest()->set_size_bytes(1);
             }
           }));
  list.Add("FetchDirectory calls a miss OK", directory,
           Answered<as::FetchDirectoryResponse>([](auto& r) { r.clear_status(); }));
  list.Add("PushBlob ignores when it expires", push,
           Asked<as::PushBlobRequest>([](auto& r) { r.clear_expire_at(); }));
  list.Add("PushBlob takes everything as expired", push,
           Asked<as::PushBlobRequest>([](auto& r) { r.mutable_expire_at()->set_seconds(1); }));
  list.Add("PushBlob keeps the first URI only", push, Asked<as::PushBlobRequest>([](auto& r) {
             while (r.uris_size() > 1) r.mutable_uris()->RemoveLast();
           }));
  list.Add("PushBlob drops qualifiers", push,
           Asked<as::PushBlobRequest>([](auto& r) { r.clear_qualifiers(); }));
  list.Add("PushBlob takes what is malformed", push, Ends(Code::kInvalidArgument, Code::kOk));
  list.Add("PushBlob never replaces", push, [] {
    auto first = std::make_shared<std::map<std::string, re::Digest>>();
    return Asked<as::PushBlobRequest>([first](auto& r) {
      if (r.uris_size() > 0) {
        *r.mutable_blob_digest() = first->try_emplace(r.uris(0), r.blob_digest()).first->second;
      }
    });
  }());
  list.Add("PushDirectory ignores when it expires", push_directory,
           Asked<as::PushDirectoryRequest>([](auto& r) { r.clear_expire_at(); }));
}

}  // namespace lre::scenario
