// How the list of seeded faults is written: hooks for parsed messages, and the files that add to
// it.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fault.h"

namespace lre::scenario {

// Hooks that change a parsed message. What does not parse passes unchanged.
template <typename Message>
FaultHooks Asked(std::function<void(Message&)> change) {
  FaultHooks hooks;
  hooks.request = [change = std::move(change)](std::string& bytes) {
    Message message;
    if (!message.ParseFromString(bytes)) return;
    change(message);
    bytes = message.SerializeAsString();
  };
  return hooks;
}
template <typename Message>
FaultHooks Answered(std::function<void(Message&)> change) {
  FaultHooks hooks;
  hooks.reply = [change = std::move(change)](std::string& bytes) {
    Message message;
    if (!message.ParseFromString(bytes)) return true;
    change(message);
    bytes = message.SerializeAsString();
    return true;
  };
  return hooks;
}
// Calls that should end with `from` end with `to`; to OK with an empty answer.
inline FaultHooks Ends(Code from, Code to) {
  FaultHooks hooks;
  hooks.status = [from, to](Status& status, std::string*) {
    if (status.code() == from) status = to == Code::kOk ? Status() : Status(to, "a seeded fault");
  };
  return hooks;
}
template <typename Message>
void DropLast(google::protobuf::RepeatedPtrField<Message>* list) {
  if (!list->empty()) list->RemoveLast();
}

class List {
 public:
  void Add(std::string name, std::string method, FaultHooks hooks) {
    faults_.push_back({std::move(name), std::move(method), std::move(hooks)});
  }
  std::vector<Fault> Take() { return std::move(faults_); }

 private:
  std::vector<Fault> faults_;
};

// seeded_asset_faults.cc
void AddChunkFaults(List& list);
void AddAssetFaults(List& list);

}  // namespace lre::scenario
