// slipway-trainer as a process: killed, stopped, given nonsense.

#include <sys/types.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/files/files.h"
#include "common/process/local_process_launcher.h"
#include "common/tensor/safetensors.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/spec/trainer_exit.h"
#include "tests/support/eventually.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::HasSubstr;

// Dropout, batch norm, momentum and clipping: all that carries state from step to step.
// One thread: with two, runs beside a loaded machine were once seen to differ.
constexpr char kSpec[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "idx", "train": {"inputs": "images", "targets": "labels"},
           "test_fraction": 0.1, "validation_fraction": 0.1, "scale": 255, "standardize": true},
  "architecture": {"type": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.2},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "adam", "learning_rate": 0.01},
  "schedule": {"type": "cosine"},
  "training": {"epochs": 2, "batch_size": 8, "seed": 5, "clip_norm": 1},
  "checkpoint": {"every_steps": 25},
  "resources": {"threads": 1}
})";

// What a step can carry over beside that: several batches a step, averages, the best weights.
constexpr char kEverything[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "idx", "train": {"inputs": "images", "targets": "labels"},
           "test_fraction": 0.1, "validation_fraction": 0.1, "scale": 255, "standardize": true},
  "architecture": {"type": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.2},
  "loss": {"type": "focal", "class_weights": [1, 2, 1, 2]},
  "optimizer": {"type": "adamw", "learning_rate": 0.01},
  "schedule": {"type": "one_cycle", "warmup_epochs": 0.5},
  "training": {"epochs": 6, "batch_size": 8, "seed": 5, "clip_value": 0.1, "accumulate": 3,
               "l1": 0.0001, "ema_decay": 0.9, "early_stopping": {"patience": 2}},
  "checkpoint": {"every_steps": 25},
  "resources": {"threads": 1}
})";

// Hidden tokens, and steps in bfloat16.
constexpr char kMasked[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "text", "train": {"inputs": "text"}, "test_fraction": 0.1,
           "validation_fraction": 0.1, "tokenizer": {"type": "character", "max_length": 16}},
  "objective": {"type": "masked_token"},
  "architecture": {"type": "transformer_encoder", "width": 16, "heads": 2, "layers": 1},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "adamw", "learning_rate": 0.01},
  "training": {"epochs": 3, "batch_size": 8, "seed": 5, "precision": "bfloat16"},
  "checkpoint": {"every_steps": 25},
  "resources": {"threads": 1}
})";

// On from the version that kSpec makes, by adapters and a new last layer, with a schedule that has
// a state.
constexpr char kTuning[] = R"({
  "model": "m", "dataset": "d", "base": {"version": "models/m/versions/1", "lora": {"rank": 2}},
  "data": {"format": "idx", "train": {"inputs": "images", "targets": "labels"},
           "test_fraction": 0.1, "validation_fraction": 0.1, "labels": ["a", "b", "c", "d", "e"]},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "adam", "learning_rate": 0.01},
  "schedule": {"type": "plateau", "patience": 0, "factor": 0.5},
  "training": {"epochs": 4, "batch_size": 8, "seed": 5, "ema_decay": 0.9},
  "checkpoint": {"every_steps": 25},
  "resources": {"threads": 1}
})";

// kSpec with these changes (a JSON merge patch).
std::string With(const std::string& changes) {
  nlohmann::json spec = nlohmann::json::parse(kSpec);
  spec.merge_patch(nlohmann::json::parse(changes));
  return spec.dump();
}

// All processes below `pid`.
std::vector<pid_t> ChildrenOf(int64_t pid) {
  std::vector<pid_t> children;
  std::error_code gone;
  for (const auto& thread :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), gone)) {
    std::ifstream file(thread.path() / "children");
    for (pid_t child; file >> child;) children.push_back(child);
  }
  return children;
}

// A process that is dead and not yet waited for counts as gone.
bool IsGone(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  return text.empty() || text.find(") Z ") != text.npos;
}

class TrainerProcessTest : public ::testing::Test {
 protected:
  TrainerProcessTest() {
    constexpr int kRows = 1600;
    std::string pixels;
    std::string labels;
    for (int row = 0; row < kRows; ++row) {
      const int label = row * 7 % 4;
      for (int p = 0; p < 256; ++p) {
        const int noise = (row * 17 + p * 13) % 60;
        pixels += static_cast<char>(p / 64 == label ? 150 + noise : noise);
      }
      labels += static_cast<char>(label);
    }
    std::filesystem::create_directory(folder_ / "data");
    WriteFile(folder_ / "data/images", Gzip(Idx({kRows, 16, 16}, pixels)));
    WriteFile(folder_ / "data/labels", Idx({kRows}, labels));
    std::string text;
    for (int i = 0; i < 1500; ++i) text += std::to_string(i * i % 97) + " and one\n";
    WriteFile(folder_ / "data/text", text);
  }

  // Starts the run `name`: its own checkpoints, its own output.
  std::unique_ptr<Process> Start(const std::string& name, const std::string& spec = kSpec,
                                 const std::vector<std::string>& more_args = {}) {
    WriteFile(folder_ / (name + ".json"),
              R"({"job":"tenants/t/jobs/j","attempt":1,"dataset":{"digest":"sha256:1"},)"
              R"("checkpoint_dir":")" +
                  folder_ / (name + "-checkpoints") + R"(","spec":)" + spec + "}");
    ProcessSpec process;
    process.program = Program("slipway-trainer");
    process.args = {"--attempt", folder_ / (name + ".json"),  "--data", folder_ / "data",
                    "--output",  folder_ / (name + "-output")};
    if (spec == kTuning) {
      process.args.insert(process.args.end(), {"--base", folder_ / "whole-output"});
    }
    process.args.insert(process.args.end(), more_args.begin(), more_args.end());
    process.log_file = folder_ / (name + ".log");
    return launcher_.Launch(process).value();
  }
  std::string Output(const std::string& name, const std::string& file) const {
    return folder_ / (name + "-output/" + file);
  }
  std::string Log(const std::string& name) const {
    return ReadFile(folder_ / (name + ".log")).value_or("");
  }
  double Metric(const std::string& name, const std::string& metric) const {
    const std::string result = ReadFile(Output(name, "result.json")).value();
    return nlohmann::json::parse(result)["metrics"][metric].get<double>();
  }
  int CheckpointsTold(const std::string& name) const {
    std::ifstream events(Output(name, "events.jsonl"));
    int count = 0;
    for (std::string line; std::getline(events, line);) {
      count += line.find("\"checkpoint\":{") != line.npos;
    }
    return count;
  }
  // Waits until the run has told of `count` checkpoints; false when it ended before.
  bool WaitForCheckpoints(Process& process, const std::string& name, int count) {
    while (CheckpointsTold(name) < count) {
      if (process.Wait(absl::Milliseconds(5)).ok()) return false;
    }
    return true;
  }
  // The weights of a run that nobody interrupts; made once for all tests.
  const std::string& ExpectedWeights(const std::string& spec = kSpec) {
    static std::map<std::string, std::string> weights;
    if (!weights.contains(spec)) {
      ExpectDone(*Start("whole", spec), "whole");
      weights[spec] = ReadFile(Output("whole", "model.safetensors")).value();
    }
    return weights[spec];
  }
  void ExpectDone(Process& process, const std::string& name) {
    const ProcessExit exit = process.Wait(absl::Seconds(100)).value();
    EXPECT_TRUE(exit.ok()) << exit.ToString() << "\n" << Log(name);
  }

  TempDir folder_;
  LocalProcessLauncher launcher_;
};

TEST_F(TrainerProcessTest, AKilledTrainerEndsWithTheSameWeightsAsOneThatWasNot) {
  const std::pair<const char*, int> runs[] = {
      {kSpec, 1}, {kSpec, 7}, {kEverything, 6}, {kMasked, 5}};
  for (const auto& [spec, checkpoints] : runs) {
    const std::string name = "killed-" + std::to_string(checkpoints);
    auto first = Start(name, spec);
    ASSERT_TRUE(WaitForCheckpoints(*first, name, checkpoints)) << Log(name);
    first->Kill();
    EXPECT_EQ(first->Wait(absl::Seconds(10))->signal, SIGKILL);
    ASSERT_FALSE(std::filesystem::exists(Output(name, "result.json")));
    ExpectDone(*Start(name, spec), name);
    EXPECT_EQ(ReadFile(Output(name, "model.safetensors")).value(), ExpectedWeights(spec));
    EXPECT_THAT(ReadFile(Output(name, "events.jsonl")).value(),
                HasSubstr("goes on from the checkpoint of step"));
  }
}

TEST_F(TrainerProcessTest, AKilledTrainerThatGoesOnFromAVersionEndsWithTheSameWeights) {
  ExpectDone(*Start("whole"), "whole");
  ExpectDone(*Start("tuned", kTuning), "tuned");
  auto first = Start("killed", kTuning);
  ASSERT_TRUE(WaitForCheckpoints(*first, "killed", 5)) << Log("killed");
  first->Kill();
  EXPECT_EQ(first->Wait(absl::Seconds(10))->signal, SIGKILL);
  ExpectDone(*Start("killed", kTuning), "killed");
  EXPECT_EQ(ReadFile(Output("killed", "model.safetensors")).value(),
            ReadFile(Output("tuned", "model.safetensors")).value());
  EXPECT_THAT(ReadFile(Output("killed", "events.jsonl")).value(),
              HasSubstr("the last layer is new, for 5 in place of 4"));
}

// SLIPWAY_KILLS of them (50), at moments that lie anywhere in a run: while it starts, between two
// checkpoints, within one, while it hands in its result.
TEST_F(TrainerProcessTest, KillsAtRandomMomentsChangeNoBit) {
  const char* const wanted = std::getenv("SLIPWAY_KILLS");
  const int kills = wanted == nullptr ? 50 : std::atoi(wanted);
  const absl::Duration begun = Clock::Real().Monotonic();
  ExpectDone(*Start("timed"), "timed");
  const double whole = absl::ToDoubleSeconds(Clock::Real().Monotonic() - begun);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> moment(0, whole);
  int runs = 0;
  for (int killed = 0; killed < kills || runs == 0;) {
    const std::string name = "run-" + std::to_string(runs);
    auto process = Start(name);
    if (killed < kills && !process->Wait(absl::Seconds(moment(random))).ok()) {
      process->Kill();
      ASSERT_TRUE(process->Wait(absl::Seconds(10)).ok());
      ++killed;
      continue;
    }
    ExpectDone(*process, name);
    ASSERT_EQ(ReadFile(Output(name, "model.safetensors")).value(), ExpectedWeights()) << name;
    ++runs;
  }
}

// ---- Several processes. ----

TEST_F(TrainerProcessTest, ProcessesThatShareEachBatchTrainAsOneDoes) {
  // Without what is a process's own: dropout and batch statistics. 180 rows a step: the last one of
  // an epoch has 36, uneven shares for four. Buckets in their order: the head has more than one.
  const std::string spec = R"({
      "architecture": {"dropout": 0, "batch_norm": false, "hidden": [512, 512]},
      "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
      "training": {"batch_size": 90, "accumulate": 2, "epochs": 1}, "resources": {"processes": )";
  std::map<int, SafetensorsFile> weights;
  std::map<int, double> losses;
  for (const int processes : {1, 2, 4}) {
    const std::string name = "by-" + std::to_string(processes);
    ExpectDone(*Start(name, With(spec + std::to_string(processes) + "}}")), name);
    weights.emplace(processes,
                    SafetensorsFile::Parse(
                        Buffer::Own(ReadFile(Output(name, "model.safetensors")).value()), name)
                        .value());
    losses[processes] = Metric(name, "loss");
  }
  for (const int processes : {2, 4}) {
    for (const Tensor& expected : weights.at(1).tensors()) {
      const Tensor* const actual = weights.at(processes).Find(expected.name());
      ASSERT_NE(actual, nullptr);
      const auto* const e = reinterpret_cast<const float*>(expected.data().data());
      const auto* const a = reinterpret_cast<const float*>(actual->data().data());
      float largest = 0;
      for (int64_t i = 0; i < expected.shape().Product(); ++i) {
        largest = std::max(largest, std::abs(e[i] - a[i]));
      }
      EXPECT_LT(largest, 1e-5) << expected.name() << ", " << processes << " processes";
    }
    EXPECT_NEAR(losses[processes], losses[1], 1e-5);
  }
}

TEST_F(TrainerProcessTest, AKilledGangEndsWithTheSameWeightsAsOneThatWasNot) {
  for (const int processes : {2, 4}) {
    const std::string spec = With(fmt::format(R"({{"training": {{"epochs": 1, "ema_decay": 0.9}},
                                                   "resources": {{"processes": {}}}}})",
                                              processes));
    const std::string whole = fmt::format("whole-{}", processes);
    ExpectDone(*Start(whole, spec), whole);
    // The last of the others, then the one that leads.
    for (const bool leader : {false, true}) {
      const std::string name = fmt::format("killed-{}-{}", processes, leader);
      auto first = Start(name, spec);
      ASSERT_TRUE(WaitForCheckpoints(*first, name, 2)) << Log(name);
      const std::vector<pid_t> others = ChildrenOf(first->pid());
      ASSERT_EQ(others.size(), static_cast<size_t>(processes - 1));
      const absl::Duration killed = Clock::Real().Monotonic();
      ASSERT_EQ(::kill(leader ? static_cast<pid_t>(first->pid()) : others.back(), SIGKILL), 0);
      // At once: nothing waits for its patience, two minutes, to run out.
      const auto exit = first->Wait(absl::Seconds(30));
      ASSERT_TRUE(exit.ok()) << exit.status();
      EXPECT_FALSE(exit->ok());
      EXPECT_TRUE(Eventually([&] { return std::all_of(others.begin(), others.end(), IsGone); }));
      EXPECT_LT(Clock::Real().Monotonic() - killed, absl::Seconds(30));
      EXPECT_FALSE(std::filesystem::exists(Output(name, "result.json")));

      ExpectDone(*Start(name, spec), name);
      EXPECT_THAT(ReadFile(Output(name, "events.jsonl")).value(),
                  HasSubstr("goes on from the checkpoint of step"));
      EXPECT_EQ(ReadFile(Output(name, "model.safetensors")).value(),
                ReadFile(Output(whole, "model.safetensors")).value());
    }
  }
}

TEST_F(TrainerProcessTest, AProcessThatHangsEndsTheAttemptWhenThePatienceIsOver) {
  const std::string spec = With(R"({"training": {"epochs": 1000}, "resources": {"processes": 2}})");
  auto process = Start("hung", spec, {"--patience", "2"});
  ASSERT_TRUE(WaitForCheckpoints(*process, "hung", 1)) << Log("hung");
  ASSERT_EQ(::kill(ChildrenOf(process->pid()).at(0), SIGSTOP), 0);
  const auto exit = process->Wait(absl::Seconds(60));
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_FALSE(exit->ok());
  EXPECT_THAT(ReadFile(Output("hung", "failure.json")).value(),
              HasSubstr("a process of the job was lost"));
}

TEST_F(TrainerProcessTest, AJobGoesOnWithAnotherNumberOfProcesses) {
  const auto spec = [](int processes) {
    return With(fmt::format(R"({{"resources": {{"processes": {}}}}})", processes));
  };
  ExpectDone(*Start("undisturbed", spec(2)), "undisturbed");
  auto process = Start("changed", spec(2));
  ASSERT_TRUE(WaitForCheckpoints(*process, "changed", 3)) << Log("changed");
  process->Kill();
  ASSERT_TRUE(process->Wait(absl::Seconds(10)).ok());
  process = Start("changed", spec(4));
  ASSERT_TRUE(WaitForCheckpoints(*process, "changed", 6)) << Log("changed");
  process->Kill();
  ASSERT_TRUE(process->Wait(absl::Seconds(10)).ok());
  ExpectDone(*Start("changed", spec(1)), "changed");
  const std::string events = ReadFile(Output("changed", "events.jsonl")).value();
  const std::string resumed = "goes on from the checkpoint of step";
  const size_t once = events.find(resumed);
  ASSERT_NE(once, events.npos);
  EXPECT_NE(events.find(resumed, once + 1), events.npos);
  EXPECT_NEAR(Metric("changed", "accuracy"), Metric("undisturbed", "accuracy"), 0.005);
}

TEST_F(TrainerProcessTest, BadDataOfAGangEndsWithAVerdict) {
  WriteFile(folder_ / "data/labels", "nonsense");
  const ProcessExit exit =
      Start("bad", With(R"({"resources": {"processes": 2}})"))->Wait(absl::Seconds(60)).value();
  EXPECT_EQ(exit.code, EXIT_FAILURE);
  EXPECT_THAT(ReadFile(Output("bad", "failure.json")).value(),
              HasSubstr("spec.data.train.targets: labels is no IDX file"));
}

TEST_F(TrainerProcessTest, SigtermWritesACheckpointAndSaysSo) {
  auto first = Start("stopped");
  ASSERT_TRUE(WaitForCheckpoints(*first, "stopped", 2)) << Log("stopped");
  ASSERT_TRUE(first->Signal(SIGTERM).ok());
  EXPECT_EQ(first->Wait(absl::Seconds(30))->code, training::kTrainerInterrupted) << Log("stopped");
  EXPECT_FALSE(std::filesystem::exists(Output("stopped", "result.json")));
  ExpectDone(*Start("stopped"), "stopped");
  EXPECT_EQ(ReadFile(Output("stopped", "model.safetensors")).value(), ExpectedWeights());
}

TEST_F(TrainerProcessTest, BadDataEndsWithAVerdict) {
  WriteFile(folder_ / "data/labels", "nonsense");
  const ProcessExit exit = Start("bad")->Wait(absl::Seconds(60)).value();
  EXPECT_EQ(exit.code, EXIT_FAILURE);
  const std::string failure = ReadFile(Output("bad", "failure.json")).value();
  EXPECT_THAT(failure, HasSubstr("spec.data.train.targets: labels is no IDX file"));
  EXPECT_THAT(failure, ::testing::Not(HasSubstr("\"retryable\":true")));
}

TEST_F(TrainerProcessTest, ABadSpecEndsWithAVerdictThatNamesEachField) {
  std::string spec = kSpec;
  spec.replace(spec.find("\"epochs\": 2"), 11, "\"epochs\": 0");
  spec.replace(spec.find("\"learning_rate\": 0.01"), 21, "\"learning_rate\": -1");
  EXPECT_EQ(Start("bad", spec)->Wait(absl::Seconds(60))->code, EXIT_FAILURE);
  const std::string failure = ReadFile(Output("bad", "failure.json")).value();
  EXPECT_THAT(failure, HasSubstr("spec.training.epochs: must be"));
  EXPECT_THAT(failure, HasSubstr("spec.optimizer.learning_rate: must be"));
}

TEST_F(TrainerProcessTest, AnAttemptThatCannotBeReadIsRefused) {
  EXPECT_EQ(Start("bad", "{\"epochz\": 1}")->Wait(absl::Seconds(60))->code,
            training::kTrainerBadAttempt);
  EXPECT_EQ(Start("bad", "{")->Wait(absl::Seconds(60))->code, training::kTrainerBadAttempt);
  EXPECT_THAT(Log("bad"), HasSubstr("attempt_refused"));
}

}  // namespace
}  // namespace slipway::trainer
