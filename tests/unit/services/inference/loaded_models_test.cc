#include "services/inference/loaded_models.h"

#include <filesystem>
#include <fstream>

#include "common/files/files.h"
#include "common/tensor/safetensors.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inference/pipeline/pipeline_runtime.h"
#include "services/inference/warm_up.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/inference/batching/fake_call.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using State = ModelReport::State;

constexpr char kShoes[] = "tenants/acme/deployments/shoes";
constexpr char kVersion1[] = "tenants/acme/models/cnn/versions/1";
constexpr char kVersion2[] = "tenants/acme/models/cnn/versions/2";

Principal Caller(const std::string& tenant) {
  Principal who;
  who.tenant = tenant;
  who.role = Role::kCaller;
  who.caller = ServiceId::kGateway;
  return who;
}

class LoadedModelsTest : public testing::Test {
 protected:
  LoadedModelsTest() {
    auto cache = BlobCache::Open({.folder = dir_ / "blobs"}, source_);
    EXPECT_TRUE(cache.ok());
    cache_ = std::make_unique<BlobCache>(*std::move(cache));
    Start({});
  }
  ~LoadedModelsTest() override {
    runtime_.load_gate.Open();
    runtime_.run_gate.Open();
  }

  void Start(LoadedModels::Options options) {
    models_ =
        std::make_unique<LoadedModels>(*cache_, pipelines_, batcher_, metrics_, std::move(options));
  }
  absl::Status Load(const slipway::registry::v1::ModelVersion& version) {
    return models_->Load(kShoes, version, "token").status();
  }
  // Until the version has left LOADING.
  ModelReport Await(std::string_view version) {
    for (;;) {
      for (const ModelReport& report : models_->List()) {
        if (report.version.ToString() == version && report.state != State::kLoading) return report;
      }
      std::this_thread::yield();
    }
  }
  ModelReport LoadAndAwait(const slipway::registry::v1::ModelVersion& version) {
    EXPECT_TRUE(Load(version).ok());
    return Await(version.name());
  }
  static float Run(const ModelHandle& handle) {
    const float row[2] = {1, 2};
    const Tensor input =
        *Tensor::Make("x", DataType::kFp32, {1, 2},
                      Buffer::Borrow({reinterpret_cast<const char*>(row), sizeof(row)}), "x");
    const TensorBatch outputs = *handle->queue->model()->Run({input}, absl::InfiniteFuture());
    float sum = 0;
    std::memcpy(&sum, outputs[0].data().data(), sizeof(sum));
    return sum;
  }

  TempDir dir_;
  FakeBlobSource source_;
  FakeRuntime runtime_;
  PipelineRuntime pipelines_{runtime_, Clock::Real()};
  Metrics metrics_{"worker"};
  std::unique_ptr<BlobCache> cache_;
  Batcher batcher_{{.instances = 1}, Clock::Real()};
  std::unique_ptr<LoadedModels> models_;
  const Principal acme_ = Caller("acme");
};

TEST_F(LoadedModelsTest, LoadsWarmsUpAndAnswers) {
  const ModelReport report = LoadAndAwait(FakeVersion(source_, 1, "10"));
  EXPECT_EQ(report.state, State::kReady) << report.error;
  EXPECT_EQ(report.memory.host, 1000);
  EXPECT_EQ(runtime_.runs, kWarmUpRuns);
  EXPECT_EQ(source_.last_token(), "token");
  const auto handle = models_->Find(acme_, kShoes, "");
  ASSERT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(Run(*handle), 13);
}

TEST_F(LoadedModelsTest, WarmsUpWithRecordedRowsWhereTheVersionHasSome) {
  const auto add = [&](slipway::registry::v1::ModelVersion& version, const std::string& samples) {
    auto& file = *version.mutable_artifact()->add_files();
    file.set_path("samples.safetensors");
    file.set_digest(source_.Add(samples));
    file.set_size_bytes(std::ssize(samples));
  };
  const Tensor rows = *Tensor::Make("x", DataType::kFp32, {2, 2},
                                    Buffer::Own(std::string(4 * sizeof(float), '\0')), "x");
  const std::string path = dir_ / "samples";
  ASSERT_TRUE(WriteSafetensors(path, std::span(&rows, 1), {}).ok());
  auto version = FakeVersion(source_, 1, "10");
  add(version, *ReadFile(path));
  EXPECT_EQ(LoadAndAwait(version).state, State::kReady);
  auto broken = FakeVersion(source_, 2, "10");
  add(broken, "no tensors");
  const ModelReport report = LoadAndAwait(broken);
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_THAT(report.error, testing::StartsWith("warm-up: samples.safetensors: "));
}

// Two models side by side, versions `first` and `second` of "cnn".
slipway::registry::v1::ModelVersion Pipeline(int number, int first, int second) {
  slipway::registry::v1::ModelVersion version;
  version.set_name(fmt::format("tenants/acme/models/both/versions/{}", number));
  version.mutable_artifact()->set_format("pipeline");
  version.mutable_pipeline()->add_inputs("x");
  for (const auto& [name, model] : {std::pair("a", first), std::pair("b", second)}) {
    auto& step = *version.mutable_pipeline()->add_steps();
    step.set_name(name);
    step.set_model_version(fmt::format("tenants/acme/models/cnn/versions/{}", model));
    (*step.mutable_inputs())["x"] = "inputs.x";
    (*version.mutable_pipeline()->mutable_outputs())[name] = std::string(name) + ".sum";
  }
  return version;
}

TEST_F(LoadedModelsTest, APipelineIsLoadedWithItsSteps) {
  LoadedModels::Versions steps;
  *steps.Add() = FakeVersion(source_, 1, "10");
  *steps.Add() = FakeVersion(source_, 2, "20");
  const auto version = Pipeline(1, 1, 2);
  ASSERT_TRUE(models_->Load(kShoes, version, "token", std::nullopt, steps).ok());
  const ModelReport report = Await(version.name());
  ASSERT_EQ(report.state, State::kReady) << report.error;
  EXPECT_EQ(report.platform, "slipway_pipeline");
  EXPECT_EQ(report.memory.host, 2000);
  EXPECT_EQ(report.signature.outputs.size(), 2u);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "")), 13);

  // One whose step is broken never takes its place.
  *steps.Mutable(1) = FakeVersion(source_, 3, "no number");
  ASSERT_TRUE(models_->Load(kShoes, Pipeline(2, 1, 3), "token", std::nullopt, steps).ok());
  const ModelReport failed = Await("tenants/acme/models/both/versions/2");
  EXPECT_EQ(failed.state, State::kFailed);
  EXPECT_EQ(failed.error, "tenants/acme/models/cnn/versions/3: bias: is no number");
  EXPECT_EQ((*models_->Find(acme_, kShoes, ""))->version_name, version.name());
}

TEST_F(LoadedModelsTest, AStepIsHeldToWhatEveryVersionIs) {
  LoadedModels::Versions steps;
  *steps.Add() = FakeVersion(source_, 1, "10", "globex");
  const auto load = [&] {
    return models_->Load(kShoes, Pipeline(1, 1, 1), "token", std::nullopt, steps).status();
  };
  EXPECT_EQ(FieldOf(load()), "steps[0].name") << "another tenant's";
  *steps.Mutable(0) = FakeVersion(source_, 1, "10");
  steps.Mutable(0)->mutable_artifact()->mutable_files(0)->set_path("../bias");
  EXPECT_EQ(FieldOf(load()), "steps[0].artifact.files[0].path");

  Start({.isolation = {}});
  *steps.Mutable(0) = FakeVersion(source_, 1, "10");
  steps.Mutable(0)->set_origin(slipway::registry::v1::ModelVersion::UPLOADED);
  auto version = Pipeline(1, 1, 1);
  version.set_origin(slipway::registry::v1::ModelVersion::TRAINED);
  const absl::Status shared = models_->Load(kShoes, version, "token", std::nullopt, steps).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(shared)) << "whatever the pipeline says of itself";
  EXPECT_THAT(std::string(shared.message()), HasSubstr("cnn/versions/1 was uploaded"));
}

TEST_F(LoadedModelsTest, LoadAnswersAtOnceAndOnceOnly) {
  runtime_.load_gate.Close();
  const auto version = FakeVersion(source_, 1, "10");
  const auto first = models_->Load(kShoes, version, "token");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->state, State::kLoading);
  runtime_.load_gate.AwaitWaiting(1);
  ASSERT_TRUE(Load(version).ok());
  EXPECT_EQ(models_->List().size(), 1u);
  const auto early = models_->Find(acme_, kShoes, "");
  EXPECT_TRUE(absl::IsUnavailable(early.status())) << early.status();
  runtime_.load_gate.Open();
  EXPECT_EQ(Await(kVersion1).state, State::kReady);
  EXPECT_EQ(models_->Load(kShoes, version, "token")->state, State::kReady);
  EXPECT_EQ(runtime_.runs, kWarmUpRuns);
}

TEST_F(LoadedModelsTest, FindsByNumberByNameAndTheNewestByDefault) {
  LoadAndAwait(FakeVersion(source_, 2, "200"));
  LoadAndAwait(FakeVersion(source_, 1, "100"));
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "")), 103);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "2")), 203);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, kVersion2)), 203);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, kVersion1)), 103);
  for (const char* absent : {"3", "02", "tenants/acme/models/other/versions/1", "x"}) {
    EXPECT_TRUE(absl::IsNotFound(models_->Find(acme_, kShoes, absent).status())) << absent;
  }
}

TEST_F(LoadedModelsTest, AnotherTenantsModelReadsLikeAnAbsentOne) {
  LoadAndAwait(FakeVersion(source_, 1, "1"));
  EXPECT_EQ(models_->FindAll(acme_, "", "")->size(), 1u);
  EXPECT_TRUE(models_->FindAll(Caller("other"), "", "")->empty());
  const absl::Status theirs = models_->Find(Caller("other"), kShoes, "").status();
  models_->Unload(kShoes, kVersion1).IgnoreError();
  const absl::Status absent = models_->Find(acme_, kShoes, "").status();
  EXPECT_TRUE(absl::IsNotFound(theirs));
  EXPECT_EQ(theirs, absent);
  // Also while it loads or has failed.
  runtime_.load_gate.Close();
  ASSERT_TRUE(Load(FakeVersion(source_, 1, "1")).ok());
  EXPECT_EQ(models_->Find(Caller("other"), kShoes, "").status(), absent);
}

TEST_F(LoadedModelsTest, ALoadThatFailsLeavesTheOldVersionServingAndSaysWhy) {
  LoadAndAwait(FakeVersion(source_, 1, "10"));
  const ModelReport report = LoadAndAwait(FakeVersion(source_, 2, "no number"));
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_EQ(report.error, "bias: is no number");
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "")), 13);
  const absl::Status failed = models_->Find(acme_, kShoes, "2").status();
  EXPECT_TRUE(absl::IsUnavailable(failed));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("bias: is no number"));
}

TEST_F(LoadedModelsTest, AWrongDigestFailsTheLoadNamingTheFile) {
  auto version = FakeVersion(source_, 1, "10");
  source_.Spoil(version.artifact().files(0).digest(), "11");
  const ModelReport report = LoadAndAwait(version);
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_THAT(report.error, HasSubstr("bias: "));
  EXPECT_THAT(report.error, HasSubstr("digest"));
}

TEST_F(LoadedModelsTest, AFailedVersionIsTriedAgainWhenAskedTo) {
  auto version = FakeVersion(source_, 1, "10");
  const std::string digest = version.artifact().files(0).digest();
  source_.Spoil(digest, "11");
  EXPECT_EQ(LoadAndAwait(version).state, State::kFailed);
  source_.Spoil(digest, "10");
  EXPECT_EQ(LoadAndAwait(version).state, State::kReady);
}

TEST_F(LoadedModelsTest, ASignatureThatDiffersFromTheRegistrysFailsTheLoad) {
  auto version = FakeVersion(source_, 1, "10");
  version.mutable_signature()->mutable_inputs(0)->set_shape(1, 3);
  const ModelReport report = LoadAndAwait(version);
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_EQ(report.error,
            "inputs[0] was registered as x FP32 [-1, 3], the version's files say x FP32 [-1, 2]");
}

TEST_F(LoadedModelsTest, PaddingThatTheModelCannotTakeFailsTheLoadNamingTheField) {
  const auto version = FakeVersion(source_, 1, "10");
  const ModelSettings settings = {.batching = {.padding = {{.axes = {{.tensor = "x"}}}}}};
  ASSERT_TRUE(models_->Load(kShoes, version, "token", settings).ok());
  const ModelReport report = Await(version.name());
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_THAT(report.error,
              testing::HasSubstr("runtime.batching.padding[0].axes[0].axis: 1 is not free: x FP32 "
                                 "[-1, 2]"));
}

TEST_F(LoadedModelsTest, UnloadLetsCallsInFlightFinishAndFreesWithTheLastOne) {
  LoadAndAwait(FakeVersion(source_, 1, "10"));
  std::optional<ModelHandle> in_flight = *models_->Find(acme_, kShoes, "");
  ASSERT_TRUE(models_->Unload(kShoes, kVersion1).ok());
  EXPECT_TRUE(absl::IsNotFound(models_->Find(acme_, kShoes, "").status()));
  EXPECT_EQ(Run(*in_flight), 13);
  ASSERT_EQ(models_->List().size(), 1u);
  EXPECT_EQ(models_->List()[0].state, State::kUnloading);
  EXPECT_FALSE(runtime_.newest.expired());
  in_flight.reset();
  EXPECT_TRUE(runtime_.newest.expired());
  EXPECT_TRUE(models_->List().empty());
}

TEST_F(LoadedModelsTest, UnloadGivesALoadUp) {
  runtime_.load_gate.Close();
  ASSERT_TRUE(Load(FakeVersion(source_, 1, "10")).ok());
  runtime_.load_gate.AwaitWaiting(1);
  ASSERT_TRUE(models_->Unload(kShoes, kVersion1).ok());
  EXPECT_TRUE(models_->List().empty());
  runtime_.load_gate.Open();
  // The next load of it starts anew and is not mistaken for the one given up.
  EXPECT_EQ(LoadAndAwait(FakeVersion(source_, 1, "10")).state, State::kReady);
}

TEST_F(LoadedModelsTest, ALoadThatWasGivenUpWhileItWaitedIsNotBegun) {
  Start({.loaders = 1});
  runtime_.load_gate.Close();
  ASSERT_TRUE(Load(FakeVersion(source_, 1, "10")).ok());
  runtime_.load_gate.AwaitWaiting(1);
  ASSERT_TRUE(Load(FakeVersion(source_, 2, "20")).ok());
  ASSERT_TRUE(models_->Unload(kShoes, kVersion2).ok());
  ASSERT_TRUE(Load(FakeVersion(source_, 3, "30")).ok());
  runtime_.load_gate.Open();
  Await("tenants/acme/models/cnn/versions/3");
  EXPECT_EQ(runtime_.loads, 2);
}

TEST_F(LoadedModelsTest, UnloadOfWhatIsNotThereIsFine) {
  EXPECT_TRUE(models_->Unload(kShoes, kVersion1).ok());
}

TEST_F(LoadedModelsTest, RefusesWhatIsNoLoadNamingTheField) {
  const auto good = FakeVersion(source_, 1, "10");
  const auto field = [&](const std::string& deployment, auto change) {
    auto version = good;
    change(version);
    return FieldOf(models_->Load(deployment, version, "token").status());
  };
  const auto same = [](auto&) {};
  EXPECT_EQ(field("shoes", same), "deployment");
  EXPECT_EQ(field("tenants/other/deployments/shoes", same), "model_version.name");
  EXPECT_EQ(field(kShoes, [](auto& v) { v.set_name("cnn/1"); }), "model_version.name");
  for (const char* path : {"", "/etc/passwd", "../bias", "a/../b", "a/./b", "a//b"}) {
    EXPECT_EQ(
        field(kShoes, [&](auto& v) { v.mutable_artifact()->mutable_files(0)->set_path(path); }),
        "model_version.artifact.files[0].path")
        << path;
  }
  EXPECT_EQ(field(kShoes, [](auto& v) { v.mutable_artifact()->mutable_files(0)->set_digest("x"); }),
            "model_version.artifact.files[0].digest");
  EXPECT_EQ(
      field(kShoes, [](auto& v) { v.mutable_artifact()->mutable_files(0)->set_size_bytes(-1); }),
      "model_version.artifact.files[0].size_bytes");
  EXPECT_EQ(
      field(kShoes, [](auto& v) { v.mutable_signature()->mutable_inputs(0)->set_datatype("F"); }),
      "model_version.signature.inputs[0].datatype");
  EXPECT_TRUE(models_->List().empty());
}

TEST_F(LoadedModelsTest, LoadsNoUploadedVersionBesideThoseOfOthers) {
  Start({.isolation = {}});
  auto version = FakeVersion(source_, 1, "10");
  version.set_origin(slipway::registry::v1::ModelVersion::UPLOADED);
  EXPECT_TRUE(absl::IsFailedPrecondition(Load(version)));
  EXPECT_TRUE(models_->List().empty());
}

// Room for two models of FakeModel's 1000 bytes.
class ModelMemoryTest : public LoadedModelsTest {
 protected:
  ModelMemoryTest() { Start({.max_bytes = 2500, .patience = absl::ZeroDuration()}); }

  static std::string Deployment(int number) {
    return "tenants/acme/deployments/d" + std::to_string(number);
  }
  // Version `number` for the deployment of that number: its bias is ten times that.
  ModelReport LoadOne(int number, ModelSettings settings = {}) {
    const auto version = FakeVersion(source_, number, std::to_string(10 * number));
    EXPECT_TRUE(models_->Load(Deployment(number), version, "token", std::move(settings)).ok());
    return Await(version.name());
  }
  ModelHandle Find(int number) { return *models_->Find(acme_, Deployment(number), ""); }
  // Starts a call of it.
  std::shared_ptr<CallFate> Call(int number, absl::Duration timeout = absl::InfiniteDuration()) {
    static const float row[2] = {1, 2};
    TensorBatch inputs = {
        *Tensor::Make("x", DataType::kFp32, {1, 2},
                      Buffer::Borrow({reinterpret_cast<const char*>(row), sizeof(row)}), "x")};
    auto fate = std::make_shared<CallFate>();
    auto call = std::make_unique<FakeCall>(fate, std::move(inputs), [this] {
      MutexLock lock(mutex_);
      ++finished_;
      changed_.SignalAll();
    });
    call->arrived = Clock::Real().Monotonic();
    call->deadline = call->arrived + timeout;
    const ModelHandle model = Find(number);
    if (!batcher_.Submit(*model->queue, std::move(call))) models_->LoadAgain(model);
    return fate;
  }
  void AwaitFinished(int count) {
    MutexLock lock(mutex_);
    while (finished_ < count) changed_.Wait(mutex_);
  }
  // What the call gets; a call starts after the last one has ended.
  absl::StatusOr<float> CallAndAwait(int number) {
    const auto fate = Call(number);
    AwaitFinished(++awaited_);
    RETURN_IF_ERROR(fate->status);
    float sum = 0;
    std::memcpy(&sum, fate->answer.outputs[0].data().data(), sizeof(sum));
    return sum;
  }
  // The numbers of the deployments whose models are in memory.
  std::vector<int> InMemory() {
    std::vector<int> numbers;
    for (const ModelReport& report : models_->List()) {
      if (report.memory.total() > 0) numbers.push_back(static_cast<int>(report.version.number));
    }
    return numbers;
  }

  int awaited_ = 0;
  Mutex mutex_;
  CondVar changed_;
  int finished_ GUARDED_BY(mutex_) = 0;
};

TEST_F(ModelMemoryTest, WhatWasCalledLongestAgoMakesRoomAndStaysReady) {
  LoadOne(1);
  LoadOne(2);
  ASSERT_EQ(*CallAndAwait(1), 13);
  LoadOne(3);
  EXPECT_THAT(InMemory(), ElementsAre(1, 3));
  EXPECT_EQ(Await(kVersion2).state, State::kReady);
  EXPECT_EQ(*CallAndAwait(2), 23) << "its call brings it back";
  EXPECT_THAT(InMemory(), ElementsAre(2, 3));
  EXPECT_EQ(source_.downloads(), 3) << "from this machine's disk";
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_worker_model_reloads_total{deployment=\"" + Deployment(2) +
                        "\",model_version=\"" + kVersion2 + "\"} 1"));
}

TEST_F(ModelMemoryTest, CallsOfAModelThatIsNotInMemoryWaitForItTogether) {
  Start({.loaders = 1, .max_bytes = 2500});
  for (const int number : {1, 2, 3}) LoadOne(number);
  const int loads = runtime_.loads;
  runtime_.load_gate.Close();
  const auto first = Call(1);
  runtime_.load_gate.AwaitWaiting(1);
  const auto second = Call(1);
  EXPECT_EQ(first->finished + second->finished, 0);
  runtime_.load_gate.Open();
  AwaitFinished(2);
  EXPECT_TRUE(first->status.ok()) << first->status;
  EXPECT_TRUE(second->status.ok()) << second->status;
  LoadOne(4);  // behind whatever the loader still had to do
  EXPECT_EQ(runtime_.loads - loads, 2);
}

TEST_F(ModelMemoryTest, ACallWaitsForItsModelUntilItsDeadlineOnly) {
  for (const int number : {1, 2, 3}) LoadOne(number);
  runtime_.load_gate.Close();
  const auto call = Call(1, absl::Milliseconds(5));
  AwaitFinished(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(call->status)) << call->status;
}

TEST_F(ModelMemoryTest, NoMoreCallsWaitForAModelThanItsQueueTakes) {
  Start({.max_bytes = 1500});
  LoadOne(1, {.batching = {.queues = {QueuePolicy{.max_calls = 1}}}});
  LoadOne(2);
  runtime_.load_gate.Close();
  const auto first = Call(1);
  const auto second = Call(1);
  EXPECT_TRUE(absl::IsUnavailable(second->status)) << second->status;
  runtime_.load_gate.Open();
  AwaitFinished(2);
  EXPECT_TRUE(first->status.ok()) << first->status;
}

TEST_F(ModelMemoryTest, AModelInUseStaysAndAnotherThatFindsNoRoomIsToldWhy) {
  for (const int number : {1, 2, 3}) LoadOne(number);
  ASSERT_THAT(InMemory(), ElementsAre(2, 3));
  // One runs, one waits behind it.
  runtime_.run_gate.Close();
  const auto running = Call(2);
  runtime_.run_gate.AwaitWaiting(1);
  const auto waiting = Call(3);
  const auto refused = Call(1);
  AwaitFinished(1);
  EXPECT_TRUE(absl::IsUnavailable(refused->status)) << refused->status;
  EXPECT_THAT(std::string(refused->status.message()), HasSubstr("in use"));
  EXPECT_THAT(InMemory(), ElementsAre(2, 3));
  runtime_.run_gate.Open();
  AwaitFinished(3);
  EXPECT_TRUE(running->status.ok() && waiting->status.ok());
  awaited_ = 3;
  EXPECT_EQ(*CallAndAwait(1), 13) << "it is still ready";
}

// A GPU with room for two models of 1000 bytes, each with 100 of the machine's memory.
class DeviceMemoryTest : public ModelMemoryTest {
 protected:
  DeviceMemoryTest() {
    runtime_.on_device = true;
    Start(Options());
  }
  static LoadedModels::Options Options() {
    return {.max_bytes = 1250,
            .max_device_bytes = 2500,
            .on_device = true,
            .patience = absl::ZeroDuration()};
  }
};

TEST_F(DeviceMemoryTest, EachMemoryHasABoundOfItsOwn) {
  const ModelReport report = LoadOne(1);
  EXPECT_EQ(report.memory.host, 100);
  EXPECT_EQ(report.memory.device, 1000);
  LoadOne(2);
  EXPECT_THAT(InMemory(), ElementsAre(1, 2));
  EXPECT_EQ(models_->accounted_bytes(), 200) << "of this process";
  LoadOne(3);
  EXPECT_THAT(InMemory(), ElementsAre(2, 3)) << "a third does not fit on the device";
  EXPECT_EQ(*CallAndAwait(1), 13);
  EXPECT_THAT(InMemory(), ElementsAre(1, 3));
}

TEST_F(DeviceMemoryTest, OnlyWhatTakesOfAMemoryIsTakenOutToMakeRoomInIt) {
  runtime_.on_device = false;
  LoadOne(1);  // 1000 bytes of the machine's memory, and the oldest
  runtime_.on_device = true;
  for (const int number : {2, 3, 4}) LoadOne(number);
  EXPECT_THAT(InMemory(), ElementsAre(1, 3, 4));
  runtime_.on_device = false;
  LoadOne(5);
  EXPECT_THAT(InMemory(), ElementsAre(3, 4, 5)) << "the machine's memory is for one of these";
}

TEST_F(DeviceMemoryTest, ALoadThatCanFindNoRoomOnTheDeviceSaysSo) {
  LoadOne(1, {.pinned = true});
  LoadOne(2, {.pinned = true});
  EXPECT_EQ(LoadOne(3).error,
            "it takes 1000 bytes of the device's memory, and pinned models 2000 of the 2500 that "
            "models may take here");
}

TEST_F(ModelMemoryTest, APinnedModelStays) {
  LoadOne(1, {.pinned = true});
  LoadOne(2);
  LoadOne(3);
  EXPECT_THAT(InMemory(), ElementsAre(1, 3));
}

TEST_F(ModelMemoryTest, ALoadThatCanFindNoRoomFailsAndLeavesTheOthers) {
  LoadOne(1, {.pinned = true});
  LoadOne(2, {.pinned = true});
  const ModelReport report = LoadOne(3);
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_EQ(report.error,
            "it takes 1000 bytes, and pinned models 2000 of the 2500 that models may take here");
  EXPECT_THAT(InMemory(), ElementsAre(1, 2));
  EXPECT_EQ(*CallAndAwait(1), 13);
}

TEST_F(ModelMemoryTest, ALoadForACallThatFailsIsToldToItsCallersAndReported) {
  for (const int number : {1, 2, 3}) LoadOne(number);
  // From the disk and from the registry it comes spoilt.
  const std::string digest = source_.Add("10");
  source_.Spoil(digest, "11");
  std::filesystem::remove_all(dir_ / "blobs");
  const auto call = Call(1);
  AwaitFinished(1);
  EXPECT_TRUE(absl::IsUnavailable(call->status)) << call->status;
  EXPECT_THAT(std::string(call->status.message()), HasSubstr("digest"));
  EXPECT_EQ(Await(kVersion1).state, State::kFailed);
  EXPECT_THAT(Await(kVersion1).error, HasSubstr("digest"));
}

TEST_F(ModelMemoryTest, UnloadingAModelEndsTheCallsThatWaitForIt) {
  for (const int number : {1, 2, 3}) LoadOne(number);
  runtime_.load_gate.Close();
  const ModelHandle model = Find(1);
  const auto call = Call(1);
  runtime_.load_gate.AwaitWaiting(1);
  ASSERT_TRUE(models_->Unload(Deployment(1), kVersion1).ok());
  EXPECT_TRUE(absl::IsUnavailable(call->status)) << call->status;
  // One that had found the model before.
  auto late = std::make_shared<CallFate>();
  const float row[2] = {1, 2};
  const Tensor input =
      *Tensor::Make("x", DataType::kFp32, {1, 2},
                    Buffer::Borrow({reinterpret_cast<const char*>(row), sizeof(row)}), "x");
  EXPECT_FALSE(
      batcher_.Submit(*model->queue, std::make_unique<FakeCall>(late, TensorBatch{input})));
  models_->LoadAgain(model);
  EXPECT_TRUE(absl::IsUnavailable(late->status)) << late->status;
}

TEST_F(ModelMemoryTest, WhatNobodyCallsForLongLeavesMemoryToo) {
  Start({.max_idle = absl::Milliseconds(4)});
  LoadOne(1);
  LoadOne(2, {.pinned = true});
  while (InMemory() != std::vector<int>{2}) std::this_thread::yield();
  EXPECT_EQ(*CallAndAwait(1), 13);
}

TEST_F(LoadedModelsTest, MeasuresWhatIsLoaded) {
  LoadAndAwait(FakeVersion(source_, 1, "10"));
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_worker_model_loaded_bytes{deployment=\"" + std::string(kShoes) +
                        "\",model_version=\"" + kVersion1 + "\"} 1000"));
  ASSERT_TRUE(models_->Unload(kShoes, kVersion1).ok());
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_worker_model_loaded_bytes{deployment=\"" + std::string(kShoes) +
                        "\",model_version=\"" + kVersion1 + "\"} 0"));
}

}  // namespace
}  // namespace slipway::worker
