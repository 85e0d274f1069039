#include "store/partition_name.h"

#include <gtest/gtest.h>

namespace lre::store {
namespace {

TEST(PartitionNameTest, WhatIsWrittenIsRead) {
  EXPECT_EQ(InstanceWithPartition("main", 0), "main");
  for (const char* instance : {"", "main", "a/partition-9/b"})
    for (Partition partition : {1u, 7u, 4294967295u})
      EXPECT_EQ(PartitionIn(InstanceWithPartition(instance, partition)), partition);
}

TEST(PartitionNameTest, TheWordCanBeTakenAway) {
  for (const char* instance : {"", "main", "a/b", "partition-x", "partition-9/b"})
    for (Partition partition : {0u, 7u})
      EXPECT_EQ(InstanceWithoutPartition(InstanceWithPartition(instance, partition)), instance);
}

TEST(PartitionNameTest, OtherWordsSayNoPartition) {
  for (const char* instance :
       {"", "main", "partition-", "partition-x", "partition-1x", "partition--1", "my-partition-1",
        "partition-1/main", "partition-4294967296"})
    EXPECT_EQ(PartitionIn(instance), std::nullopt) << instance;
}

}  // namespace
}  // namespace lre::store
