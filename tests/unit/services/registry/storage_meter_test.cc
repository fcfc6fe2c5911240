#include "services/registry/storage_meter.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "tests/unit/services/registry/registry_fixture.h"

namespace slipway::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class StorageMeterTest : public RegistryFixture {
 protected:
  // What is billed after `cursor`, by tenant.
  std::map<std::string, double> Billed(int64_t cursor = 0) {
    StorageMeter meter(*store_, clock_);
    const auto usage = meter.ListUsage(Principal(), cursor, 1000);
    EXPECT_TRUE(usage.ok()) << usage.status();
    std::map<std::string, double> billed;
    for (const v1::UsageEvent& event : usage->events()) {
      EXPECT_EQ(event.cursor(), ++cursor);
      EXPECT_EQ(event.kind(), "stored_byte_hours");
      EXPECT_EQ(event.resource(), "tenants/" + event.tenant());
      EXPECT_LT(absl::FromUnixSeconds(event.time().seconds()), clock_.Now());
      billed[event.tenant()] += event.quantity();
    }
    return billed;
  }
  void Bill() { ASSERT_TRUE(StorageMeter(*store_, clock_).Bill().ok()); }
};

TEST_F(StorageMeterTest, BillsEachHourOnceHoweverOftenItLooks) {
  File("a", std::string(100, 'a'));
  File("b", std::string(20, 'b'));
  File("c", std::string(7, 'c'), "globex");
  Bill();
  EXPECT_THAT(Billed(), IsEmpty()) << "no hour was over yet";
  clock_.Advance(absl::Hours(1));
  for (int i = 0; i < 3; ++i) Bill();
  EXPECT_THAT(Billed(), ElementsAre(Pair("acme", 120), Pair("globex", 7)));
  // Also after a restart, and where the clock went back.
  Restart();
  Bill();
  clock_.Advance(absl::Hours(-1));
  Bill();
  clock_.Advance(absl::Hours(1));
  Bill();
  EXPECT_THAT(Billed(), ElementsAre(Pair("acme", 120), Pair("globex", 7)));
  clock_.Advance(absl::Hours(1));
  Bill();
  EXPECT_THAT(Billed(2), ElementsAre(Pair("acme", 120), Pair("globex", 7)));
}

TEST_F(StorageMeterTest, TheHoursOfItsAbsenceAreBilledAlike) {
  File("a", std::string(100, 'a'));
  Bill();
  clock_.Advance(absl::Hours(5));
  Restart();
  Bill();
  EXPECT_THAT(Billed(), ElementsAre(Pair("acme", 500)));
}

TEST_F(StorageMeterTest, SpeaksToTheGatewayItselfOnly) {
  StorageMeter meter(*store_, clock_);
  EXPECT_TRUE(absl::IsFailedPrecondition(meter.ListUsage(Of("acme"), 0, 10).status()));
  EXPECT_EQ(FieldOf(meter.ListUsage(Principal(), -1, 10).status()), "after_cursor");
}

}  // namespace
}  // namespace slipway::registry
