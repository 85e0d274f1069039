// What a scenario says of an answer, held against it.
#include <fmt/ranges.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <zstd.h>

#include <set>

#include "runner.h"

namespace lre::scenario {

namespace pb = google::protobuf;

namespace {

// Every field that `expected` sets is the same in `actual`; lists are compared whole.
bool Covers(const pb::Message& actual, const pb::Message& expected, std::string* difference) {
  pb::util::MessageDifferencer differencer;
  differencer.set_scope(pb::util::MessageDifferencer::PARTIAL);
  differencer.set_message_field_comparison(pb::util::MessageDifferencer::EQUAL);
  differencer.ReportDifferencesToString(difference);
  return differencer.Compare(expected, actual);
}

// Calls `take` with the text of every value that `path` ("responses.status.code") leads to and
// that is not the field's default. False when there is no such field.
template <typename Take>
bool ForEachValue(const pb::Message& message, std::string_view path, Take take) {
  const size_t dot = path.find('.');
  const std::string name(path.substr(0, dot));
  const pb::FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (!field) return false;
  const pb::Reflection& reflection = *message.GetReflection();
  const bool inner = dot != std::string_view::npos;
  if (inner && field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) return false;
  const int size = field->is_repeated() ? reflection.FieldSize(message, field)
                                        : (reflection.HasField(message, field) ? 1 : 0);
  for (int i = 0; i < size; i++) {
    if (inner) {
      const pb::Message& next = field->is_repeated()
                                    ? reflection.GetRepeatedMessage(message, field, i)
                                    : reflection.GetMessage(message, field);
      if (!ForEachValue(next, path.substr(dot + 1), take)) return false;
      continue;
    }
    std::string text;
    pb::TextFormat::PrintFieldValueToString(message, field, field->is_repeated() ? i : -1, &text);
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) {
      text = text.substr(1, text.size() - 2);
    }
    take(text);
  }
  return true;
}

std::string Listed(const std::set<std::string>& values) {
  return fmt::format("{}", fmt::join(values, ", "));
}

// Every frame of `bytes`; nullopt when it is no zstd.
std::optional<std::string> Decompress(std::string_view bytes) {
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  std::string plain, piece(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  size_t left = 0;
  while (in.pos < in.size) {
    ZSTD_outBuffer out{piece.data(), piece.size(), 0};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left)) return std::nullopt;
    plain.append(piece.data(), out.pos);
  }
  return left == 0 && !bytes.empty() ? std::optional(plain) : std::nullopt;
}

}  // namespace

// reply, last, lacks: the next answer, or the last, has these fields; no answer has them.
Status Runner::CheckReply(const Step& step) {
  TRY_ASSIGN(auto expected, ParseText(method_->output_type()->full_name(), step.block));
  std::string difference;
  if (step.verb == "lacks") {
    for (const auto& reply : replies_) {
      if (Covers(*reply, *expected, &difference)) {
        return ErrorStatus(Code::kFailedPrecondition, "an answer has what it must not have: {}",
                           reply->ShortDebugString().substr(0, 300));
      }
    }
    return Status();
  }
  if (step.verb == "last" && !replies_.empty()) next_reply_ = replies_.size() - 1;
  if (next_reply_ >= replies_.size()) {
    return ErrorStatus(Code::kFailedPrecondition, "no further message came; the status was {}",
                       status_.ToString());
  }
  if (Covers(*replies_[next_reply_++], *expected, &difference)) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "the answer differs: {}", difference);
}

// without PATH...: no answer sets this field to anything but its default.
Status Runner::CheckWithout(const Step& step) {
  for (const std::string& path : step.arguments) {
    for (const auto& reply : replies_) {
      std::set<std::string> values;
      if (!ForEachValue(*reply, path, [&](const std::string& value) { values.insert(value); })) {
        return ErrorStatus(Code::kInvalidArgument, "no field {}", path);
      }
      std::erase_if(values, [](const std::string& v) { return v == "0" || v.empty(); });
      if (values.empty()) continue;
      return ErrorStatus(Code::kFailedPrecondition, "{} is set: {}", path, Listed(values));
    }
  }
  return Status();
}

// holds PATH VALUE...: one of the values stands at the path of some answer.
Status Runner::CheckHolds(const Step& step) {
  if (step.arguments.size() < 2) return Status(Code::kInvalidArgument, "holds PATH VALUE...");
  std::set<std::string> values;
  for (const auto& reply : replies_) {
    if (!ForEachValue(*reply, step.arguments[0],
                      [&](const std::string& value) { values.insert(value); })) {
      return ErrorStatus(Code::kInvalidArgument, "no field {}", step.arguments[0]);
    }
  }
  for (size_t i = 1; i < step.arguments.size(); i++) {
    TRY_ASSIGN(std::string wanted, Substitute(step.arguments[i]));
    if (values.contains(wanted)) return Status();
  }
  return ErrorStatus(Code::kFailedPrecondition, "{} is {}", step.arguments[0], Listed(values));
}

// keep NAME FIELD: the text field of the last answer becomes a blob of the scenario.
Status Runner::Keep(const Step& step) {
  if (step.arguments.size() != 2) return Status(Code::kInvalidArgument, "keep NAME FIELD");
  if (replies_.empty()) {
    return ErrorStatus(Code::kFailedPrecondition, "no message came; the status was {}",
                       status_.ToString());
  }
  std::string kept;
  if (!ForEachValue(*replies_.back(), step.arguments[1],
                    [&](const std::string& value) { kept = value; })) {
    return ErrorStatus(Code::kInvalidArgument, "no field {}", step.arguments[1]);
  }
  if (kept.empty()) {
    return ErrorStatus(Code::kFailedPrecondition, "{} is empty", step.arguments[1]);
  }
  blobs_[step.arguments[0]] = kept;
  return Status();
}

// count FIELD N[|M]: length of a list over all answers; each FIELD N: at most N in every answer.
Status Runner::CheckCount(const Step& step) {
  if (step.arguments.size() != 2) return Status(Code::kInvalidArgument, "count FIELD N");
  const std::string& text = step.arguments[1];
  const size_t bar = std::min(text.find('|'), text.size());
  TRY_ASSIGN(int64_t wanted, Number(text.substr(0, bar)));
  int64_t other = wanted;
  if (bar < text.size()) {
    TRY_ASSIGN(other, Number(text.substr(bar + 1)));
  }
  const pb::FieldDescriptor* field = method_->output_type()->FindFieldByName(step.arguments[0]);
  if (!field || !field->is_repeated()) {
    return ErrorStatus(Code::kInvalidArgument, "no list {}", step.arguments[0]);
  }
  int64_t count = 0;
  for (const auto& reply : replies_) {
    const int64_t size = reply->GetReflection()->FieldSize(*reply, field);
    count = step.verb == "each" ? std::max(count, size) : count + size;
  }
  if (count == wanted || count == other || (step.verb == "each" && count <= wanted)) {
    return Status();
  }
  return ErrorStatus(Code::kFailedPrecondition, "{} of {} expected, {} came", text,
                     step.arguments[0], count);
}

// data BLOB: the field `data` of all answers together; plain BLOB: the same, decompressed.
Status Runner::CheckData(const Step& step) {
  TRY_ASSIGN(std::string wanted, Blob(step.arguments.empty() ? "" : step.arguments[0]));
  std::string data;
  for (const auto& reply : replies_) {
    const pb::FieldDescriptor* field = reply->GetDescriptor()->FindFieldByName("data");
    if (!field) return Status(Code::kInvalidArgument, "the answers have no field data");
    data += reply->GetReflection()->GetString(*reply, field);
  }
  if (step.verb == "plain") {
    std::optional<std::string> plain = Decompress(data);
    if (!plain) {
      return ErrorStatus(Code::kFailedPrecondition, "{} bytes came that are no whole zstd frame",
                         data.size());
    }
    data = std::move(*plain);
  }
  if (data == wanted) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "{} bytes came that are not the {} expected",
                     data.size(), wanted.size());
}

}  // namespace lre::scenario
