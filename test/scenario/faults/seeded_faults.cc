// The list of seeded faults. Each is a mistake that some server made, or that a change to ours
// could make.
#include <algorithm>
#include <map>
#include <memory>

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "fault_list.h"
#include "google/bytestream/bytestream.pb.h"
#include "google/longrunning/operations.pb.h"
#include "grpc/health/v1/health.pb.h"

namespace lre::scenario {
namespace {

namespace re = ::build::bazel::remote::execution::v2;
namespace bs = ::google::bytestream;
namespace lro = ::google::longrunning;

const std::string kCas = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
const std::string kCache = "/build.bazel.remote.execution.v2.ActionCache/";
const std::string kCapabilities = "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities";
const std::string kBytes = "/google.bytestream.ByteStream/";
const std::string kExecution = "/build.bazel.remote.execution.v2.Execution/";
const std::string kOperations = "/google.longrunning.Operations/";
const std::string kHealth = "/grpc.health.v1.Health/";

void AddFindMissing(List& list) {
  using Find = re::FindMissingBlobsResponse;
  const std::string find = kCas + "FindMissingBlobs";
  list.Add("FindMissingBlobs says that nothing is missing", find,
           Answered<Find>([](Find& f) { f.clear_missing_blob_digests(); }));
  list.Add("FindMissingBlobs loses the last missing digest", find,
           Answered<Find>([](Find& f) { DropLast(f.mutable_missing_blob_digests()); }));
  list.Add("FindMissingBlobs calls present blobs missing", find,
           Answered<Find>([](Find& f) { f.add_missing_blob_digests()->set_hash("00"); }));
  list.Add("FindMissingBlobs swaps hashes and sizes", find, Answered<Find>([](Find& f) {
             for (auto& digest : *f.mutable_missing_blob_digests()) digest.set_size_bytes(0);
           }));
  list.Add("FindMissingBlobs stops at 1,000 digests", find,
           Asked<re::FindMissingBlobsRequest>([](auto& r) {
             while (r.blob_digests_size() > 1000) r.mutable_blob_digests()->RemoveLast();
           }));
  list.Add("FindMissingBlobs takes what is malformed", find,
           Ends(Code::kInvalidArgument, Code::kOk));
  list.Add("FindMissingBlobs is wrong about capital letters", find,
           Asked<re::FindMissingBlobsRequest>([](auto& r) {
             for (auto& digest : *r.mutable_blob_digests()) {
               std::string hash = digest.hash();
               std::transform(hash.begin(), hash.end(), hash.begin(), ::tolower);
               digest.set_hash(hash);
             }
           }));
  list.Add("FindMissingBlobs ignores the size of a digest that is negative", find,
           Asked<re::FindMissingBlobsRequest>([](auto& r) {
             for (auto& digest : *r.mutable_blob_digests()) {
               if (digest.size_bytes() < 0) digest.set_size_bytes(1);
             }
           }));
  list.Add("FindMissingBlobs ignores the digest function", find,
           Asked<re::FindMissingBlobsRequest>([](auto& r) { r.clear_digest_function(); }));
  list.Add("FindMissingBlobs takes any instance name", find,
           Asked<re::FindMissingBlobsRequest>([](auto& r) { r.clear_instance_name(); }));
}

void AddBatchUpdate(List& list) {
  const std::string update = kCas + "BatchUpdateBlobs";
  list.Add("BatchUpdateBlobs says that all is well", update,
           Answered<re::BatchUpdateBlobsResponse>([](auto& r) {
             for (auto& response : *r.mutable_responses()) response.clear_status();
           }));
  list.Add("BatchUpdateBlobs takes blobs of any size", update,
           Answered<re::BatchUpdateBlobsResponse>([](auto& r) {
             for (auto& response : *r.mutable_responses()) {
               if (response.digest().size_bytes() > 12 << 20) response.clear_status();
             }
           }));
  list.Add("BatchUpdateBlobs swaps its answers", update,
           Answered<re::BatchUpdateBlobsResponse>([](auto& r) {
             std::reverse(r.mutable_responses()->begin(), r.mutable_responses()->end());
           }));
  list.Add("BatchUpdateBlobs loses the last blob", update,
           Asked<re::BatchUpdateBlobsRequest>([](auto& r) {
             if (r.requests_size() > 1) r.mutable_requests()->RemoveLast();
           }));
  list.Add("BatchUpdateBlobs stores nothing", update,
           Asked<re::BatchUpdateBlobsRequest>([](auto& r) { r.clear_requests(); }));
  list.Add("BatchUpdateBlobs ignores the compressor", update,
           Asked<re::BatchUpdateBlobsRequest>([](auto& r) {
             for (auto& request : *r.mutable_requests()) request.clear_compressor();
           }));
  list.Add("BatchUpdateBlobs answers NOT_FOUND for bytes that do not match", update,
           Answered<re::BatchUpdateBlobsResponse>([](auto& r) {
             for (auto& response : *r.mutable_responses()) {
               if (response.status().code() == 3) response.mutable_status()->set_code(5);
             }
           }));
}

void AddBatchRead(List& list) {
  const std::string read = kCas + "BatchReadBlobs";
  list.Add("BatchReadBlobs loses the last byte", read,
           Answered<re::BatchReadBlobsResponse>([](auto& r) {
             for (auto& response : *r.mutable_responses()) {
               if (!response.data().empty()) response.mutable_data()->pop_back();
             }
           }));
  list.Add("BatchReadBlobs swaps the data of two blobs", read,
           Answered<re::BatchReadBlobsResponse>([](auto& r) {
             if (r.responses_size() < 2) return;
             std::swap(*r.mutable_responses(0)->mutable_data(),
                       *r.mutable_responses(1)->mutable_data());
           }));
  list.Add("BatchReadBlobs says INTERNAL for an absent blob", read,
           Answered<re::BatchReadBlobsResponse>([](auto& r) {
             for (auto& response : *r.mutable_responses()) {
               if (response.status().code() == 5) response.mutable_status()->set_code(13);
             }
           }));
  list.Add("BatchReadBlobs leaves out absent blobs", read,
           Answered<re::BatchReadBlobsResponse>([](auto& r) {
             for (int i = r.responses_size() - 1; i >= 0; i--) {
               if (r.responses(i).status().code() == 5) {
                 r.mutable_responses()->DeleteSubrange(i, 1);
               }
             }
           }));
  list.Add("BatchReadBlobs leaves out what passes the limit", read,
           Answered<re::BatchReadBlobsResponse>([](auto& r) {
             for (int i = r.responses_size() - 1; i >= 0; i--) {
               if (r.responses(i).status().code() == 8) {
                 r.mutable_responses()->DeleteSubrange(i, 1);
               }
             }
           }));
  list.Add("BatchReadBlobs calls plain data zstd", read,
           Answered<re::BatchReadBlobsResponse>([](auto& r) {
             for (auto& response : *r.mutable_responses()) {
               response.set_compressor(re::Compressor::ZSTD);
             }
           }));
}

void AddTree(List& list) {
  const std::string tree = kCas + "GetTree";
  list.Add("GetTree loses the last directory of a page", tree,
           Answered<re::GetTreeResponse>([](auto& r) { DropLast(r.mutable_directories()); }));
  list.Add("GetTree ignores the page size", tree,
           Asked<re::GetTreeRequest>([](auto& r) { r.clear_page_size(); }));
  list.Add("GetTree ignores the page token", tree,
           Asked<re::GetTreeRequest>([](auto& r) { r.clear_page_token(); }));
  list.Add("GetTree gives a token with its last page", tree,
           Answered<re::GetTreeResponse>([](auto& r) { r.set_next_page_token("9"); }));
  list.Add("GetTree gives no token", tree,
           Answered<re::GetTreeResponse>([](auto& r) { r.clear_next_page_token(); }));
  list.Add("GetTree of an absent root is an empty tree", tree, Ends(Code::kNotFound, Code::kOk));
  list.Add("GetTree loses node properties", tree, Answered<re::GetTreeResponse>([](auto& r) {
             for (auto& directory : *r.mutable_directories()) {
               for (auto& file : *directory.mutable_files()) file.clear_node_properties();
             }
           }));
}

// What a stateful fault remembers of a stream of answers.
FaultHooks SwappedPieces() {
  auto held = std::make_shared<std::string>();
  FaultHooks hooks;
  hooks.reply = [held](std::string& bytes) {
    // Holds the first piece back and sends it after the second.
    if (held->empty() && bytes.size() > 200000) {
      *held = std::move(bytes);
      return false;
    }
    if (held->empty()) return true;
    bs::ReadResponse first, second;
    first.ParseFromString(*held);
    second.ParseFromString(bytes);
    second.mutable_data()->append(first.data());
    bytes = second.SerializeAsString();
    held->clear();
    return true;
  };
  return hooks;
}

void AddRead(List& list) {
  const std::string read = kBytes + "Read";
  using Read = bs::ReadRequest;
  list.Add("Read ignores the offset", read, Asked<Read>([](Read& r) { r.clear_read_offset(); }));
  list.Add("Read starts one byte late", read,
           Asked<Read>([](Read& r) { r.set_read_offset(r.read_offset() + 1); }));
  list.Add("Read ignores the limit", read, Asked<Read>([](Read& r) { r.clear_read_limit(); }));
  list.Add("Read sends one byte less than the limit", read, Asked<Read>([](Read& r) {
             if (r.read_limit() > 1) r.set_read_limit(r.read_limit() - 1);
           }));
  list.Add("Read takes a negative offset for 0", read,
           Asked<Read>([](Read& r) { r.set_read_offset(std::max<int64_t>(r.read_offset(), 0)); }));
  list.Add("Read past the end is INVALID_ARGUMENT", read,
           Ends(Code::kOutOfRange, Code::kInvalidArgument));
  list.Add("Read past the end sends nothing", read, Ends(Code::kOutOfRange, Code::kOk));
  list.Add("Read of an absent blob sends nothing", read, Ends(Code::kNotFound, Code::kOk));
  list.Add("Read of a malformed name is NOT_FOUND", read,
           Ends(Code::kInvalidArgument, Code::kNotFound));
  list.Add("Read takes a limit for compressed blobs", read, Asked<Read>([](Read& r) {
             if (r.resource_name().find("compressed") != std::string::npos) r.clear_read_limit();
           }));
  list.Add("Read sends compressed blobs plain", read, Asked<Read>([](Read& r) {
             std::string& name = *r.mutable_resource_name();
             const size_t at = name.find("compressed-blobs/zstd/");
             if (at != std::string::npos) name.replace(at, 22, "blobs/");
           }));
  list.Add("Read flips a bit of every piece", read, Answered<bs::ReadResponse>([](auto& r) {
             if (!r.data().empty()) (*r.mutable_data())[0] ^= 1;
           }));
  list.Add("Read swaps two pieces", read, SwappedPieces());
  list.Add("Read takes what follows the size", read, Asked<Read>([](Read& r) {
             std::string& name = *r.mutable_resource_name();
             if (name.ends_with("/more")) name.resize(name.size() - 5);
           }));
}

void AddWrite(List& list) {
  const std::string write = kBytes + "Write";
  using Write = bs::WriteRequest;
  list.Add("Write loses its suffix of metadata and with it the call", write,
           Asked<Write>([](Write& r) {
             const std::string& name = r.resource_name();
             if (std::count(name.begin(), name.end(), '/') > 5) r.set_resource_name("uploads");
           }));
  list.Add("Write ignores offsets", write, [] {
    auto next = std::make_shared<int64_t>(0);
    return Asked<Write>([next](Write& r) {
      if (!r.resource_name().empty()) *next = 0;
      r.set_write_offset(*next);
      *next += static_cast<int64_t>(r.data().size());
    });
  }());
  list.Add("Write takes the first message for the last", write, Asked<Write>([](Write& r) {
             if (!r.data().empty()) r.set_finish_write(true);
           }));
  list.Add("Write never finishes", write, Asked<Write>([](Write& r) { r.clear_finish_write(); }));
  list.Add("Write says OK to bytes that do not match", write,
           Ends(Code::kInvalidArgument, Code::kOk));
  list.Add("Write answers INTERNAL to bytes that do not match", write,
           Ends(Code::kInvalidArgument, Code::kInternal));
  list.Add("Write says one byte too few", write, Answered<bs::WriteResponse>([](auto& r) {
             r.set_committed_size(r.committed_size() - 1);
           }));
  list.Add("Write of a compressed blob that is there ends with 0", write,
           Answered<bs::WriteResponse>([](auto& r) {
             if (r.committed_size() < 0) r.set_committed_size(0);
           }));
  list.Add("Write of a blob that is there ends with what was sent", write, [] {
    auto sent = std::make_shared<int64_t>(0);
    FaultHooks hooks = Asked<Write>(
        [sent](Write& r) { *sent = r.write_offset() + static_cast<int64_t>(r.data().size()); });
    hooks.reply = Answered<bs::WriteResponse>([sent](auto& r) {
                    if (r.committed_size() >= 0) r.set_committed_size(*sent);
                  }).reply;
    return hooks;
  }());
  list.Add("Write says ALREADY_EXISTS for a blob that is there", write, [] {
    FaultHooks hooks;
    auto exists = std::make_shared<bool>(false);
    hooks.reply = [exists](std::string& bytes) {
      bs::WriteResponse r;
      r.ParseFromString(bytes);
      *exists = r.committed_size() == -1;
      return !*exists;
    };
    hooks.status = [exists](Status& status, std::string*) {
      if (*exists) status = Status(Code::kAlreadyExists, "a seeded fault");
    };
    return hooks;
  }());
}

void AddQueryWriteStatus(List& list) {
  const std::string query = kBytes + "QueryWriteStatus";
  list.Add("QueryWriteStatus forgets uploads", query,
           Answered<bs::QueryWriteStatusResponse>([](auto& r) { r.clear_committed_size(); }));
  list.Add("QueryWriteStatus says that all is complete", query,
           Answered<bs::QueryWriteStatusResponse>([](auto& r) { r.set_complete(true); }));
  list.Add("QueryWriteStatus says that nothing is complete", query,
           Answered<bs::QueryWriteStatusResponse>([](auto& r) { r.clear_complete(); }));
  list.Add("QueryWriteStatus of an unknown upload is NOT_FOUND", query, [] {
    FaultHooks hooks;
    auto unknown = std::make_shared<bool>(false);
    hooks.reply = [unknown](std::string& bytes) {
      *unknown = bytes.empty();
      return !*unknown;
    };
    hooks.status = [unknown](Status& status, std::string*) {
      if (*unknown && status.ok()) status = Status(Code::kNotFound, "a seeded fault");
    };
    return hooks;
  }());
}

void AddActionCache(List& list) {
  const std::string get = kCache + "GetActionResult", update = kCache + "UpdateActionResult";
  using Get = re::GetActionResultRequest;
  using Result = re::ActionResult;
  list.Add("GetActionResult mixes instances", get,
           Asked<Get>([](Get& r) { r.set_instance_name("main"); }));
  list.Add("GetActionResult serves stale entries", get, [] {
    auto first = std::make_shared<std::map<std::string, std::string>>();
    auto asked = std::make_shared<std::string>();
    FaultHooks hooks =
        Asked<Get>([asked](Get& r) { *asked = r.instance_name() + r.action_digest().hash(); });
    hooks.reply = [first, asked](std::string& bytes) {
      bytes = first->try_emplace(*asked, bytes).first->second;
      return true;
    };
    return hooks;
  }());
  list.Add("GetActionResult of an unknown action is an empty result", get,
           Ends(Code::kNotFound, Code::kOk));
  list.Add("GetActionResult ignores inline_stdout", get,
           Asked<Get>([](Get& r) { r.clear_inline_stdout(); }));
  list.Add("GetActionResult ignores inline_stderr", get,
           Asked<Get>([](Get& r) { r.clear_inline_stderr(); }));
  list.Add("GetActionResult ignores inline_output_files", get,
           Asked<Get>([](Get& r) { r.clear_inline_output_files(); }));
  list.Add("GetActionResult inlines files that nobody asked for", get,
           Answered<Result>([](Result& r) {
             for (auto& file : *r.mutable_output_files()) file.set_contents("contents b");
           }));
  list.Add("GetActionResult loses the digest of what is inline", get,
           Answered<Result>([](Result& r) {
             if (!r.stdout_raw().empty()) r.clear_stdout_digest();
           }));
  list.Add("GetActionResult loses symlinks", get,
           Answered<Result>([](Result& r) { r.clear_output_symlinks(); }));
  list.Add("GetActionResult loses the symlinks of clients of 2.0", get,
           Answered<Result>([](Result& r) { r.clear_output_file_symlinks(); }));
  list.Add("GetActionResult loses the exit code", get,
           Answered<Result>([](Result& r) { r.clear_exit_code(); }));
  list.Add("GetActionResult loses the execution metadata", get,
           Answered<Result>([](Result& r) { r.clear_execution_metadata(); }));
  list.Add("GetActionResult loses executable bits", get, Answered<Result>([](Result& r) {
             for (auto& file : *r.mutable_output_files()) file.clear_is_executable();
           }));
  list.Add("UpdateActionResult takes incomplete results", update,
           Ends(Code::kFailedPrecondition, Code::kOk));
  list.Add("UpdateActionResult answers NOT_FOUND for incomplete results", update,
           Ends(Code::kFailedPrecondition, Code::kNotFound));
  list.Add("UpdateActionResult ignores directories", update,
           Asked<re::UpdateActionResultRequest>(
               [](auto& r) { r.mutable_action_result()->clear_output_directories(); }));
  list.Add("UpdateActionResult ignores the digest of stderr", update,
           Asked<re::UpdateActionResultRequest>(
               [](auto& r) { r.mutable_action_result()->clear_stderr_digest(); }));
  list.Add("UpdateActionResult makes a result of nothing", update,
           Asked<re::UpdateActionResultRequest>([](auto& r) { r.mutable_action_result(); }));
  list.Add("UpdateActionResult answers with nothing", update,
           Answered<Result>([](Result& r) { r.Clear(); }));
}

void AddSmall(List& list) {
  using Capabilities = re::ServerCapabilities;
  list.Add("GetCapabilities says low version 3", kCapabilities,
           Answered<Capabilities>([](auto& c) { c.mutable_low_api_version()->set_major(3); }));
  list.Add("GetCapabilities forgets SHA256", kCapabilities, Answered<Capabilities>([](auto& c) {
             c.mutable_cache_capabilities()->clear_digest_functions();
           }));
  list.Add("GetCapabilities says nothing of symlinks", kCapabilities,
           Answered<Capabilities>([](auto& c) {
             c.mutable_cache_capabilities()->clear_symlink_absolute_path_strategy();
           }));
  list.Add("GetCapabilities says that no result is taken", kCapabilities,
           Answered<Capabilities>([](auto& c) {
             c.mutable_cache_capabilities()->clear_action_cache_update_capabilities();
           }));
  list.Add("Health knows every service", kHealth + "Check", Ends(Code::kNotFound, Code::kOk));
  list.Add("Health says NOT_SERVING", kHealth + "Check",
           Answered<grpc::health::v1::HealthCheckResponse>(
               [](auto& r) { r.set_status(grpc::health::v1::HealthCheckResponse::NOT_SERVING); }));
  list.Add("A watch of an unknown service says SERVING", kHealth + "Watch",
           Answered<grpc::health::v1::HealthCheckResponse>(
               [](auto& r) { r.set_status(grpc::health::v1::HealthCheckResponse::SERVING); }));
}

void AddExecution(List& list) {
  const std::string execute = kExecution + "Execute";
  using Request = re::ExecuteRequest;
  using Operation = lro::Operation;
  list.Add("Execute takes what is cached although it was told not to", execute,
           Asked<Request>([](Request& r) { r.clear_skip_cache_lookup(); }));
  list.Add("Execute ignores inline_stdout", execute,
           Asked<Request>([](Request& r) { r.clear_inline_stdout(); }));
  list.Add("Execute mixes instances", execute,
           Asked<Request>([](Request& r) { r.set_instance_name("some/other"); }));
  list.Add("Execute names no missing blobs", execute, [] {
    FaultHooks hooks;
    hooks.status = [](Status& status, std::string*) {
      if (!status.ok()) status = Status(status.code(), status.message());
    };
    return hooks;
  }());
  list.Add("Execute answers NOT_FOUND for missing blobs", execute,
           Ends(Code::kFailedPrecondition, Code::kNotFound));
  list.Add("Execute answers INTERNAL for an action that is none", execute,
           Ends(Code::kInvalidArgument, Code::kInternal));
  list.Add("Execute never says done", execute,
           Answered<Operation>([](Operation& o) { o.clear_done(); }));
  list.Add("Execute says done at once", execute,
           Answered<Operation>([](Operation& o) { o.set_done(true); }));
  list.Add("Execute puts its error into Operation.error", execute,
           Answered<Operation>([](Operation& o) {
             if (o.done()) o.mutable_error()->set_code(9);
           }));
  list.Add("Execute gives its operations no name", execute,
           Answered<Operation>([](Operation& o) { o.clear_name(); }));
  list.Add("Execute gives no metadata", execute,
           Answered<Operation>([](Operation& o) { o.clear_metadata(); }));
  list.Add("WaitExecution of an unknown operation is OK", kExecution + "WaitExecution",
           Ends(Code::kNotFound, Code::kOk));
  list.Add("GetOperation of an unknown operation is UNKNOWN", kOperations + "GetOperation",
           Ends(Code::kNotFound, Code::kUnknown));
  list.Add("ListOperations loses operations", kOperations + "ListOperations",
           Answered<lro::ListOperationsResponse>([](auto& r) { r.clear_operations(); }));
}

}  // namespace

std::vector<Fault> SeededFaults() {
  List list;
  AddFindMissing(list);
  AddBatchUpdate(list);
  AddBatchRead(list);
  AddTree(list);
  AddRead(list);
  AddWrite(list);
  AddQueryWriteStatus(list);
  AddActionCache(list);
  AddSmall(list);
  AddExecution(list);
  AddChunkFaults(list);
  AddAssetFaults(list);
  return list.Take();
}

std::vector<Fault> WholesaleFaults(const std::vector<rpc::Method>& methods) {
  List list;
  for (const rpc::Method& method : methods) {
    FaultHooks hooks;
    hooks.reply = [](std::string&) { return false; };
    hooks.status = [](Status& status, std::string*) {
      status = Status(Code::kDataLoss, "a seeded fault");
    };
    list.Add("everything of " + method.path + " is DATA_LOSS", method.path, std::move(hooks));
  }
  return list.Take();
}

}  // namespace lre::scenario
