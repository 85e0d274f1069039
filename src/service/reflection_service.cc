#include "service/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <deque>
#include <memory>
#include <unordered_set>
#include <utility>

#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace lre::service {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

constexpr size_t kRequestBytesMax = 64 << 10;

// What is imported comes before what imports it.
void AddWithImports(const FileDescriptor& file, std::unordered_set<const FileDescriptor*>& seen,
                    ServerReflectionResponse& response) {
  if (!seen.insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) {
    AddWithImports(*file.dependency(i), seen, response);
  }
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  response.mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
}

void Refuse(const std::string& what, ServerReflectionResponse& response) {
  response.mutable_error_response()->set_error_code(static_cast<int>(Code::kNotFound));
  response.mutable_error_response()->set_error_message(what);
}

void AnswerFile(const FileDescriptor* file, const std::string& name,
                ServerReflectionResponse& response) {
  if (file == nullptr) return Refuse("\"" + name + "\" is not known here", response);
  std::unordered_set<const FileDescriptor*> seen;
  AddWithImports(*file, seen, response);
}

void AnswerExtensions(const std::string& type, ServerReflectionResponse& response) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  const auto* message = pool.FindMessageTypeByName(type);
  if (message == nullptr) return Refuse("\"" + type + "\" is not known here", response);
  auto& numbers = *response.mutable_all_extension_numbers_response();
  numbers.set_base_type_name(type);
  std::vector<const google::protobuf::FieldDescriptor*> extensions;
  pool.FindAllExtensions(message, &extensions);
  for (const auto* extension : extensions) numbers.add_extension_number(extension->number());
}

ServerReflectionResponse Answer(const ServerReflectionRequest& request,
                                const std::set<std::string>& services) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      AnswerFile(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(),
                 response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      AnswerFile(pool.FindFileContainingSymbol(request.file_containing_symbol()),
                 request.file_containing_symbol(), response);
      break;
    case ServerReflectionRequest::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const auto* message = pool.FindMessageTypeByName(wanted.containing_type());
      const auto* field = message == nullptr
                              ? nullptr
                              : pool.FindExtensionByNumber(message, wanted.extension_number());
      AnswerFile(field == nullptr ? nullptr : field->file(),
                 wanted.containing_type() + ":" + std::to_string(wanted.extension_number()),
                 response);
      break;
    }
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      AnswerExtensions(request.all_extension_numbers_of_type(), response);
      break;
    case ServerReflectionRequest::kListServices:
      for (const std::string& name : services) {
        response.mutable_list_services_response()->add_service()->set_name(name);
      }
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(static_cast<int>(Code::kInvalidArgument));
      response.mutable_error_response()->set_error_message("the request asks for nothing");
      break;
  }
  return response;
}

// The messages of v1alpha have the same bytes as those of v1, so one handler serves both.
class Reflection final : public rpc::CallHandler {
 public:
  Reflection(std::shared_ptr<rpc::ServerCall> call,
             std::shared_ptr<const std::set<std::string>> services)
      : call_(std::move(call)), services_(std::move(services)) {}

  void OnMessage(Bytes message) override {
    waiting_.push_back(std::move(message));
    AnswerWaiting();
  }
  void OnHalfClose() override {
    half_closed_ = true;
    AnswerWaiting();
  }
  void OnWritable() override { AnswerWaiting(); }

 private:
  void AnswerWaiting() {
    while (!waiting_.empty() && call_->queued_bytes() < rpc::kWritableLowWaterBytes) {
      Bytes bytes = std::move(waiting_.front());
      waiting_.pop_front();
      call_->Consumed(bytes.size());
      ServerReflectionRequest request;
      if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        waiting_.clear();
        return call_->Finish(ErrorStatus(Code::kInvalidArgument,
                                         "the request is no ServerReflectionRequest message"));
      }
      call_->Send({Bytes(Answer(request, *services_).SerializeAsString())});
    }
    if (half_closed_ && waiting_.empty()) call_->Finish({});
  }

  const std::shared_ptr<rpc::ServerCall> call_;
  const std::shared_ptr<const std::set<std::string>> services_;
  std::deque<Bytes> waiting_;
  bool half_closed_ = false;
};

}  // namespace

std::vector<rpc::Method> ReflectionMethods(std::set<std::string> services) {
  // Naming the types also links their descriptors in.
  const std::string names[] = {
      ServerReflectionRequest::descriptor()->file()->service(0)->full_name(),
      grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()
          ->file()
          ->service(0)
          ->full_name()};
  for (const std::string& name : names) services.insert(name);
  auto shared = std::make_shared<const std::set<std::string>>(std::move(services));
  std::vector<rpc::Method> methods;
  for (const std::string& name : names) {
    methods.push_back({.path = "/" + name + "/ServerReflectionInfo",
                       .start =
                           [shared](std::shared_ptr<rpc::ServerCall> call) {
                             return std::make_unique<Reflection>(std::move(call), shared);
                           },
                       .request_bytes_max = kRequestBytesMax,
                       .manual_flow = true});
  }
  return methods;
}

}  // namespace lre::service
