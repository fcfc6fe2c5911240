// The specs in examples/ are what a reader tries first.

#include <filesystem>
#include <string>

#include "common/fields/json.h"
#include "common/files/files.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/search/search.h"
#include "services/training/spec/spec.h"
#include "tests/support/places.h"

namespace slipway::trainer {
namespace {

TEST(ExamplesTest, EverySpecIsTaken) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SourceFile("examples"))) {
    if (entry.path().extension() != ".yaml") continue;
    ++seen;
    const auto object = ParseYaml(ReadFile(entry.path().string()).value(), "spec");
    ASSERT_TRUE(object.ok()) << object.status();
    training::v1::JobSpec job;
    const auto parsed = google::protobuf::util::JsonStringToMessage(object->dump(), &job);
    ASSERT_TRUE(parsed.ok()) << entry.path() << ": " << parsed.ToString();
    const absl::Status taken = job.has_search() ? training::Search::Parse(job).status()
                                                : training::ParseSpec(job).status();
    EXPECT_TRUE(taken.ok()) << entry.path() << ": " << taken;
  }
  EXPECT_GT(seen, 0);
}

}  // namespace
}  // namespace slipway::trainer
