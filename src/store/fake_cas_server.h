// FakeCasServer: a REAPI server with just the calls that RemoteStore makes, over a MemoryStore, for
// its tests. The real services live above this folder. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "rpc/server.h"
#include "store/blob_store.h"

namespace lre::store {

class FakeCasServer {
 public:
  FakeCasServer();
  const std::string& address() const { return server_->addresses().front(); }

  std::unique_ptr<BlobStore> blobs;
  std::atomic<bool> damage{false};  // flips a byte of everything that is read
  std::atomic<int> batch_reads{0}, batch_updates{0}, stream_reads{0}, stream_writes{0};

 private:
  Metrics metrics_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace lre::store
