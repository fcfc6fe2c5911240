#include "services/training/plan/planner.h"

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "common/nn/architecture.h"
#include "common/nn/model_description.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/plan/sample.h"
#include "services/training/spec/estimate.h"
#include "services/training/spec/spec.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training/example_spec.h"
#include "tests/support/training/fake_job_store.h"
#include "tests/support/training/fake_model_registry.h"
#include "tests/support/training/picture_files.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::training {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using trainer::Gzip;
using trainer::Idx;

constexpr char kDataset[] = "tenants/acme/datasets/digits";

// `count` pictures of side x side and their classes, 0 to 9 in turns.
std::string Pictures(uint32_t count, uint32_t side) {
  std::string pixels(size_t{count} * side * side, '\0');
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<char>(i * 37);
  return Idx({count, side, side}, pixels);
}
std::string Classes(uint32_t count) {
  std::string classes;
  for (uint32_t i = 0; i < count; ++i) classes += static_cast<char>(i % 10);
  return Idx({count}, classes);
}

class PlannerTest : public ::testing::Test {
 protected:
  PlannerTest() {
    who_.tenant = "acme";
    who_.role = Role::kViewer;
  }

  void AddPictures(uint32_t train, uint32_t test, uint32_t side = 28) {
    registry_.AddFile(kDataset, "train-images", Pictures(train, side));
    registry_.AddFile(kDataset, "train-labels", Classes(train));
    registry_.AddFile(kDataset, "test-images", Pictures(test, side));
    registry_.AddFile(kDataset, "test-labels", Classes(test));
  }

  absl::StatusOr<v1::TrainingPlan> Plan(const v1::JobSpec& spec) {
    v1::PlanTrainingJobRequest request;
    request.set_parent("tenants/acme");
    *request.mutable_spec() = spec;
    return planner_.Plan(who_, request, absl::InfiniteFuture());
  }
  absl::StatusOr<v1::TrainingPlan> Propose(const std::string& target = "") {
    v1::JobSpec spec;
    spec.set_dataset("digits");
    if (!target.empty()) spec.mutable_data()->set_target_column(target);
    return Plan(spec);
  }
  // The plan of what is proposed, which a job would take and a trainer read.
  v1::TrainingPlan Proposed(const std::string& target = "") {
    const auto plan = Propose(target);
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (!plan.ok()) return {};
    EXPECT_TRUE(ParseSpec(plan->spec()).ok()) << ParseSpec(plan->spec()).status();
    const auto again = Plan(plan->spec());
    EXPECT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(plan->reasons().empty());
    return *plan;
  }

  void AddFinishedJob(const std::string& architecture, double times_slower) {
    Job job;
    job.name = {"rival", fmt::format("job-{}", ++jobs_)};
    job.spec = ParseSpec(ExampleSpec())->job;
    (*job.spec.mutable_architecture()->mutable_fields())["type"].set_string_value(architecture);
    job.spec.mutable_resources()->set_threads(1);
    job.state = v1::TrainingJob::SUCCEEDED;
    v1::NetworkSize& network = *job.progress.mutable_network();
    network.set_parameters(1000);
    network.set_row_flops(1e6);
    network.set_layers(5);
    const double told =
        absl::ToDoubleSeconds(StepTime(network, job.spec, RowsOfStep(job.spec.training()), 1));
    job.progress.set_samples_per_second(32 / (told * times_slower));
    ASSERT_TRUE(store_.Insert(job, {}, 1000).ok());
  }

  Principal who_;
  FakeModelRegistry registry_;
  const ObjectStores objects_;
  FakeJobStore store_;
  TempDir folder_;
  Planner planner_{registry_, objects_, store_, {.scratch_dir = folder_.path().string()}};
  int jobs_ = 0;
};

// ---- What a job would take. ----

TEST_F(PlannerTest, CountsRowsParametersAndSteps) {
  AddPictures(100, 20, 4);
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_data()->set_validation_fraction(0.2);
  spec.mutable_training()->set_epochs(3);
  const auto plan = Plan(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->train_rows(), 80);
  EXPECT_EQ(plan->validation_rows(), 20);
  EXPECT_EQ(plan->test_rows(), 20);
  EXPECT_FALSE(plan->sampled());
  // Of the default MLP: 16 inputs, 128 hidden, 10 classes.
  EXPECT_EQ(plan->network().parameters(), 16 * 128 + 128 + 128 * 10 + 10);
  EXPECT_EQ(plan->steps(), 3 * 3);
  EXPECT_TRUE(MessageDifferencer::Equals(plan->spec(), spec));
  EXPECT_THAT(plan->reasons(), IsEmpty());
  // Weights, gradients and two moments of Adam.
  EXPECT_EQ(plan->memory().weights(), 4 * 4 * plan->network().parameters());
  EXPECT_GT(plan->memory().total(), plan->memory().weights() + plan->memory().activations());
  EXPECT_LT(ToDuration(plan->shortest_time()), ToDuration(plan->time()));
  EXPECT_LT(ToDuration(plan->time()), ToDuration(plan->longest_time()));
}

TEST_F(PlannerTest, CountsOneStepAnEpochWhereItTakesAllRows) {
  AddPictures(100, 20, 4);
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_training()->set_epochs(3);
  (*spec.mutable_optimizer()->mutable_fields())["type"].set_string_value("gd");
  const auto plan = Plan(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->steps(), 3);
}

TEST_F(PlannerTest, CountsTheMemoryOfEachProcess) {
  AddPictures(100, 20, 4);
  v1::JobSpec spec = ExampleSpec();
  const auto one = Plan(spec);
  spec.mutable_resources()->set_processes(2);
  const auto two = Plan(spec);
  ASSERT_TRUE(one.ok() && two.ok()) << one.status() << two.status();
  EXPECT_EQ(two->memory().weights(), 2 * one->memory().weights());
  EXPECT_EQ(two->memory().rows(), 2 * one->memory().rows());
  EXPECT_EQ(two->memory().activations(), one->memory().activations());
}

TEST_F(PlannerTest, LeavesNoFilesBehind) {
  AddPictures(100, 20, 4);
  ASSERT_TRUE(Plan(ExampleSpec()).ok());
  EXPECT_FALSE(Plan(v1::JobSpec()).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "plans"));
}

TEST_F(PlannerTest, TellsOfLargeFilesByTheirFirstMegabytes) {
  AddPictures(9000, 100);
  const auto plan = Plan(ExampleSpec());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->sampled());
  EXPECT_EQ(plan->train_rows(), 9000);
  EXPECT_EQ(plan->test_rows(), 100);
  EXPECT_EQ(plan->memory().rows() / 784, 9100);
}

TEST_F(PlannerTest, KnowsClassesThatTheFirstMegabytesLack) {
  constexpr uint32_t kRows = 9000;
  registry_.AddFile(kDataset, "train-images", Pictures(kRows, 28));
  std::string classes(kRows, '\0');
  classes.back() = 7;
  registry_.AddFile(kDataset, "train-labels", Idx({kRows}, classes));
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_data()->clear_test();
  spec.mutable_data()->set_test_fraction(0.1);
  const auto plan = Plan(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->network().parameters(), 784 * 128 + 128 + 128 * 8 + 8);
}

TEST_F(PlannerTest, CutsATableBehindAWholeRow) {
  std::string table = "a,text,target\n";
  while (std::ssize(table) < 3 * Sample::kReadBytes) {
    table += "1.5,\"one\nand a half\",yes\n2.5,two,no\n";
  }
  registry_.AddFile(kDataset, "rows.csv", table);
  const auto plan = Propose();
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->sampled());
  const double rows =
      static_cast<double>(plan->train_rows() + plan->validation_rows() + plan->test_rows());
  const double there = 2.0 * static_cast<double>(table.size()) / 36;
  EXPECT_NEAR(rows / there, 1, 0.05);
}

TEST_F(PlannerTest, ReadsPackedFiles) {
  AddPictures(100, 20, 4);
  registry_.AddFile(kDataset, "packed-images", Gzip(Pictures(9000, 28)));
  registry_.AddFile(kDataset, "packed-labels", Gzip(Classes(9000)));
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_data()->clear_test();
  spec.mutable_data()->set_test_fraction(0.1);
  spec.mutable_data()->mutable_train()->set_inputs("packed-images");
  spec.mutable_data()->mutable_train()->set_targets("packed-labels");
  const auto plan = Plan(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->train_rows() + plan->test_rows(), 9000);
}

TEST_F(PlannerTest, SaysWhatTheTrainerWouldSay) {
  AddPictures(100, 20, 4);
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_training()->set_epochs(0);
  EXPECT_EQ(FieldOf(Plan(spec).status()), "spec.training.epochs");
  spec = ExampleSpec();
  spec.mutable_data()->mutable_train()->set_inputs("no-such");
  EXPECT_EQ(FieldOf(Plan(spec).status()), "spec.data.train.inputs");
  spec = ExampleSpec();
  spec.mutable_data()->mutable_train()->set_targets("train-images");
  EXPECT_EQ(FieldOf(Plan(spec).status()), "spec.data.train.targets");
  spec = ExampleSpec();
  (*spec.mutable_architecture()->mutable_fields())["type"].set_string_value("lstm");
  (*spec.mutable_architecture()->mutable_fields())["vocabulary"].set_number_value(10);
  EXPECT_THAT(FieldOf(Plan(spec).status()), StartsWith("spec.architecture"));
  spec = ExampleSpec();
  spec.mutable_base()->set_version("models/m/versions/1");
  EXPECT_EQ(FieldOf(Plan(spec).status()), "spec.base.version");
  spec = ExampleSpec();
  spec.set_dataset("other");
  EXPECT_EQ(FieldOf(Plan(spec).status()), "spec.dataset");
}

// So many pictures in three folders.
Files Folder(uint32_t side, int count = 300) {
  Files files;
  std::mt19937 random(1);
  for (int i = 0; i < count; ++i) {
    std::vector<uint8_t> pixels(size_t{side} * side * 3);
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random());
    files.emplace_back(fmt::format("train/{}/{}.png", "abc"[3 * i / count], i),
                       Png(side, side, pixels));
  }
  return files;
}

v1::JobSpec PictureSpec() {
  v1::JobSpec spec = ExampleSpec();
  v1::DataSpec& data = *spec.mutable_data();
  data.Clear();
  data.set_format("images");
  data.mutable_train()->set_inputs("train");
  data.set_test_fraction(0.2);
  data.mutable_split()->set_method("stratified");
  data.mutable_image()->set_height(4);
  data.mutable_image()->set_width(4);
  return spec;
}

TEST_F(PlannerTest, LooksAtSomePicturesFromAllOverAFolder) {
  for (const auto& [path, content] : Folder(4)) registry_.AddFile(kDataset, path, content);
  registry_.AddFile(kDataset, "train/a/.DS_Store", "x");
  const auto plan = Plan(PictureSpec());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->sampled());
  EXPECT_NEAR(static_cast<double>(plan->train_rows()), 240, 5);
  EXPECT_NEAR(static_cast<double>(plan->test_rows()), 60, 5);
  EXPECT_NEAR(static_cast<double>(plan->memory().rows()), 300 * 48, 48);
  // Of the default MLP, with three classes.
  EXPECT_EQ(plan->network().parameters(), 48 * 128 + 128 + 128 * 3 + 3);
}

TEST_F(PlannerTest, LooksAtTheBeginningOfAnArchive) {
  Files files = Folder(4);
  for (auto& [path, content] : files) path = path.substr(path.find('/') + 1);
  registry_.AddFile(kDataset, "train", Archive(files, Packing::kTarGz));
  const auto whole = Plan(PictureSpec());
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->train_rows() + whole->test_rows(), 300);
  EXPECT_FALSE(whole->sampled());

  files = Folder(100, 240);
  for (auto& [path, content] : files) path = path.substr(path.find('/') + 1);
  v1::JobSpec spec = PictureSpec();
  for (const Packing packing : {Packing::kTar, Packing::kTarGz, Packing::kZip}) {
    const std::string inputs = fmt::format("large-{}", static_cast<int>(packing));
    const std::string large = Archive(files, packing);
    ASSERT_GT(std::ssize(large), Sample::kReadBytes * 3 / 2);
    registry_.AddFile(kDataset, inputs, large);
    spec.mutable_data()->mutable_train()->set_inputs(inputs);
    spec.mutable_data()->clear_labels();
    EXPECT_EQ(FieldOf(Plan(spec).status()), "spec.data.labels");
    for (const char* label : {"a", "b", "c"}) spec.mutable_data()->add_labels(label);
    const auto cut = Plan(spec);
    ASSERT_TRUE(cut.ok()) << inputs << ": " << cut.status();
    EXPECT_TRUE(cut->sampled());
    EXPECT_NEAR(static_cast<double>(cut->train_rows() + cut->test_rows()), 240, 8) << inputs;
  }
}

class PlanOfABaseTest : public PlannerTest {
 protected:
  PlanOfABaseTest() {
    AddPictures(100, 20, 4);
    nn::ModelDescription description;
    description.task = nn::Task::kClassification;
    description.input = {"image", DataType::kUint8, {Shape::kAny, 4, 4}};
    description.output = nn::OutputOf(description.task, 10);
    description.architecture =
        *nn::ParseArchitecture(nlohmann::json{{"type", "mlp"}, {"hidden", {32}}}, "");
    const std::string version = registry_.AddHeldVersion({{"acme", "m"}, "production"}, {});
    registry_.AddVersionFile(version, "architecture.json", description.Print());
    spec_.clear_architecture();
    spec_.mutable_base()->set_version("models/m/aliases/production");
  }
  int64_t Parameters() {
    const auto plan = Plan(spec_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? plan->network().parameters() : 0;
  }

  v1::JobSpec spec_ = ExampleSpec();
};

TEST_F(PlanOfABaseTest, CountsWhatIsTrained) {
  constexpr int64_t kHead = 32 * 10 + 10;
  EXPECT_EQ(Parameters(), 16 * 32 + 32 + kHead);
  spec_.mutable_base()->add_freeze("all_but_head");
  EXPECT_EQ(Parameters(), kHead);
  spec_.mutable_base()->clear_freeze();
  spec_.mutable_base()->mutable_lora()->set_rank(2);
  EXPECT_EQ(Parameters(), 2 * (16 + 32) + 2 * (32 + 10));
  // Those of an MLP tell how long it takes.
  AddFinishedJob("mlp", 2);
  EXPECT_EQ(Plan(spec_)->basis(), "by the speed of 1 job of this architecture here");
}

TEST_F(PlanOfABaseTest, SaysWhatTheTrainerWouldSay) {
  spec_.mutable_base()->add_freeze("no-such-layer");
  EXPECT_EQ(FieldOf(Plan(spec_).status()), "spec.base.freeze[0]");
  spec_.mutable_base()->clear_freeze();
  registry_.AddFile("tenants/acme/datasets/larger", "train-images", Pictures(10, 5));
  registry_.AddFile("tenants/acme/datasets/larger", "train-labels", Classes(10));
  spec_.set_dataset("larger");
  spec_.mutable_data()->clear_test();
  spec_.mutable_data()->set_test_fraction(0.2);
  EXPECT_EQ(FieldOf(Plan(spec_).status()), "spec.data.train.inputs");
}

TEST_F(PlannerTest, AStepOfLbfgsGoesThroughItsRowsManyTimes) {
  v1::NetworkSize network;
  network.set_parameters(1000);
  network.set_row_flops(1e5);
  network.set_layers(3);
  v1::JobSpec spec = ExampleSpec();
  auto& fields = *spec.mutable_optimizer()->mutable_fields();
  const absl::Duration once = StepTime(network, spec, 100, 1);
  fields["type"].set_string_value("lbfgs");
  fields["iterations"].set_number_value(8);
  EXPECT_NEAR(absl::FDivDuration(StepTime(network, spec, 100, 1), once), 10, 1e-6);
  fields["line_search"].set_string_value("none");
  EXPECT_NEAR(absl::FDivDuration(StepTime(network, spec, 100, 1), once), 8, 1e-6);
  // What such jobs took says little of others.
  AddFinishedJob("mlp", 2);
  EXPECT_THAT(CompareSpeeds(*store_.ListSucceeded(100), spec).basis,
              HasSubstr("none of them with this architecture"));
}

TEST_F(PlannerTest, RefusesWhatTheMachineCannotHold) {
  AddPictures(100, 20, 4);
  v1::JobSpec spec = ExampleSpec();
  auto& hidden = *(*spec.mutable_architecture()->mutable_fields())["hidden"].mutable_list_value();
  for (int i = 0; i < 10; ++i) hidden.add_values()->set_number_value(60'000);
  const absl::Status status = Plan(spec).status();
  EXPECT_EQ(FieldOf(status), "spec.architecture");
  EXPECT_THAT(std::string(status.message()), HasSubstr("GiB, and the machine has"));
}

TEST_F(PlannerTest, AnothersDatasetIsNotThere) {
  AddPictures(100, 20, 4);
  who_.tenant = "rival";
  EXPECT_TRUE(absl::IsNotFound(Plan(ExampleSpec()).status()));
}

TEST_F(PlannerTest, ASearchTakesAsLongAsAllItsTrials) {
  AddPictures(100, 20, 4);
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_data()->set_validation_fraction(0.2);
  const auto one = Plan(spec);
  spec.mutable_search()->set_method("random");
  spec.mutable_search()->mutable_budget()->set_trials(7);
  v1::SearchField& field = *spec.mutable_search()->add_fields();
  field.set_path("optimizer.learning_rate");
  field.add_range(0.001);
  field.add_range(0.1);
  const auto all = Plan(spec);
  ASSERT_TRUE(one.ok() && all.ok()) << one.status() << all.status();
  EXPECT_EQ(all->trials(), 7);
  EXPECT_TRUE(MessageDifferencer::Equals(all->spec(), spec));
  EXPECT_NEAR(absl::FDivDuration(ToDuration(all->time()), ToDuration(one->time())), 7, 1e-3);
}

TEST_F(PlannerTest, KnowsOfHiddenTokensAndOfBfloat16) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "0123456789";
  registry_.AddFile(kDataset, "book.txt", text);
  v1::JobSpec spec = ExampleSpec();
  spec.clear_data();
  v1::JobSpec text_spec;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(
                  R"({"data": {"format": "text", "train": {"inputs": "book.txt"},
                               "test_fraction": 0.2,
                               "tokenizer": {"type": "character", "max_length": 20}},
                      "objective": {"type": "masked_token"}})",
                  &text_spec)
                  .ok());
  spec.MergeFrom(text_spec);
  google::protobuf::Struct& architecture = *spec.mutable_architecture();
  architecture.Clear();
  (*architecture.mutable_fields())["type"].set_string_value("transformer_encoder");
  (*architecture.mutable_fields())["width"].set_number_value(8);
  (*architecture.mutable_fields())["layers"].set_number_value(1);
  (*architecture.mutable_fields())["feed_forward"].set_number_value(16);
  const auto plan = Plan(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->train_rows(), 40);
  EXPECT_EQ(plan->test_rows(), 10);
  // Ten digits, two ids that every tokenizer has, and the mask; places; the layer; its last norm.
  const int64_t layer = 16 + 8 * 24 + 24 + 8 * 8 + 8 + 16 + 2 * 8 * 16 + 16 + 8;
  EXPECT_EQ(plan->network().parameters(), 13 * 8 + 20 * 8 + layer + 16);

  // Which of 13 tokens stands at 3 of 20 steps, where it is not asked at all of them.
  v1::JobSpec all = spec;
  (*all.mutable_objective()->mutable_fields())["mask_probability"].set_number_value(0.99);
  EXPECT_NEAR(Plan(all)->network().row_flops() - plan->network().row_flops(), 17 * 2 * 8 * 13,
              1e-6);

  spec.mutable_training()->set_precision("bfloat16");
  const auto rounded = Plan(spec);
  ASSERT_TRUE(rounded.ok()) << rounded.status();
  EXPECT_EQ(rounded->memory().weights() - plan->memory().weights(),
            2 * plan->network().parameters());
}

// ---- How fast. ----

TEST_F(PlannerTest, AnUnknownMachineMayBeFourTimesFasterOrSlower) {
  const SpeedFigures figures = CompareSpeeds({}, ExampleSpec());
  EXPECT_EQ(figures.factor, 1);
  EXPECT_EQ(figures.least, 0.25);
  EXPECT_EQ(figures.most, 4);
  EXPECT_THAT(figures.basis, StartsWith("no job has been finished here yet"));
}

TEST_F(PlannerTest, LearnsTheSpeedFromFinishedJobs) {
  for (const double slower : {2.0, 2.2, 1.8, 2.1, 1.9}) AddFinishedJob("mlp", slower);
  AddFinishedJob("cnn", 9);
  const SpeedFigures mlp = CompareSpeeds(*store_.ListSucceeded(100), ExampleSpec());
  EXPECT_NEAR(mlp.factor, 2, 1e-6);
  EXPECT_NEAR(mlp.least, 2 / 1.5, 1e-6);
  EXPECT_NEAR(mlp.most, 3, 1e-6);
  EXPECT_EQ(mlp.basis, "by the speed of 5 jobs of this architecture here");
  v1::JobSpec rounded = ExampleSpec();
  rounded.mutable_training()->set_precision("bfloat16");
  EXPECT_THAT(CompareSpeeds(*store_.ListSucceeded(100), rounded).basis,
              HasSubstr("none of them with this architecture and precision"));
}

TEST_F(PlannerTest, JobsThatDifferMakeThePlanLessSure) {
  for (const double slower : {1.0, 2.0, 8.0}) AddFinishedJob("mlp", slower);
  const SpeedFigures figures = CompareSpeeds(*store_.ListSucceeded(100), ExampleSpec());
  EXPECT_NEAR(figures.factor, 2, 1e-6);
  EXPECT_NEAR(figures.least, 1, 1e-6);
  EXPECT_NEAR(figures.most, 8, 1e-6);
}

TEST_F(PlannerTest, JobsOfAnotherArchitectureTellALittle) {
  AddFinishedJob("cnn", 3);
  const SpeedFigures figures = CompareSpeeds(*store_.ListSucceeded(100), ExampleSpec());
  EXPECT_NEAR(figures.factor, 3, 1e-6);
  EXPECT_NEAR(figures.most, 12, 1e-6);
  EXPECT_THAT(figures.basis, HasSubstr("none of them with this architecture and precision"));
}

// ---- What to train. ----

TEST_F(PlannerTest, ProposesAClassifierForATableOfFewRows) {
  // As Fisher's iris.
  std::string table =
      "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm),target\n";
  constexpr const char* kKinds[] = {"setosa", "versicolor", "virginica"};
  for (int i = 0; i < 150; ++i) {
    table += fmt::format("{:.1f},{:.1f},{:.1f},{:.1f},{}\n", 4.3 + i % 7 * 0.5, 2 + i % 5 * 0.4,
                         1 + i % 11 * 0.5, 0.1 + i % 13 * 0.2, kKinds[i % 3]);
  }
  registry_.AddFile(kDataset, "iris.csv", table);
  const v1::TrainingPlan plan = Proposed();
  const v1::JobSpec& spec = plan.spec();
  EXPECT_EQ(spec.model(), "digits");
  EXPECT_EQ(spec.data().target_column(), "target");
  EXPECT_EQ(spec.data().test_fraction(), 0.2);
  EXPECT_EQ(spec.data().split().method(), "stratified");
  EXPECT_TRUE(spec.data().standardize());
  EXPECT_THAT(spec.data().columns(), IsEmpty());
  EXPECT_EQ(spec.loss().fields().at("type").string_value(), "cross_entropy");
  EXPECT_EQ(spec.architecture().fields().at("type").string_value(), "mlp");
  EXPECT_EQ(plan.network().parameters(), 4 * 32 + 32 + 32 * 3 + 3);
  EXPECT_THAT(plan.reasons(), Contains("target: the column \"target\", by its name"));
}

TEST_F(PlannerTest, ProposesARegressionWhereTheTargetIsANumber) {
  // As scikit-learn's diabetes, in two files.
  const auto rows = [](int count) {
    std::string table = "age,bmi,bp,target\n";
    for (int i = 0; i < count; ++i) {
      table += fmt::format("{},{:.1f},{},{}\n", 19 + i % 60, 18 + i % 24 * 0.7, 62 + i % 70,
                           25 + i * 37 % 321);
    }
    return table;
  };
  registry_.AddFile(kDataset, "train.csv", rows(331));
  registry_.AddFile(kDataset, "test.csv", rows(111));
  const v1::TrainingPlan plan = Proposed();
  EXPECT_EQ(plan.spec().data().train().inputs(), "train.csv");
  EXPECT_EQ(plan.spec().data().test().inputs(), "test.csv");
  EXPECT_EQ(plan.spec().data().test_fraction(), 0);
  EXPECT_EQ(plan.spec().loss().fields().at("type").string_value(), "mse");
  EXPECT_EQ(plan.train_rows(), 331);
  EXPECT_THAT(plan.reasons(),
              Contains("task: regression, since \"target\" holds 321 different numbers"));
}

TEST_F(PlannerTest, ProposesAConvolutionalNetworkForPictures) {
  AddPictures(6000, 1000);
  const v1::TrainingPlan plan = Proposed();
  const v1::DataSpec& data = plan.spec().data();
  EXPECT_EQ(data.format(), "idx");
  EXPECT_EQ(data.train().inputs(), "train-images");
  EXPECT_EQ(data.train().targets(), "train-labels");
  EXPECT_EQ(data.test().inputs(), "test-images");
  EXPECT_EQ(data.test().targets(), "test-labels");
  EXPECT_EQ(data.scale(), 255);
  EXPECT_EQ(plan.spec().architecture().fields().at("type").string_value(), "cnn");
  EXPECT_EQ(plan.test_rows(), 1000);
}

TEST_F(PlannerTest, TakesAQuickerNetworkWhereTheMachineIsSlow) {
  AddPictures(30'000, 1000);
  const v1::TrainingPlan fast = Proposed();
  EXPECT_EQ(fast.spec().architecture().fields().at("type").string_value(), "resnet");
  for (int i = 0; i < 5; ++i) AddFinishedJob("resnet", 1000);
  const v1::TrainingPlan slow = Proposed();
  EXPECT_EQ(slow.spec().architecture().fields().at("type").string_value(), "cnn");
  EXPECT_THAT(slow.reasons(), Contains(StartsWith("architecture: a resnet would take")));
}

TEST_F(PlannerTest, ProposesARuleForEachColumnThatIsNoPlainNumber) {
  std::string table = "id,age,city,since,name,empty,income\n";
  for (int i = 0; i < 200; ++i) {
    table += fmt::format("{},{},{},2024-{:02}-0{},person {},,{}\n", i, i % 9 == 0 ? "NA" : "33",
                         i % 7 == 0   ? ""
                         : i % 2 == 0 ? "Rome"
                                      : "Oslo",
                         i % 12 + 1, i % 9 + 1, i, 1000.5 + i);
  }
  registry_.AddFile(kDataset, "people.csv", table);
  const v1::TrainingPlan plan = Proposed();
  std::vector<std::string> rules;
  for (const v1::ColumnSpec& column : plan.spec().data().columns()) {
    rules.push_back(fmt::format("{} {} {}", column.name(), column.kind(), column.missing()));
  }
  EXPECT_THAT(rules, ElementsAre("id ignore ", "age  median", "city category constant",
                                 "since date ", "name ignore ", "empty ignore "));
  EXPECT_EQ(plan.spec().data().target_column(), "income");
  EXPECT_THAT(plan.reasons(), Contains(StartsWith("target: the last column, \"income\"")));
}

TEST_F(PlannerTest, ReadsLinesOfJson) {
  std::string lines;
  for (int i = 0; i < 60; ++i) {
    lines +=
        fmt::format("{{\"x\": {}, \"note\": \"a \\\"{}\", \"target\": {}}}\n", i, i % 4, i * 0.5);
  }
  registry_.AddFile(kDataset, "rows.jsonl", lines);
  const v1::TrainingPlan plan = Proposed();
  EXPECT_EQ(plan.spec().data().format(), "jsonl");
  ASSERT_EQ(plan.spec().data().columns_size(), 1);
  EXPECT_EQ(plan.spec().data().columns(0).kind(), "category");
  // One number and four texts.
  EXPECT_EQ(plan.network().parameters(), 5 * 32 + 32 + 32 + 1);
}

TEST_F(PlannerTest, TakesTheTargetThatIsAskedFor) {
  std::string table = "x,kind,target\n";
  for (int i = 0; i < 60; ++i) table += fmt::format("{},{},{}\n", i, i % 2 ? "a" : "b", i * 0.5);
  registry_.AddFile(kDataset, "table.csv", table);
  EXPECT_EQ(Proposed("kind").spec().loss().fields().at("type").string_value(), "cross_entropy");
  EXPECT_EQ(FieldOf(Propose("no such").status()), "spec.data.target_column");
}

TEST_F(PlannerTest, KeepsWhatASpecSaysAlready) {
  AddPictures(6000, 1000);
  v1::JobSpec spec = ExampleSpec();
  spec.clear_architecture();
  spec.mutable_training()->set_epochs(17);
  const auto plan = Plan(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->spec().model(), "digits-mlp");
  EXPECT_EQ(plan->spec().training().epochs(), 17);
  EXPECT_EQ(plan->spec().training().batch_size(), 32);
  EXPECT_EQ(plan->spec().training().seed(), 7);
  EXPECT_TRUE(MessageDifferencer::Equals(plan->spec().data(), spec.data()));
  EXPECT_EQ(plan->spec().architecture().fields().at("type").string_value(), "cnn");
}

TEST_F(PlannerTest, SaysWhatItCannotTell) {
  registry_.AddFile(kDataset, "notes.txt", "no rows at all");
  EXPECT_THAT(std::string(Propose().status().message()),
              HasSubstr("has neither a table (.csv, .jsonl, .parquet) nor arrays"));
  registry_.AddFile(kDataset, "a.csv", "x,y\n1,2\n");
  registry_.AddFile(kDataset, "b.csv", "x,y\n1,2\n");
  EXPECT_EQ(Propose().status().message(),
            "spec.data: is required: a.csv and b.csv may both be what to train on");
}

}  // namespace
}  // namespace slipway::training
