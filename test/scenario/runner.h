// Runs one scenario against a server: makes its blobs, sends its messages (any method, by
// reflection), compares what comes back. Confined to one thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "rpc/client.h"
#include "scenario.h"

namespace google::protobuf {
class Message;
class MethodDescriptor;
}  // namespace google::protobuf

namespace lre::scenario {

struct RunnerOptions {
  std::string instance_name;
  uint64_t seed = 0;
  Duration call_timeout = std::chrono::seconds(30);  // a server that hangs fails the scenario
};

// A whole number, or kInvalidArgument.
Result<int64_t> Number(const std::string& text);

class Runner {
 public:
  Runner(rpc::Channel& channel, RunnerOptions options);
  ~Runner();
  // OK, or what differs, with file and line.
  Status Run(const Scenario& scenario);

 private:
  using Message = google::protobuf::Message;
  Status RunStep(const Step& step);
  Status Let(const Step& step);
  Status Put(const Step& step);
  Status StartCall(const Step& step);
  Status AddRequest(const Step& step);
  // Performs the call that was described; nothing when it has been performed.
  Status Perform();
  Status CheckReply(const Step& step);
  Status CheckCount(const Step& step);
  Status CheckData(const Step& step);
  Status CheckWithout(const Step& step);
  Status CheckHolds(const Step& step);
  Status Keep(const Step& step);
  Status AddUnknownField();

  Result<std::string> Substitute(std::string_view text) const;
  std::string AbsentDigests(size_t count) const;
  Result<std::string> Value(std::string_view expression) const;
  Result<std::string> Blob(const std::string& name) const;
  Result<std::unique_ptr<Message>> ParseText(const std::string& type, std::string_view text) const;

  rpc::Channel& channel_;
  const RunnerOptions options_;
  Random random_;
  std::map<std::string, std::string> blobs_;
  std::string uuid_;

  const google::protobuf::MethodDescriptor* method_ = nullptr;
  std::vector<std::unique_ptr<Message>> requests_;
  bool performed_ = true;
  std::vector<std::unique_ptr<Message>> replies_;
  size_t next_reply_ = 0;
  size_t replies_max_ = SIZE_MAX;  // the call is cancelled after so many
  Status status_;
};

}  // namespace lre::scenario
