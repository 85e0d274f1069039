// The messages and services in proto/ against the published numbers in reapi-fields.txt, and those
// of Bazel's compact execution log against execlog-fields.txt: names, numbers and types are on the
// wire or on disk, so a slip here is a protocol of our own.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "bazel/execution_log.pb.h"
#include "build/bazel/remote/asset/v1/remote_asset.pb.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "build/bazel/remote/logstream/v1/remote_logstream.pb.h"
#include "build/bazel/semver/semver.pb.h"
#include "google/bytestream/bytestream.pb.h"
#include "google/longrunning/operations.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace {

namespace pb = google::protobuf;

// By file: everything it declares ("message A", "enum E", "service S") with its lines.
using Declarations = std::map<std::string, std::set<std::string>>;
using Table = std::map<std::string, Declarations>;

Table ReadTable(const std::string& path) {
  std::ifstream in(path);
  Table table;
  std::string file, declaration;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("# file ")) {
      std::istringstream words(line.substr(7));
      words >> file;
      table[file];
    } else if (line.starts_with("  ")) {
      table[file][declaration].insert(line.substr(2));
    } else if (line.starts_with("enum ")) {
      const size_t colon = line.find(':');
      declaration = line.substr(0, colon);
      std::istringstream values(line.substr(colon + 1));
      for (std::string value; std::getline(values, value, ',');) {
        table[file][declaration].insert(value.substr(value.find_first_not_of(' ')));
      }
    } else if (!line.empty() && line[0] != '#') {
      declaration = line;
      table[file][declaration];
    }
  }
  return table;
}

std::string TypeOf(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    const pb::Descriptor& entry = *field.message_type();
    return "map<" + TypeOf(*entry.FindFieldByNumber(1)) + "," +
           TypeOf(*entry.FindFieldByNumber(2)) + ">";
  }
  std::string type = field.type_name();
  if (field.message_type()) type = field.message_type()->full_name();
  if (field.enum_type()) type = field.enum_type()->full_name();
  return (field.is_repeated() ? "repeated " : "") + type;
}

std::string LineOf(const pb::FieldDescriptor& field) {
  std::string line = std::to_string(field.number()) + " " + field.name() + ": " + TypeOf(field);
  if (field.real_containing_oneof()) line += " oneof=" + field.real_containing_oneof()->name();
  if (field.options().deprecated()) line += " deprecated";
  if (field.has_optional_keyword()) line += " optional";
  return line;
}

// The name without the package.
std::string Local(const std::string& full_name, const pb::FileDescriptor& file) {
  return full_name.substr(file.package().size() + 1);
}

void AddEnum(const pb::EnumDescriptor& type, const pb::FileDescriptor& file, Declarations* all) {
  auto& lines = (*all)["enum " + Local(type.full_name(), file)];
  for (int i = 0; i < type.value_count(); i++) {
    lines.insert(type.value(i)->name() + "=" + std::to_string(type.value(i)->number()));
  }
}

void AddMessage(const pb::Descriptor& type, const pb::FileDescriptor& file, Declarations* all) {
  if (type.options().map_entry()) return;
  auto& lines = (*all)["message " + Local(type.full_name(), file)];
  for (int i = 0; i < type.field_count(); i++) lines.insert(LineOf(*type.field(i)));
  for (int i = 0; i < type.reserved_range_count(); i++) {
    const auto& range = *type.reserved_range(i);
    lines.insert("reserved " + std::to_string(range.start) + ".." + std::to_string(range.end - 1));
  }
  for (int i = 0; i < type.enum_type_count(); i++) AddEnum(*type.enum_type(i), file, all);
  for (int i = 0; i < type.nested_type_count(); i++) AddMessage(*type.nested_type(i), file, all);
}

Declarations DeclarationsOf(const pb::FileDescriptor& file) {
  Declarations all;
  for (int i = 0; i < file.enum_type_count(); i++) AddEnum(*file.enum_type(i), file, &all);
  for (int i = 0; i < file.message_type_count(); i++) AddMessage(*file.message_type(i), file, &all);
  for (int i = 0; i < file.service_count(); i++) {
    const pb::ServiceDescriptor& service = *file.service(i);
    auto& lines = all["service " + service.name()];
    for (int j = 0; j < service.method_count(); j++) {
      const pb::MethodDescriptor& method = *service.method(j);
      auto type = [](bool stream, const pb::Descriptor* message) {
        return (stream ? "stream " : "") + message->full_name();
      };
      lines.insert("rpc " + method.name() + "(" +
                   type(method.client_streaming(), method.input_type()) + ") -> " +
                   type(method.server_streaming(), method.output_type()));
    }
  }
  return all;
}

TEST(ProtocolTable, ProtoFilesAreWhatIsPublished) {
  // Linked in, so that the pool knows them.
  (void)build::bazel::remote::execution::v2::Digest::descriptor();
  (void)build::bazel::remote::asset::v1::Qualifier::descriptor();
  (void)build::bazel::remote::logstream::v1::LogStream::descriptor();
  (void)build::bazel::semver::SemVer::descriptor();
  (void)google::bytestream::ReadRequest::descriptor();
  (void)google::longrunning::Operation::descriptor();
  (void)google::rpc::BadRequest::descriptor();
  (void)google::rpc::Status::descriptor();

  Table table = ReadTable(LRE_PROTOCOL_TABLES "/reapi-fields.txt");

  ASSERT_GE(table.size(), 8u);
  for (const auto& [name, published] : table) {
    const pb::FileDescriptor* file = pb::DescriptorPool::generated_pool()->FindFileByName(name);
    ASSERT_TRUE(file) << name;
    const Declarations ours = DeclarationsOf(*file);
    for (const auto& [declaration, lines] : published) {
      auto found = ours.find(declaration);
      ASSERT_NE(found, ours.end()) << name << ": " << declaration;
      EXPECT_EQ(found->second, lines) << name << ": " << declaration;
    }
    for (const auto& [declaration, lines] : ours) {
      EXPECT_TRUE(published.contains(declaration))
          << name << ": " << declaration << " is ours alone";
    }
  }
}

// LRE leaves out fields that it does not read, and keeps some that only older Bazels write.
TEST(ProtocolTable, TheCompactExecutionLogIsBazels) {
  const Declarations published = ReadTable(LRE_PROTOCOL_TABLES "/execlog-fields.txt").at("");
  const pb::Descriptor& entry = *tools::protos::ExecLogEntry::descriptor();
  std::vector<const pb::Descriptor*> types = {&entry};
  for (int i = 0; i < entry.nested_type_count(); i++) types.push_back(entry.nested_type(i));

  int compared = 0;
  for (const pb::Descriptor* type : types) {
    if (type->options().map_entry()) continue;
    const auto lines = published.find("message " + type->name());
    ASSERT_NE(lines, published.end()) << type->name();
    for (const std::string& line : lines->second) {
      const pb::FieldDescriptor* field = type->FindFieldByNumber(std::stoi(line));
      if (field == nullptr) continue;
      std::string ours = std::to_string(field->number()) + " " + field->name() + ": ";
      if (!field->message_type()) ours += TypeOf(*field);
      EXPECT_TRUE(line.starts_with(ours)) << type->name() << ": " << line << ", not " << ours;
      ++compared;
    }
  }
  EXPECT_GE(compared, 50);
}

}  // namespace
