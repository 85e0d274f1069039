#include "runner.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <charconv>

#include "digest/digest.h"

namespace lre::scenario {

namespace pb = google::protobuf;

namespace {

std::string CEscape(std::string_view bytes) {
  std::string text;
  for (unsigned char c : bytes) text += fmt::format("\\{:03o}", c);
  return text;
}

Result<int64_t> Number(const std::string& text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error(Code::kInvalidArgument, "\"{}\" is not a number", text);
  }
  return number;
}

// Every field that `expected` sets is the same in `actual`; lists are compared whole.
bool Covers(const pb::Message& actual, const pb::Message& expected, std::string* difference) {
  pb::util::MessageDifferencer differencer;
  differencer.set_scope(pb::util::MessageDifferencer::PARTIAL);
  differencer.set_message_field_comparison(pb::util::MessageDifferencer::EQUAL);
  differencer.ReportDifferencesToString(difference);
  return differencer.Compare(expected, actual);
}

}  // namespace

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
  TRY(Perform());
  if (step.verb == "reply") return CheckReply(step);
  if (step.verb == "count") return CheckCount(step);
  if (step.verb == "data") return CheckData(step);
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

Result<std::string> Runner::Blob(const std::string& name) const {
  auto found = blobs_.find(name);
  if (found == blobs_.end()) return Error(Code::kInvalidArgument, "no blob \"{}\"", name);
  return found->second;
}

// let NAME = bytes N | text "..." | slice OTHER FROM TO | join A B | flip OTHER | message TYPE
Status Runner::Let(const Step& step) {
  const auto& words = step.arguments;
  if (words.size() < 3 || words[1] != "=") {
    return Status(Code::kInvalidArgument, "let NAME = KIND ...");
  }
  std::string& blob = blobs_[words[0]];
  auto word = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  if (words[2] == "bytes") {
    TRY_ASSIGN(int64_t size, Number(word(3)));
    blob = random_.NextBytes(static_cast<size_t>(size));
  } else if (words[2] == "text") {
    blob = word(3).size() < 2 ? "" : word(3).substr(1, word(3).size() - 2);
  } else if (words[2] == "slice") {
    TRY_ASSIGN(std::string other, Blob(word(3)));
    TRY_ASSIGN(int64_t from, Number(word(4)));
    TRY_ASSIGN(int64_t to, Number(word(5)));
    blob = other.substr(static_cast<size_t>(from), static_cast<size_t>(to - from));
  } else if (words[2] == "join") {
    TRY_ASSIGN(std::string first, Blob(word(3)));
    TRY_ASSIGN(std::string second, Blob(word(4)));
    blob = first + second;
  } else if (words[2] == "flip") {
    TRY_ASSIGN(blob, Blob(word(3)));
    blob.back() = static_cast<char>(blob.back() ^ 1);
  } else if (words[2] == "message") {
    TRY_ASSIGN(auto message, ParseText(word(3), step.block));
    blob = message->SerializeAsString();
  } else {
    return ErrorStatus(Code::kInvalidArgument, "unknown kind of blob \"{}\"", words[2]);
  }
  return Status();
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
  if (step.arguments.size() > 1 && step.arguments[1] == "nothing") return Status();
  return AddRequest(step);
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
  rpc::BlockingStream stream(channel_, path, {.timeout = std::chrono::seconds(30)});
  for (const auto& request : requests_) {
    if (!stream.Write({Bytes(request->SerializeAsString())})) break;
  }
  stream.HalfClose();
  const pb::Message* prototype =
      pb::MessageFactory::generated_factory()->GetPrototype(method_->output_type());
  while (std::optional<Bytes> bytes = stream.Read()) {
    std::unique_ptr<Message> reply(prototype->New());
    if (!reply->ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) {
      return ErrorStatus(Code::kFailedPrecondition, "what came is no {}",
                         method_->output_type()->full_name());
    }
    replies_.push_back(std::move(reply));
  }
  status_ = stream.Finish();
  return Status();
}

Status Runner::CheckReply(const Step& step) {
  if (next_reply_ >= replies_.size()) {
    return ErrorStatus(Code::kFailedPrecondition, "no further message came; the status was {}",
                       status_.ToString());
  }
  TRY_ASSIGN(auto expected, ParseText(method_->output_type()->full_name(), step.block));
  std::string difference;
  if (Covers(*replies_[next_reply_++], *expected, &difference)) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "the answer differs: {}", difference);
}

// count FIELD N: of a repeated field, over all answers.
Status Runner::CheckCount(const Step& step) {
  if (step.arguments.size() != 2) return Status(Code::kInvalidArgument, "count FIELD N");
  TRY_ASSIGN(int64_t wanted, Number(step.arguments[1]));
  const pb::FieldDescriptor* field = method_->output_type()->FindFieldByName(step.arguments[0]);
  if (!field || !field->is_repeated()) {
    return ErrorStatus(Code::kInvalidArgument, "no list {}", step.arguments[0]);
  }
  int64_t count = 0;
  for (const auto& reply : replies_) count += reply->GetReflection()->FieldSize(*reply, field);
  if (count == wanted) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "{} of {} expected, {} came", wanted,
                     step.arguments[0], count);
}

// data BLOB: the field `data` of all answers together.
Status Runner::CheckData(const Step& step) {
  TRY_ASSIGN(std::string wanted, Blob(step.arguments.empty() ? "" : step.arguments[0]));
  std::string data;
  for (const auto& reply : replies_) {
    const pb::FieldDescriptor* field = reply->GetDescriptor()->FindFieldByName("data");
    if (!field) return Status(Code::kInvalidArgument, "the answers have no field data");
    data += reply->GetReflection()->GetString(*reply, field);
  }
  if (data == wanted) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "{} bytes came that are not the {} expected",
                     data.size(), wanted.size());
}

Result<std::unique_ptr<pb::Message>> Runner::ParseText(const std::string& type,
                                                       std::string_view text) const {
  const pb::Descriptor* descriptor =
      pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (!descriptor) return Error(Code::kInvalidArgument, "no message {}", type);
  TRY_ASSIGN(std::string substituted, Substitute(text));
  std::unique_ptr<pb::Message> message(
      pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!pb::TextFormat::ParseFromString(substituted, message.get())) {
    return Error(Code::kInvalidArgument, "no text of a {}: {}", type, substituted.substr(0, 300));
  }
  return message;
}

Result<std::string> Runner::Substitute(std::string_view text) const {
  std::string result;
  for (;;) {
    const size_t start = text.find("${");
    if (start == std::string_view::npos) return result + std::string(text);
    const size_t end = text.find('}', start);
    if (end == std::string_view::npos) return Error(Code::kInvalidArgument, "a ${{ without }}");
    result += text.substr(0, start);
    TRY_ASSIGN(std::string value, Value(text.substr(start + 2, end - start - 2)));
    result += value;
    text.remove_prefix(end + 1);
  }
}

// instance, instance/ (with its slash), uuid, BLOB.hash[:FUNCTION], BLOB.size[+N|-N], BLOB.bytes,
// BLOB.digest[:FUNCTION]
Result<std::string> Runner::Value(std::string_view expression) const {
  if (expression == "instance") return options_.instance_name;
  if (expression == "instance/") {
    return options_.instance_name.empty() ? "" : options_.instance_name + "/";
  }
  if (expression == "uuid") return uuid_;
  const size_t dot = expression.find('.');
  if (dot == std::string_view::npos) {
    return Error(Code::kInvalidArgument, "unknown name ${{{}}}", expression);
  }
  TRY_ASSIGN(std::string blob, Blob(std::string(expression.substr(0, dot))));
  std::string_view property = expression.substr(dot + 1);
  DigestFunction function = DigestFunction::kSha256;
  if (const size_t colon = property.find(':'); colon != std::string_view::npos) {
    function = DigestFunctionByName(property.substr(colon + 1));
    property = property.substr(0, colon);
    if (function == DigestFunction::kUnknown) {
      return Error(Code::kInvalidArgument, "unknown digest function in ${{{}}}", expression);
    }
  }
  if (property == "bytes") return CEscape(blob);
  if (property == "hash") return ComputeDigest(function, blob).Hex();
  if (property == "digest") {
    return fmt::format("hash: \"{}\" size_bytes: {}", ComputeDigest(function, blob).Hex(),
                       blob.size());
  }
  if (property.starts_with("size")) {
    property.remove_prefix(4);
    if (property.starts_with("+")) property.remove_prefix(1);
    int64_t more = 0;
    if (!property.empty()) {
      TRY_ASSIGN(more, Number(std::string(property)));
    }
    return std::to_string(static_cast<int64_t>(blob.size()) + more);
  }
  return Error(Code::kInvalidArgument, "unknown property in ${{{}}}", expression);
}

}  // namespace lre::scenario
