#include "runner.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <charconv>

namespace lre::scenario {

namespace pb = google::protobuf;

Result<int64_t> Number(const std::string& text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error(Code::kInvalidArgument, "\"{}\" is not a number", text);
  }
  return number;
}

Runner::Runner(rpc::Channel& channel, RunnerOptions options)
    : channel_(channel), options_(std::move(options)), random_(options_.seed) {}
Runner::~Runner() = default;

Status Runner::Run(const Scenario& scenario) {
  blobs_ = {{"empty", ""}};
  uuid_ = RandomUuid();
  method_ = nullptr;
  performed_ = true;
  for (const Step& step : scenario.steps) {
    Status status = RunStep(step);
    if (!status.ok()) {
      return status.WithContext(fmt::format("{}:{}: {}", scenario.file, step.line, step.verb));
    }
  }
  return Perform();
}

Status Runner::RunStep(const Step& step) {
  if (step.verb == "let") return Let(step);
  if (step.verb == "put") return Put(step);
  if (step.verb == "call") return StartCall(step);
  if (step.verb == "send") return AddRequest(step);
  if (step.verb == "unknown") return AddUnknownField();
  TRY(Perform());
  if (step.verb == "reply" || step.verb == "last" || step.verb == "lacks") return CheckReply(step);
  if (step.verb == "count" || step.verb == "each") return CheckCount(step);
  if (step.verb == "data" || step.verb == "plain") return CheckData(step);
  if (step.verb == "without") return CheckWithout(step);
  if (step.verb == "holds") return CheckHolds(step);
  if (step.verb == "keep") return Keep(step);
  const std::string wanted = step.arguments.empty() ? "" : step.arguments[0];
  if (step.verb == "expect") {
    for (std::string_view code = wanted; !code.empty();) {
      const size_t end = std::min(code.find('|'), code.size());
      if (code.substr(0, end) == CodeName(status_.code())) return Status();
      code.remove_prefix(std::min(end + 1, code.size()));
    }
    return ErrorStatus(Code::kFailedPrecondition, "{} expected, came {}", wanted,
                       status_.ToString());
  }
  if (step.verb == "replies") {
    TRY_ASSIGN(int64_t count, Number(wanted));
    if (replies_.size() == static_cast<size_t>(count)) return Status();
    return ErrorStatus(Code::kFailedPrecondition, "{} messages expected, {} came", count,
                       replies_.size());
  }
  // detail: a text within the serialised details.
  TRY_ASSIGN(std::string text, Substitute(wanted));
  if (status_.details().find(text) != std::string::npos) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "the details do not hold \"{}\"", text);
}

Status Runner::Put(const Step& step) {
  for (const std::string& name : step.arguments) {
    Step call{.verb = "call",
              .arguments = {"build.bazel.remote.execution.v2.ContentAddressableStorage/"
                            "BatchUpdateBlobs"},
              .block = fmt::format("instance_name: \"${{instance}}\" requests {{ digest {{ "
                                   "${{{0}.digest}} }} data: \"${{{0}.bytes}}\" }}",
                                   name),
              .line = step.line};
    TRY(StartCall(call));
    TRY(Perform());
    if (!status_.ok()) return status_;
    if (replies_.size() != 1) return Status(Code::kFailedPrecondition, "no answer");
    if (replies_[0]->ShortDebugString().find("code:") != std::string::npos) {
      return ErrorStatus(Code::kFailedPrecondition, "{} was not stored: {}", name,
                         replies_[0]->ShortDebugString());
    }
  }
  return Status();
}

Status Runner::StartCall(const Step& step) {
  TRY(Perform());
  std::string name = step.arguments.empty() ? "" : step.arguments[0];
  const size_t slash = name.find('/');
  if (slash != std::string::npos) name[slash] = '.';
  method_ = pb::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (!method_) return ErrorStatus(Code::kInvalidArgument, "no method {}", name);
  requests_.clear();
  replies_.clear();
  next_reply_ = 0;
  performed_ = false;
  replies_max_ = SIZE_MAX;
  const std::string option = step.arguments.size() > 1 ? step.arguments[1] : "";
  if (option == "nothing") return Status();
  if (option == "first") {
    TRY_ASSIGN(int64_t count, Number(step.arguments.size() > 2 ? step.arguments[2] : ""));
    replies_max_ = static_cast<size_t>(count);
  }
  return AddRequest(step);
}

// A field from the future, which a server ignores.
Status Runner::AddUnknownField() {
  if (requests_.empty()) return Status(Code::kInvalidArgument, "unknown before call");
  Message& request = *requests_.back();
  request.GetReflection()->MutableUnknownFields(&request)->AddVarint(19001, 7);
  return Status();
}

Status Runner::AddRequest(const Step& step) {
  if (!method_) return Status(Code::kInvalidArgument, "send before call");
  TRY_ASSIGN(auto message, ParseText(method_->input_type()->full_name(), step.block));
  requests_.push_back(std::move(message));
  return Status();
}

Status Runner::Perform() {
  if (std::exchange(performed_, true)) return Status();
  const std::string path = "/" + method_->service()->full_name() + "/" + method_->name();
  rpc::BlockingStream stream(channel_, path, {.timeout = options_.call_timeout});
  for (const auto& request : requests_) {
    if (!stream.Write({Bytes(request->SerializeAsString())})) break;
  }
  stream.HalfClose();
  const pb::Message* prototype =
      pb::MessageFactory::generated_factory()->GetPrototype(method_->output_type());
  while (replies_.size() < replies_max_) {
    std::optional<Bytes> bytes = stream.Read();
    if (!bytes) break;
    std::unique_ptr<Message> reply(prototype->New());
    if (!reply->ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) {
      return ErrorStatus(Code::kFailedPrecondition, "what came is no {}",
                         method_->output_type()->full_name());
    }
    replies_.push_back(std::move(reply));
  }
  if (replies_.size() >= replies_max_) stream.Cancel();
  status_ = stream.Finish();
  return Status();
}

}  // namespace lre::scenario
