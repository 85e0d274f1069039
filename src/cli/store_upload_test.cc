// From a store through a server into a store: what `lre push` and a worker do.
#include "cli/store_upload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/fake_server.h"
#include "cli/remote_server.h"
#include "worker/store_path_cache.h"

namespace lre::cli {
namespace {

using testing::HasSubstr;
using toolchain::StorePath;
using toolchain::ToolchainStore;

class StoreUploadTest : public testing::Test {
 protected:
  StoreUploadTest() {
    server::Config config = SmallServer(directory_ / "data");
    config.execution = false;
    config.store_pinned_percent_max = 1;  // 671,088 bytes: two paths
    server_ = server::Server::Start(config, SystemClock()).value();
    remote_ = RemoteServer::Connect({.address = server_->addresses()[0]}).value();
  }
  // A path with a small file, one that is larger than a batch, and a program.
  StorePath Make(char digit, const std::string& role, std::vector<std::string> references = {}) {
    std::string staging = store_->NewStaging().value();
    EXPECT_TRUE(WriteFileAtomically(staging + "/small", "small " + role).ok());
    EXPECT_TRUE(WriteFileAtomically(staging + "/large", std::string(300000, digit)).ok());
    EXPECT_TRUE(WriteFileAtomically(staging + "/run", "run " + role, 0755).ok());
    toolchain::TreeListing listing = toolchain::WalkTree(staging).value();
    StorePath path{.role = role,
                   .path = store_->prefix() + "/" +
                           std::string(toolchain::kStoreHashLength, digit) + "-" + role,
                   .size_bytes = listing.TotalBytes(),
                   .references = std::move(references)};
    path.tree = toolchain::TreeDigestText(toolchain::EncodeDirectories(listing)->root);
    EXPECT_TRUE(store_->Add(staging, path, listing, true).ok());
    return path;
  }
  Result<UploadReport> Upload(const std::vector<StorePath>& paths) {
    return UploadPaths(*store_, paths, PartsOf(*remote_),
                       {.batch_bytes_max = 100000, .stream_piece_bytes = 70000});
  }

  TempDir directory_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<RemoteServer> remote_;
  std::unique_ptr<ToolchainStore> store_ = ToolchainStore::Open(directory_ / "store").value();
};

TEST_F(StoreUploadTest, WhatWasPushedIsFetchedWhereItIsMissing) {
  StorePath libc = Make('1', "libc"), gcc = Make('2', "gcc", {libc.path});
  auto report = Upload({libc, gcc});
  ASSERT_TRUE(report) << ToStatus(report).ToString();
  EXPECT_EQ(report->sent_blobs + 1, report->blobs) << "every store has the empty blob";
  EXPECT_EQ(report->new_entries, 2u);
  ASSERT_EQ(store_->CollectGarbage({})->removed.size(), 2u);

  auto source = worker::StorePathCache::Make(
      remote_->cas(), [this](const Digest& action) { return remote_->GetResult(action); },
      {.prefix = store_->prefix(), .fetch = {.batch_bytes_max = 100000}});
  auto closure = source->Closure({gcc.path}, "");

  ASSERT_TRUE(closure) << ToStatus(closure).ToString();
  EXPECT_EQ(store_->Find(gcc.path).value(), gcc);
  EXPECT_EQ(store_->Find(libc.path).value(), libc);
  EXPECT_TRUE(store_->Verify(gcc.path)->empty());
}

TEST_F(StoreUploadTest, ASecondPushSendsNothing) {
  StorePath libc = Make('1', "libc");
  ASSERT_TRUE(Upload({libc}));

  auto again = Upload({libc});

  ASSERT_TRUE(again);
  EXPECT_EQ(again->sent_blobs, 0u);
  EXPECT_EQ(again->new_entries, 0u);
  EXPECT_EQ(again->actions.size(), 1u) << "pins name it all the same";
}

TEST_F(StoreUploadTest, ADamagedFileIsNamedAndNotSent) {
  StorePath libc = Make('1', "libc");
  ASSERT_EQ(chmod(libc.path.c_str(), 0755), 0);
  ASSERT_TRUE(WriteFileAtomically(libc.path + "/small", "smaLl libc").ok());

  Status small = ToStatus(Upload({libc}));
  EXPECT_EQ(small.code(), Code::kDataLoss) << small.ToString();
  EXPECT_THAT(small.message(), HasSubstr(libc.path + "/small"));

  StorePath gcc = Make('2', "gcc");
  ASSERT_EQ(chmod(gcc.path.c_str(), 0755), 0);
  ASSERT_TRUE(WriteFileAtomically(gcc.path + "/large", std::string(300000, 'x')).ok());
  Status large = ToStatus(Upload({gcc}));
  EXPECT_EQ(large.code(), Code::kDataLoss) << large.ToString();
  EXPECT_THAT(large.message(), HasSubstr(gcc.path + "/large"));
}

TEST_F(StoreUploadTest, PinsWhatWasPushedUntilItIsRetired) {
  StorePath libc = Make('1', "libc");
  auto report = Upload({libc});
  ASSERT_TRUE(report);

  auto pin = remote_->SetPin("libc", report->actions);
  ASSERT_TRUE(pin) << ToStatus(pin).ToString();
  EXPECT_GT(pin->size_bytes(), 300000);
  EXPECT_EQ(remote_->ListPins()->size(), 1u);
  EXPECT_TRUE(remote_->RetirePin("libc").ok());
  EXPECT_TRUE(remote_->ListPins()->empty());
}

TEST_F(StoreUploadTest, WhatIsTooMuchToPinIsSaidWithWhatToDoAndPinsNothing) {
  StorePath libc = Make('1', "libc"), gcc = Make('2', "gcc"), jdk = Make('3', "jdk");
  auto two = Upload({libc, gcc}), all = Upload({libc, gcc, jdk});
  ASSERT_TRUE(two && all);
  ASSERT_TRUE(PinUpload(*remote_, "two", *two).value());

  const Status status = ToStatus(PinUpload(*remote_, "three", *all));

  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status.ToString();
  for (const char* said : {"three was sent", "store.pinned_share", "--retire"})
    EXPECT_THAT(status.message(), HasSubstr(said));
  ASSERT_EQ(remote_->ListPins()->size(), 1u);
  EXPECT_EQ(remote_->ListPins()->at(0).name(), "two");
}

}  // namespace
}  // namespace lre::cli
