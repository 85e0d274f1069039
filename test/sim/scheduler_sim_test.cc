#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "simulation.h"

namespace lre::scheduler {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(SchedulerSimulation, AnswersEveryClientOnceThroughHoursOfCrashesAndLostLinks) {
  const bool replay = std::getenv("LRE_SIM_SEED") != nullptr;
  const uint64_t first = FromEnvironment("LRE_SIM_SEED", 1);
  const uint64_t seeds = replay ? 1 : FromEnvironment("LRE_SIM_SEEDS", 40);
  for (uint64_t seed = first; seed < first + seeds && !HasFailure(); seed++) {
    Simulation simulation(seed, {});
    simulation.Run();
    std::cout << simulation.Summary() << std::endl;
  }
}

TEST(SchedulerSimulation, IsTheSameEveryTimeForOneSeed) {
  Simulation one(7, {.load = std::chrono::minutes(20)}),
      other(7, {.load = std::chrono::minutes(20)});
  one.Run();
  other.Run();

  EXPECT_EQ(one.Summary(), other.Summary());
}

}  // namespace
}  // namespace lre::scheduler
