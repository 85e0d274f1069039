// What an action that waits or runs means for the store: its inputs are kept, and all of it is in
// the partition of its client.
#include <gtest/gtest.h>

#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)

uint64_t Renewed(ExecutionServer& server) {
  Counter& counter = server.metrics.AddCounter("lre_input_leases_renewed_total", "");
  const uint64_t before = counter.value();
  server.clock.Advance(6min);
  server.inputs.RenewDue();
  return counter.value() - before;
}

TEST(ExecutionInputs, AreKeptWhileTheActionWaitsAndRunsAndNotLonger) {
  ExecutionServer server;
  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(Renewed(server), 3u) << "action, command and input root of one that waits";

  FakeWorker worker(server.scheduler);
  const auto assignment = worker.NextAssignment();
  EXPECT_EQ(Renewed(server), 3u) << "of one that runs";
  // One that failed: nobody else holds the request to make its result durable.
  worker.SendReport(ReportOf(assignment, 1));
  ASSERT_TRUE(call.Finish().ok());
  server.scheduler.Flush();

  EXPECT_EQ(Renewed(server), 0u);
}

TEST(ExecutionInputs, AndResultsAreOfTheClientsPartition) {
  const Partitions partitions = *Partitions::Make({.instances = {{"main", "red"}}});
  const store::Partition red = PartitionNumber("red");
  ExecutionServer server({.adoption_grace = Duration(0)}, partitions);
  const pb::Digest action = server.AddAction({"true"});  // into partition 0
  EXPECT_EQ(ExecuteCall(server, action).Finish().error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  for (const std::string& bytes : server.added) server.store.Add(bytes, kSha256, red);
  FakeWorker worker(server.scheduler);

  ExecuteCall call(server, action);
  const auto assignment = worker.NextAssignment();
  EXPECT_EQ(assignment.partition(), red);
  worker.SendReport(ReportOf(assignment));

  ASSERT_TRUE(call.Finish().ok());
  const Digest key = *reapi::FromProto(action, kSha256);
  EXPECT_TRUE(server.action_cache->Get({key, "main", red}));
  EXPECT_FALSE(server.action_cache->Get({key, "main", 0}));
}

}  // namespace
}  // namespace lre::service
