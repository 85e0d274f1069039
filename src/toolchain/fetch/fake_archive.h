// FakeArchive: a Debian archive on loopback, for tests: signed Release files, indices, packages.
// "Signed" means a line that FakeVerify looks for, unless the test brings a real signature.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "http_client/fake_http_server.h"

namespace lre::toolchain {

class FakeArchive {
 public:
  FakeArchive();

  // Adds dists/<suite>/ with one index, main/binary-<architecture>/Packages.xz, and its InRelease.
  // Fields are further lines of the Release file.
  void AddSuite(const std::string& suite, const std::string& architecture,
                const std::string& packages, const std::string& fields = "");
  void Put(const std::string& path, const std::string& bytes);
  void Remove(const std::string& path);
  std::string Get(const std::string& path);
  // Bytes of answers for `path` after which the connection is cut, once.
  void CutOnce(const std::string& path, size_t bytes);

  std::string Root() const { return server_.Url("/debian"); }
  // Paths asked for since the last call, in order.
  std::vector<std::string> TakeRequests();
  // The first requests wait until so many are there at a time.
  void WaitForConcurrent(int requests);
  int concurrent_max() const { return concurrent_max_; }

 private:
  FakeHttpAnswer Answer(const FakeHttpRequest& request);

  std::mutex mutex_;
  std::map<std::string, std::string> files_;  // by path below the root
  std::map<std::string, size_t> cuts_;
  std::vector<std::string> requests_;
  std::atomic<int> concurrent_max_ = 0;
  int concurrent_ = 0;
  int awaited_ = 0;
  std::condition_variable arrived_;
  FakeHttpServer server_;  // last: its threads use the rest
};

// The text after the line "SIGNED"; kPermissionDenied without that line.
Result<std::string> FakeVerify(std::string_view message, const std::string& keyring);

std::string Sha256Hex(std::string_view bytes);
std::string CompressXz(const std::string& text);

}  // namespace lre::toolchain
