// What fine-tuning is for: a network that has seen other clothes, or has read other texts, learns
// from a few rows what one that starts from nothing does not.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/fields/json.h"
#include "common/files/files.h"
#include "common/idx/gzip_reader.h"
#include "common/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/data/random.h"
#include "services/training/trainer/torch_learner.h"
#include "services/training/trainer/training_run.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"
#include "tests/unit/services/training/trainer/fake_attempt.h"

namespace slipway::trainer {
namespace {

constexpr char kSource[] = "/usr/share/datasets/fashion-mnist/";
constexpr size_t kPixels = 28 * 28;

class FineTuningTest : public ::testing::Test {
 protected:
  // What the run scores on its test part; its files are `stored` then.
  double Train(const std::string& name, const std::string& data, const training::v1::JobSpec& job) {
    FakeAttemptHost host(folder_ / data);
    host.base_folder = folder_ / "base";
    TrainingRunOptions options;
    options.spec = training::ParseSpec(job).value();
    options.checkpoint_dir = folder_ / name;
    const auto outcome = RunTraining(
        options, host,
        [&](nn::Network network) {
          return MakeTorchLearner(std::move(network), options.spec.loss, options.spec.optimizer,
                                  {.threads = 1, .seed = 1});
        },
        Clock::Real());
    EXPECT_TRUE(outcome.ok()) << name << ": " << outcome.status();
    if (!outcome.ok()) return 0;
    stored_ = host.stored;
    return host.result->metrics().at("accuracy");
  }

  void TakeAsBase() {
    std::filesystem::create_directory(folder_ / "base");
    for (const char* file : {"architecture.json", "model.safetensors"}) {
      WriteFile(folder_ / (std::string("base/") + file), stored_.at(file));
    }
  }

  TempDir folder_;
  std::map<std::string, std::string> stored_;
};

class PictureFineTuningTest : public FineTuningTest {
 protected:
  PictureFineTuningTest() {
    // Less than the examples have, for the time it takes.
    Write("first/train", "train", 0, 1500);
    Write("first/test", "t10k", 0, 100);
    Write("second/train", "train", 5, 20);
    Write("second/test", "t10k", 5, 200);
  }

  static std::string Unpack(const std::string& file) {
    return GzipReader::Open(kSource + file, file)->ReadAll(uint64_t{1} << 30).value();
  }

  // The first `rows` pictures of each of five classes.
  void Write(const std::string& name, const std::string& part, int first_class, int rows) {
    const std::string pictures = Unpack(part + "-images-idx3-ubyte.gz").substr(16);
    const std::string classes = Unpack(part + "-labels-idx1-ubyte.gz").substr(8);
    std::string pixels;
    std::string labels;
    std::map<int, int> taken;
    for (size_t i = 0; i < classes.size(); ++i) {
      const int label = classes[i] - first_class;
      if (label < 0 || label >= 5 || ++taken[label] > rows) continue;
      pixels.append(pictures, i * kPixels, kPixels);
      labels += static_cast<char>(label);
    }
    std::filesystem::create_directories(folder_ / name.substr(0, name.find('/')));
    const auto count = static_cast<uint32_t>(labels.size());
    WriteFile(folder_ / (name + "-images"), Idx({count, 28, 28}, pixels));
    WriteFile(folder_ / (name + "-labels"), Idx({count}, labels));
  }

  static training::v1::JobSpec Example(const std::string& name) {
    const auto object = ParseYaml(ReadFile(SourceFile("examples/" + name)).value(), "spec").value();
    training::v1::JobSpec job;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(object.dump(), &job).ok());
    job.mutable_resources()->set_threads(1);
    return job;
  }
};

TEST_F(PictureFineTuningTest, BeatsTrainingFromScratchWhereRowsAreFew) {
  const training::v1::JobSpec half = Example("fashion-mnist-half.yaml");
  EXPECT_GT(Train("half", "first", half), 0.8);
  TakeAsBase();
  const training::v1::JobSpec tuned = Example("fashion-mnist-fine-tuned.yaml");

  training::v1::JobSpec scratch = tuned;
  scratch.clear_base();
  *scratch.mutable_architecture() = half.architecture();
  scratch.mutable_data()->set_scale(255);
  scratch.mutable_data()->set_standardize(true);
  const double without = Train("scratch", "second", scratch);
  const double with = Train("tuned", "second", tuned);
  EXPECT_GT(with, without);
  RecordProperty("from_scratch", std::to_string(without));
  RecordProperty("fine_tuned", std::to_string(with));
}

// Texts of eight words of the sea (s0 to s15) or of the wood (w0 to w15).
class TextFineTuningTest : public FineTuningTest {
 protected:
  TextFineTuningTest() {
    std::string texts;
    for (int i = 0; i < 1500; ++i) texts += Text(i % 2, 0, 16) + "\n";
    std::filesystem::create_directory(folder_ / "data");
    WriteFile(folder_ / "data/texts.txt", texts);
    // The words of the test part stand in no row that has a label.
    WriteFile(folder_ / "data/train.csv", Table(16, 0, 4));
    WriteFile(folder_ / "data/test.csv", Table(200, 4, 16));
  }

  std::string Text(int topic, int first, int end) {
    std::string text;
    for (int i = 0; i < 8; ++i) {
      const auto word = static_cast<int>(random_.Below(static_cast<uint64_t>(end - first))) + first;
      text += (topic == 0 ? "s" : "w") + std::to_string(word) + " ";
    }
    return text;
  }
  std::string Table(int rows, int first, int end) {
    std::string table = "text,topic\n";
    for (int i = 0; i < rows; ++i) {
      table += Text(i % 2, first, end) + (i % 2 == 0 ? ",sea\n" : ",wood\n");
    }
    return table;
  }
  static training::v1::JobSpec Parse(const std::string& spec) {
    training::v1::JobSpec job;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(spec, &job).ok());
    return job;
  }

  Random random_{1, 0};
};

TEST_F(TextFineTuningTest, KnowsWordsThatItHasReadButNeverSeenALabelOf) {
  const std::string architecture = R"({"type": "transformer_encoder", "width": 16, "layers": 1,
                                       "heads": 2, "feed_forward": 32, "dropout": 0})";
  Train("masked", "data",
        Parse(R"({
    "model": "m", "dataset": "d",
    "data": {"format": "text", "train": {"inputs": "texts.txt"}, "test_fraction": 0.1,
             "tokenizer": {"type": "word", "max_length": 8}},
    "objective": {"type": "masked_token"},
    "architecture": )" +
              architecture + R"(,
    "loss": {"type": "cross_entropy"},
    "optimizer": {"type": "adam", "learning_rate": 0.005},
    "training": {"epochs": 15, "batch_size": 16, "seed": 5}
  })"));
  TakeAsBase();
  const training::v1::JobSpec tuned = Parse(R"({
    "model": "m", "dataset": "d", "base": {"version": "models/m/versions/1"},
    "data": {"format": "csv", "train": {"inputs": "train.csv"}, "test": {"inputs": "test.csv"},
             "target_column": "topic", "columns": [
               {"name": "text", "kind": "text", "tokenizer": {"type": "word", "max_length": 8}}]},
    "loss": {"type": "cross_entropy"},
    "optimizer": {"type": "adam", "learning_rate": 0.002},
    "training": {"epochs": 20, "batch_size": 8, "seed": 5}
  })");
  training::v1::JobSpec scratch = tuned;
  scratch.clear_base();
  scratch.MergeFrom(Parse(R"({"architecture": )" + architecture + "}"));
  EXPECT_LT(Train("scratch", "data", scratch), 0.7);
  EXPECT_GT(Train("tuned", "data", tuned), 0.95);
}

}  // namespace
}  // namespace slipway::trainer
