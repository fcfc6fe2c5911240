// Texts: what the real trainer made of them, served by the real runtime, scores on the raw texts of
// the test part what the trainer said that it scores.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/raw_rows_runtime.h"
#include "tests/integration/services/inference/train_here.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

class TextServingTest : public ::testing::Test {
 protected:
  TextServingTest() { std::filesystem::create_directory(folder_ / "data"); }

  // What a version that is trained by `spec` answers to texts, row by row.
  void TrainAndAsk(const std::string& spec, const std::vector<std::string>& texts,
                   std::vector<float>& answers) {
    ASSERT_NO_FATAL_FAILURE(TrainHere(folder_, spec, source_));
    ASSERT_NO_FATAL_FAILURE(Ask(texts, answers));
  }
  // The same of the version that was trained last.
  void Ask(const std::vector<std::string>& texts, std::vector<float>& answers) {
    const auto openvino = MakeOpenVinoRuntime({.staging_dir = folder_ / "staging"}).value();
    RawRowsRuntime runtime(*openvino);
    const auto model = runtime.Load(source_);
    ASSERT_TRUE(model.ok()) << model.status();
    const auto answer =
        (*model)->Run({Tensor::Make("texts", DataType::kBytes, {std::ssize(texts), 1},
                                    Buffer::Own(EncodeTexts(texts)), "t")
                           .value()},
                      absl::InfiniteFuture());
    ASSERT_TRUE(answer.ok()) << answer.status();
    answers.resize(static_cast<size_t>((*answer)[0].element_count()));
    std::memcpy(answers.data(), (*answer)[0].data().data(), answers.size() * sizeof(float));
  }
  nlohmann::json Metrics() const {
    return nlohmann::json::parse(
        ReadFile(folder_ / "output/about/evaluation.json").value())["metrics"];
  }

  const TempDir folder_;
  ModelSource source_;
};

// A text is "good" where "not" is not in front of its last word.
std::vector<std::pair<std::string, bool>> Reviews(int count, int seed) {
  const char* words[] = {"a", "film", "with", "long", "quiet", "scenes", "and", "music"};
  std::vector<std::pair<std::string, bool>> reviews;
  for (int i = 0; i < count; ++i) {
    const int number = (i * 37 + seed) * 11 % 9973;
    std::string text;
    for (int w = 0; w < number % 11; ++w) text += std::string(words[(number + w * w) % 8]) + " ";
    const bool good = number % 3 != 0;
    if (!good) text += "Not ";
    if (number % 19 == 0) text += "unheard ";  // some in the test part only
    reviews.emplace_back(text + "fine", number % 23 == 0 ? !good : good);
  }
  return reviews;
}

TEST_F(TextServingTest, TextsAreToldApartAsTheTrainerSaid) {
  const auto write = [&](const char* name, const std::vector<std::pair<std::string, bool>>& rows) {
    std::string table = "id,review,verdict\n";
    for (size_t i = 0; i < rows.size(); ++i) {
      table += std::to_string(i) + "," + rows[i].first + (rows[i].second ? ",good\n" : ",poor\n");
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ / (std::string("data/") + name), table).ok());
  };
  const auto test = Reviews(200, 5);
  ASSERT_NO_FATAL_FAILURE(write("train.csv", Reviews(600, 0)));
  ASSERT_NO_FATAL_FAILURE(write("test.csv", test));
  std::vector<std::string> texts;
  for (const auto& [text, good] : test) texts.push_back(text);
  for (const std::string architecture :
       {R"({"type": "lstm", "hidden": 16, "embedding": 16, "bidirectional": true})",
        R"({"type": "transformer_encoder", "width": 16, "feed_forward": 32})"}) {
    SCOPED_TRACE(architecture);
    std::vector<float> answers;
    ASSERT_NO_FATAL_FAILURE(TrainAndAsk(R"({
      "model": "m", "dataset": "d",
      "data": {"format": "csv", "train": {"inputs": "train.csv"}, "test": {"inputs": "test.csv"},
               "target_column": "verdict", "columns": [
        {"name": "review", "kind": "text",
         "tokenizer": {"type": "word", "lowercase": true, "max_length": 14}},
        {"name": "*", "kind": "ignore"}]},
      "architecture": )" + architecture + R"(,
      "loss": {"type": "cross_entropy"},
      "optimizer": {"type": "adam", "learning_rate": 0.01},
      "training": {"epochs": 6, "batch_size": 16, "seed": 5},
      "resources": {"threads": 1}
    })",
                                        texts, answers));
    double right = 0;
    double log_loss = 0;
    for (size_t i = 0; i < test.size(); ++i) {
      const bool good = test[i].second;  // "good" is the first class
      right += (answers[2 * i] > answers[2 * i + 1]) == good;
      log_loss -= std::log(answers[2 * i + (good ? 0 : 1)]);
    }
    const auto count = static_cast<double>(test.size());
    const nlohmann::json metrics = Metrics();
    EXPECT_EQ(right / count, metrics["accuracy"].get<double>());
    EXPECT_NEAR(log_loss / count, metrics["log_loss"].get<double>(), 1e-5);
    EXPECT_GT(metrics["accuracy"].get<double>(), 0.85) << "it learnt nothing";
    EXPECT_LT(metrics["accuracy"].get<double>(), 1) << "nothing that could differ";
    std::filesystem::remove_all(folder_ / "checkpoints");
    std::filesystem::remove_all(folder_ / "output");
  }
}

TEST_F(TextServingTest, WhatComesNextIsAsLikelyAsTheTrainerSaid) {
  constexpr size_t kLength = 16;
  const auto lines = [](int from, int to) {
    std::string text;
    for (int i = from; i < to; ++i) text += std::to_string(i * i % 97) + " and one\n";
    return text;
  };
  const std::string train = lines(0, 600);
  const std::string test = lines(600, 640);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "data/train.txt", train).ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ / "data/test.txt", test).ok());
  // The rows of the test part, up to each of their tokens.
  std::vector<std::string> texts;
  std::string next;
  for (size_t first = 0; first + kLength < test.size(); first += kLength) {
    for (size_t size = 1; size <= kLength; ++size) {
      texts.push_back(test.substr(first, size));
      next += test[first + size];
    }
  }
  for (const std::string architecture :
       {R"({"type": "gru", "hidden": 24, "embedding": 16})",
        R"({"type": "transformer_decoder", "width": 16, "feed_forward": 32})"}) {
    SCOPED_TRACE(architecture);
    std::vector<float> answers;
    ASSERT_NO_FATAL_FAILURE(TrainAndAsk(R"({
      "model": "m", "dataset": "d",
      "data": {"format": "text", "train": {"inputs": "train.txt"}, "test": {"inputs": "test.txt"},
               "tokenizer": {"type": "byte", "max_length": 16}},
      "architecture": )" + architecture + R"(,
      "loss": {"type": "cross_entropy"},
      "optimizer": {"type": "adam", "learning_rate": 0.01},
      "training": {"epochs": 3, "batch_size": 16, "seed": 5},
      "resources": {"threads": 1}
    })",
                                        texts, answers));
    const size_t tokens = answers.size() / texts.size();
    ASSERT_EQ(tokens, 258u);
    double right = 0;
    double log_loss = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      const float* const row = answers.data() + i * tokens;
      const auto target = static_cast<size_t>(2 + static_cast<unsigned char>(next[i]));
      right += std::max_element(row, row + tokens) == row + target;
      log_loss -= std::log(row[target]);
    }
    const auto count = static_cast<double>(texts.size());
    const nlohmann::json metrics = Metrics();
    EXPECT_NEAR(right / count, metrics["accuracy"].get<double>(), 1e-9);
    EXPECT_NEAR(log_loss / count, metrics["log_loss"].get<double>(), 1e-4);
    EXPECT_NEAR(std::exp(log_loss / count), metrics["perplexity"].get<double>(), 1e-3);
    EXPECT_LT(metrics["perplexity"].get<double>(), 8) << "it learnt nothing";
    std::filesystem::remove_all(folder_ / "checkpoints");
    std::filesystem::remove_all(folder_ / "output");
  }
}

TEST_F(TextServingTest, AnEmbeddingIsThatOfItsTextWhateverStandsBesideIt) {
  const char* sea[] = {"ship", "wave", "sail", "harbour"};
  const char* wood[] = {"tree", "deer", "moss", "path"};
  std::mt19937 random(1);
  // Of six words and an end, as a row has room for.
  const auto lines = [&](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      const auto& words = i % 2 == 0 ? sea : wood;
      for (int w = 0; w < 6; ++w) text += std::string(words[random() % 4]) + " ";
      text += "end\n";
    }
    return text;
  };
  ASSERT_TRUE(WriteFileAtomically(folder_ / "data/train.txt", lines(900)).ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ / "data/test.txt", lines(100)).ok());
  const std::vector<std::string> texts = {"ship wave sail",
                                          "tree",
                                          "",
                                          "harbour ship",
                                          "moss deer path tree deer moss",
                                          "a word that it has never seen",
                                          "tree tree tree tree tree tree tree tree tree tree"};
  std::vector<float> answers;
  ASSERT_NO_FATAL_FAILURE(TrainAndAsk(R"({
    "model": "m", "dataset": "d",
    "data": {"format": "text", "train": {"inputs": "train.txt"}, "test": {"inputs": "test.txt"},
             "tokenizer": {"type": "word", "max_length": 7}},
    "objective": {"type": "masked_token"},
    "architecture": {"type": "transformer_encoder", "width": 16, "feed_forward": 32, "heads": 2},
    "loss": {"type": "cross_entropy"},
    "optimizer": {"type": "adam", "learning_rate": 0.005},
    "training": {"epochs": 12, "batch_size": 16, "seed": 5},
    "resources": {"threads": 1}
  })",
                                      texts, answers));
  // Of nine words those around one leave four, or the line's end.
  EXPECT_LT(Metrics()["perplexity"].get<double>(), 4.5) << "it learnt nothing";
  constexpr size_t kWidth = 16;
  ASSERT_EQ(answers.size(), texts.size() * kWidth);
  const auto near = [&](size_t a, size_t b) {
    double dot = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < kWidth; ++i) {
      const double x = answers[a * kWidth + i];
      const double y = answers[b * kWidth + i];
      dot += x * y;
      aa += x * x;
      bb += y * y;
    }
    return dot / std::sqrt(aa * bb);
  };
  EXPECT_GT(near(0, 3), near(0, 4) + 0.3) << "what is alike is near";
  EXPECT_GT(near(1, 4), near(1, 3) + 0.3);
  EXPECT_TRUE(std::isnan(answers[2 * kWidth])) << "there is no text";
  EXPECT_TRUE(std::isfinite(answers[5 * kWidth]));

  std::vector<std::string> alone = {texts[1]};
  std::vector<float> again;
  ASSERT_NO_FATAL_FAILURE(Ask(alone, again));
  for (size_t i = 0; i < kWidth; ++i) EXPECT_NEAR(again[i], answers[kWidth + i], 1e-5);
}

}  // namespace
}  // namespace slipway::worker
