// Tenants: what each runs in its own partition, and sees of operations, output and results.
#include <gmock/gmock.h>

#include "google/bytestream/bytestream.grpc.pb.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

namespace longrunning = google::longrunning;
using testing::ElementsAre;
using testing::IsEmpty;

const store::Partition kRed = PartitionNumber("red"), kBlue = PartitionNumber("blue");

struct TenantsTest : testing::Test {
  // An action of the tenant with this partition.
  pb::Digest AddAction(store::Partition partition, const std::string& argument = "true") {
    server.partition = partition;
    return server.AddAction({argument});
  }
  void SetIdentity(Context& context, const std::string& identity) {
    context.AddMetadata(kTestIdentityHeader, identity);
  }
  grpc::StatusCode Get(const std::string& identity, const std::string& name) {
    Context context;
    SetIdentity(context, identity);
    longrunning::GetOperationRequest request;
    request.set_name(name);
    longrunning::Operation operation;
    return server.operations->GetOperation(&context, request, &operation).error_code();
  }
  grpc::StatusCode Wait(const std::string& identity, const std::string& name) {
    Context context;
    SetIdentity(context, identity);
    longrunning::WaitOperationRequest request;
    request.set_name(name);
    request.mutable_timeout()->set_nanos(1000);
    longrunning::Operation operation;
    return server.operations->WaitOperation(&context, request, &operation).error_code();
  }
  grpc::StatusCode Cancel(const std::string& identity, const std::string& name) {
    Context context;
    SetIdentity(context, identity);
    longrunning::CancelOperationRequest request;
    request.set_name(name);
    google::protobuf::Empty empty;
    return server.operations->CancelOperation(&context, request, &empty).error_code();
  }
  grpc::StatusCode Delete(const std::string& identity, const std::string& name) {
    Context context;
    SetIdentity(context, identity);
    longrunning::DeleteOperationRequest request;
    request.set_name(name);
    google::protobuf::Empty empty;
    return server.operations->DeleteOperation(&context, request, &empty).error_code();
  }
  std::vector<std::string> List(const std::string& identity, const std::string& instance = "") {
    Context context;
    SetIdentity(context, identity);
    longrunning::ListOperationsRequest request;
    request.set_name(instance);
    longrunning::ListOperationsResponse response;
    EXPECT_TRUE(server.operations->ListOperations(&context, request, &response).ok());
    std::vector<std::string> names;
    for (const auto& operation : response.operations()) names.push_back(operation.name());
    return names;
  }
  grpc::StatusCode Read(const std::string& identity, const std::string& stream) {
    Context context;
    SetIdentity(context, identity);
    google::bytestream::ReadRequest request;
    request.set_resource_name(stream);
    auto stub = google::bytestream::ByteStream::NewStub(server.channel);
    auto reader = stub->Read(&context, request);
    google::bytestream::ReadResponse response;
    while (reader->Read(&response)) {
    }
    return reader->Finish().error_code();
  }

  const Partitions partitions = Partitions::Make({.instances = {{"open", "green"}},
                                                  .identities = {{"ci", "red"}, {"cd", "blue"}}})
                                    .value();
  ExecutionServer server{{.adoption_grace = Duration(0)}, partitions};
};

TEST_F(TenantsTest, RunInTheirOwnPartitionAndNeverTogether) {
  const pb::Digest action = AddAction(kRed);
  {
    ExecuteCall call(server, action, Caller{"cd"});
    EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION)
        << "its blobs are in another partition";
  }
  AddAction(kBlue);
  ExecuteCall ci(server, action, Caller{"ci"}), cd(server, action, Caller{"cd"});
  ASSERT_TRUE(ci.Read());
  ASSERT_TRUE(cd.Read());
  EXPECT_NE(ci.operation.name(), cd.operation.name());

  FakeWorker worker(server.scheduler, {.slots = 2});
  const worker::v1::Assignment first = worker.NextAssignment(), second = worker.NextAssignment();
  const std::set<uint32_t> partitions = {first.partition(), second.partition()};
  EXPECT_EQ(partitions, (std::set<uint32_t>{kRed, kBlue}));
  worker.SendReport(ReportOf(first));
  worker.SendReport(ReportOf(second));

  EXPECT_TRUE(ci.Finish().ok());
  EXPECT_TRUE(cd.Finish().ok());
}

TEST_F(TenantsTest, MayBeSaidByTheInstanceName) {
  ExecuteCall call(server, AddAction(PartitionNumber("green")), Caller{"", "open/sub"});
  FakeWorker worker(server.scheduler);

  EXPECT_EQ(worker.NextAssignment().partition(), PartitionNumber("green"));

  call.context.TryCancel();
  call.Finish();
}

TEST_F(TenantsTest, KnowOnlyTheirOwnOperations) {
  ExecuteCall call(server, AddAction(kRed), Caller{"ci"});
  ASSERT_TRUE(call.Read());
  const std::string name = call.operation.name();
  for (const char* other : {"cd", "someone", ""}) {
    EXPECT_EQ(Get(other, name), grpc::StatusCode::NOT_FOUND) << other;
    EXPECT_EQ(Wait(other, name), grpc::StatusCode::NOT_FOUND) << other;
    EXPECT_EQ(Cancel(other, name), grpc::StatusCode::NOT_FOUND) << other;
    EXPECT_EQ(Delete(other, name), grpc::StatusCode::NOT_FOUND) << other;
    EXPECT_THAT(List(other), IsEmpty()) << other;
    EXPECT_EQ(ExecuteCall(server, name, other).Finish().error_code(), grpc::StatusCode::NOT_FOUND)
        << other;
  }

  EXPECT_EQ(Get("ci", name), grpc::StatusCode::OK);
  EXPECT_EQ(Wait("ci", name), grpc::StatusCode::OK);
  EXPECT_THAT(List("ci"), ElementsAre(name));
  EXPECT_THAT(List("ci", "main"), ElementsAre(name));
  EXPECT_THAT(List("ci", "operations"), ElementsAre(name)) << "as if nothing was said";
  EXPECT_THAT(List("ci", "other"), IsEmpty());
  EXPECT_EQ(Cancel("ci", name), grpc::StatusCode::OK);
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kCancelled));
  EXPECT_EQ(Delete("ci", name), grpc::StatusCode::OK);
  EXPECT_EQ(Get("ci", name), grpc::StatusCode::NOT_FOUND);
}

TEST_F(TenantsTest, WithoutAnIdentityListByTheInstanceNameTheySay) {
  ExecuteCall call(server, AddAction(PartitionNumber("green")), Caller{"", "open"});
  ASSERT_TRUE(call.Read());

  EXPECT_THAT(List("", "open"), ElementsAre(call.operation.name()));
  EXPECT_THAT(List("", "main"), IsEmpty());
  EXPECT_EQ(Get("", call.operation.name()), grpc::StatusCode::OK)
      << "who knows the name of what belongs to nobody may see it";

  call.context.TryCancel();
  call.Finish();
}

TEST_F(TenantsTest, ReadOnlyTheirOwnOutput) {
  FakeWorker worker(server.scheduler);
  ExecuteCall call(server, AddAction(kRed), Caller{"ci"});
  const worker::v1::Assignment assignment = worker.NextAssignment();
  worker::v1::FromWorker output;
  *output.mutable_output()->mutable_attempt() = assignment.attempt();
  output.mutable_output()->set_data("secret");
  worker.Send(output);

  EXPECT_EQ(Read("cd", assignment.stdout_stream_name()), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Read("", assignment.stdout_stream_name()), grpc::StatusCode::NOT_FOUND);
  worker.SendReport(ReportOf(assignment));
  EXPECT_EQ(Read("ci", assignment.stdout_stream_name()), grpc::StatusCode::OK);

  EXPECT_TRUE(call.Finish().ok());
}

}  // namespace
}  // namespace lre::service
