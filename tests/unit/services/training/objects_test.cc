#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/training/objects/copy_source.h"
#include "services/training/objects/object_stores.h"
#include "tests/support/fake_clock.h"
#include "tests/support/training/example_spec.h"
#include "tests/support/training/fake_model_registry.h"
#include "tests/support/training/fake_object_store.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

v1::ObjectSource SourceOf(const std::string& store, const std::string& prefix) {
  v1::ObjectSource source;
  source.set_store(store);
  source.set_prefix(prefix);
  return source;
}

// ---- Who may read what. ----

TEST(ObjectStoresTest, ATenantReadsBelowItsGrantsAndNothingElse) {
  FakeObjectStore* lake = nullptr;
  const ObjectStores stores =
      FakeStores({{"acme", "sales/"}, {"acme", "hr/pay"}, {"*", "home/{tenant}"}}, lake);
  const struct {
    const char* tenant;
    const char* prefix;
    bool may;
  } table[] = {
      {"acme", "sales", true},         {"acme", "sales/", true},
      {"acme", "sales/2026/q1", true}, {"acme", "sales2", false},
      {"acme", "sale", false},         {"acme", "", false},
      {"acme", "hr", false},           {"acme", "hr/pay/2026", true},
      {"acme", "home/acme", true},     {"acme", "home", false},
      {"acme", "home/rival", false},   {"acme", "home/acme2", false},
      {"rival", "sales", false},       {"rival", "home/rival/a", true},
      {"rival", "home/acme", false},   {"rival", "home/{tenant}", false},
  };
  for (const auto& row : table) {
    const auto found = stores.Find(row.tenant, SourceOf("lake", row.prefix));
    EXPECT_EQ(found.ok(), row.may) << row.tenant << " " << row.prefix;
    if (found.ok()) {
      EXPECT_EQ(*found, lake);
    } else {
      EXPECT_EQ(FieldOf(found.status()), "spec.data.source.prefix");
    }
  }
}

TEST(ObjectStoresTest, AStoreOfWhichNothingIsGivenIsAsOneThatIsNotThere) {
  FakeObjectStore* lake = nullptr;
  const ObjectStores stores = FakeStores({{"acme", ""}}, lake);
  EXPECT_TRUE(stores.Find("acme", SourceOf("lake", "")).ok());
  const absl::Status foreign = stores.Find("rival", SourceOf("lake", "x")).status();
  EXPECT_EQ(FieldOf(foreign), "spec.data.source.store");
  EXPECT_EQ(std::string(foreign.message()),
            "spec.data.source.store: \"lake\" is no store that this tenant may read; the operator "
            "configures them");
  EXPECT_EQ(FieldOf(stores.Find("acme", SourceOf("http://10.0.0.1", "")).status()),
            "spec.data.source.store");
}

// ---- Copies. ----

class CopySourceTest : public ::testing::Test {
 protected:
  CopySourceTest() {
    owner_.tenant = "acme";
    spec_.clear_dataset();
    *spec_.mutable_data()->mutable_source() = SourceOf("lake", "sales/2026");
    for (const char* file : kExampleFiles) {
      lake_->Put(fmt::format("sales/2026/{}", file), fmt::format("bytes of {}", file));
    }
  }

  absl::StatusOr<registry::v1::Dataset> Copy() {
    return CopySource(spec_, owner_, stores_, registry_, limits_, clock_,
                      [this] { return cancelled_; });
  }
  std::vector<std::string> Listed() {
    std::vector<std::string> paths;
    const auto listed = ListSource(*lake_, spec_);
    EXPECT_TRUE(listed.ok()) << listed.status();
    if (!listed.ok()) return paths;
    for (const auto& file : listed->files()) paths.push_back(file.path());
    return paths;
  }

  Principal owner_;
  FakeObjectStore* lake_ = nullptr;
  std::vector<ObjectGrant> grants_ = {{"acme", "sales"}};
  ObjectStores stores_ = FakeStores(grants_, lake_);
  FakeModelRegistry registry_;
  FakeClock clock_;
  CopyLimits limits_;
  bool cancelled_ = false;
  v1::JobSpec spec_ = ExampleSpec();
};

TEST_F(CopySourceTest, TakesTheFilesThatTheSpecNamesAndNoOthers) {
  lake_->Put("sales/2026/unnamed", "x");
  EXPECT_THAT(Listed(), ElementsAre("train-images", "train-labels", "test-images", "test-labels"));
}

TEST_F(CopySourceTest, OfImagesItTakesAllBelowTheFolder) {
  lake_->Put("sales/2026/train/cat/1.png", "1");
  lake_->Put("sales/2026/train/dog/2.png", "2");
  lake_->Put("sales/2026/trainer/3.png", "3");
  spec_.mutable_data()->set_format("images");
  spec_.mutable_data()->clear_test();
  spec_.mutable_data()->mutable_train()->clear_targets();
  spec_.mutable_data()->mutable_train()->set_inputs("train");
  EXPECT_THAT(Listed(), ElementsAre("train/cat/1.png", "train/dog/2.png"));
  // What two parts share is one file.
  spec_.mutable_data()->mutable_test()->set_inputs("train/dog");
  EXPECT_THAT(Listed(), ElementsAre("train/cat/1.png", "train/dog/2.png"));
}

TEST_F(CopySourceTest, NamesTheFieldOfWhatIsNotThere) {
  spec_.mutable_data()->mutable_test()->set_targets("no-such");
  const absl::Status absent = ListSource(*lake_, spec_).status();
  EXPECT_EQ(std::string(absent.message()),
            "spec.data.test.targets: lake has no object \"sales/2026/no-such\"");
  // A folder is no table.
  spec_ = ExampleSpec();
  *spec_.mutable_data()->mutable_source() = SourceOf("lake", "");
  spec_.mutable_data()->mutable_train()->set_inputs("sales");
  EXPECT_EQ(FieldOf(ListSource(*lake_, spec_).status()), "spec.data.train.inputs");
}

TEST_F(CopySourceTest, ManyObjectsAreRefused) {
  for (int i = 0; i < 10'001; ++i) lake_->Put(fmt::format("sales/2026/train/a/{}.png", i), "");
  spec_.mutable_data()->set_format("images");
  spec_.mutable_data()->mutable_train()->set_inputs("train");
  EXPECT_EQ(std::string(ListSource(*lake_, spec_).status().message()),
            "spec.data.train.inputs: has more than 10000 objects below it");
}

TEST_F(CopySourceTest, TheSameObjectsMakeOneDatasetThatIsKnownByDigest) {
  const auto first = Copy();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(first->name(), StartsWith("tenants/acme/datasets/objects-"));
  ASSERT_EQ(first->files_size(), 4);
  EXPECT_EQ(first->files(0).path(), "train-images");
  EXPECT_EQ(first->files(0).digest(), "sha256:" + Sha256Hex("bytes of train-images"));
  EXPECT_EQ(first->files(0).size_bytes(), 21);
  EXPECT_EQ(Copy()->name(), first->name());
  lake_->Put("sales/2026/train-labels", "others");
  const auto changed = Copy();
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_NE(changed->name(), first->name());
  EXPECT_NE(changed->digest(), first->digest());
}

TEST_F(CopySourceTest, ADatasetOfThatNameMayHoldTheSameAndNothingElse) {
  spec_.set_dataset("mine");
  ASSERT_TRUE(Copy().ok());
  EXPECT_EQ(Copy()->name(), "tenants/acme/datasets/mine");
  lake_->Put("sales/2026/train-labels", "others");
  const absl::Status taken = Copy().status();
  EXPECT_EQ(FieldOf(taken), "spec.dataset");
  EXPECT_THAT(std::string(taken.message()), HasSubstr("holds something else"));
}

TEST_F(CopySourceTest, AnObjectThatChangesMeanwhileIsNotCopied) {
  lake_->WhileReading([&] { lake_->Put("sales/2026/train-images", "others"); });
  EXPECT_TRUE(absl::IsAborted(Copy().status()));
  EXPECT_TRUE(Copy().ok());
}

TEST_F(CopySourceTest, WhatIsTooMuchIsNotCopied) {
  limits_.max_bytes = 21 + 21 + 20 + 20 - 1;
  EXPECT_TRUE(absl::IsFailedPrecondition(Copy().status())) << Copy().status();
  EXPECT_EQ(lake_->reads(), 0);
  limits_.max_bytes += 1;
  EXPECT_TRUE(Copy().ok()) << Copy().status();
}

TEST_F(CopySourceTest, EndsWhenNobodyWaitsForIt) {
  cancelled_ = true;
  EXPECT_TRUE(absl::IsCancelled(Copy().status()));
}

TEST_F(CopySourceTest, AsksAgainWhatTheTenantMayRead) {
  stores_ = FakeStores({{"acme", "hr"}}, lake_);
  EXPECT_EQ(FieldOf(Copy().status()), "spec.data.source.prefix");
}

}  // namespace
}  // namespace slipway::training
