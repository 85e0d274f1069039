// BlobStoreContract: what every BlobStore must do, as tests. A store's own test file says
//
//   INSTANTIATE_TEST_SUITE_P(Memory, BlobStoreContract, testing::Values(BlobStoreMaker{...}));
//
// The maker returns a store that holds at least 64 MiB and whatever must outlive it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "store/blob_store.h"

namespace lre::store {

struct BlobStoreUnderTest {
  std::shared_ptr<void> environment;  // outlives the store: directories, clocks, servers
  std::unique_ptr<BlobStore> store;
};

using BlobStoreMaker = std::function<BlobStoreUnderTest()>;

class BlobStoreContract : public testing::TestWithParam<BlobStoreMaker> {
 protected:
  BlobStoreContract() : made_(GetParam()()), store_(*made_.store) {}

  BlobStoreUnderTest made_;
  BlobStore& store_;
};

}  // namespace lre::store
