// A server as commands see it that are its clients: flags that say which, its CAS, its action cache
// and its pins. Thread-safe once connected; every call blocks. Errors are the server's;
// kUnavailable names the address.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "digest/digest.h"
#include "lre/admin/v1/pins.pb.h"
#include "lre/explain/v1/explain.pb.h"
#include "rpc/client.h"
#include "store/blob_store.h"

namespace lre::cli {

struct ServerFlags {
  std::string address = "127.0.0.1:50051";
  std::string instance_name = "main";
  std::string tls_ca, tls_certificate, tls_key;

  // Adds --server, --instance-name and --tls-*; `flags` must outlive the parsing.
  static void Add(CLI::App& command, ServerFlags& flags);
};

class RemoteServer {
 public:
  // Connects with the first call.
  static Result<std::unique_ptr<RemoteServer>> Connect(const ServerFlags& flags);
  // Connects now; kUnavailable says what to do.
  static Result<std::unique_ptr<RemoteServer>> Reach(const ServerFlags& flags);
  // On channels that exist; `instance_name` as in every request.
  RemoteServer(std::shared_ptr<rpc::Channel> channel, std::string instance_name);

  store::BlobStore& cas() { return *cas_; }
  // For calls that are not below.
  rpc::Channel& channel() { return *channel_; }
  const std::string& instance_name() const { return instance_name_; }
  // Ok when it says what it can do, in a few seconds.
  Status CheckAnswers();
  // A serialised ActionResult; kNotFound when there is none.
  Result<Bytes> GetResult(const Digest& action);
  Status PutResult(const Digest& action, std::string_view result);

  // kUnimplemented on servers that are no LRE.
  Result<admin::v1::Pin> SetPin(const std::string& name, const std::vector<Digest>& actions);
  Result<std::vector<admin::v1::Pin>> ListPins();
  Status RetirePin(const std::string& name);
  // How many results, of all instances, have one of `texts` in them or in their command; `drop`
  // forgets them. Without `drop` at most 10,000 are counted.
  Result<uint64_t> FindResults(const std::vector<std::string>& texts, bool drop);
  // What clients executed or uploaded lately, the last one first; fields that are empty match all.
  // The instance is this one's.
  Result<std::vector<explain::v1::SeenAction>> FindActions(explain::v1::FindActionsRequest query);

 private:
  template <typename Response>
  Result<Response> Call(const char* method, const google::protobuf::MessageLite& request);

  const std::shared_ptr<rpc::Channel> channel_;
  const std::string instance_name_;
  const std::unique_ptr<store::BlobStore> cas_;
};

}  // namespace lre::cli
