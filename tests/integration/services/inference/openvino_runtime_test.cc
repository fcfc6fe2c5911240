// The openvino runtime on real files: what other frameworks wrote answers as they do, our own
// architectures answer as the torch runtime does, and what is broken is refused by name.

#include "services/inference/openvino/openvino_runtime.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "common/onnx/export.h"
#include "common/tensor/safetensors.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "onnx/onnx.pb.h"
#include "services/inference/openvino/staged_files.h"
#include "services/inference/signature.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/support/places.h"
#include "tests/support/serving/test_artifact.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using Model = std::shared_ptr<const LoadedModel>;

class OpenVinoRuntimeTest : public ::testing::Test {
 protected:
  static constexpr int kInstances = 2;

  OpenVinoRuntimeTest()
      : runtime_(MakeOpenVinoRuntime({.instances = kInstances, .staging_dir = dir_ / "staging"})
                     .value()) {}

  // The files of a folder under their paths in it.
  static ModelFiles FilesOf(const fs::path& folder) {
    ModelFiles files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      files[fs::relative(entry.path(), folder)] = entry.path();
    }
    return files;
  }
  static fs::path Fixture(const std::string& name) {
    return SourceFile("tests/fixtures/models/" + name);
  }

  // Our own format, as files.
  ModelSource Write(const TestArtifact& artifact) {
    const std::string folder = dir_ / ("own" + std::to_string(++written_));
    fs::create_directories(folder);
    EXPECT_TRUE(WriteFileAtomically(folder + "/architecture.json", artifact.description).ok());
    EXPECT_TRUE(WriteFileAtomically(folder + "/model.safetensors", artifact.weights).ok());
    return {.format = "slipway", .files = FilesOf(folder)};
  }

  std::string ErrorOf(const ModelSource& source, absl::StatusCode code) {
    const auto model = runtime_->Load(source);
    EXPECT_EQ(model.status().code(), code) << model.status();
    EXPECT_THAT(LeftBehind(), IsEmpty());
    return std::string(model.status().message());
  }
  std::vector<std::string> LeftBehind() const {
    std::vector<std::string> names;
    if (!fs::exists(dir_ / "staging")) return names;
    for (const auto& entry : fs::directory_iterator(dir_ / "staging")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const TempDir dir_;
  int written_ = 0;
  const std::unique_ptr<ModelRuntime> runtime_;
};

template <class T>
std::vector<T> ValuesOf(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.element_count()));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(T));
  return values;
}

double LargestDifference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  const auto x = ValuesOf<float>(a);
  const auto y = ValuesOf<float>(b);
  double largest = 0;
  for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
    EXPECT_TRUE(std::isfinite(x[i]) && std::isfinite(y[i]));
    largest = std::max(largest, static_cast<double>(std::abs(x[i] - y[i])));
  }
  return largest;
}

// The first `rows` of a tensor.
Tensor Head(const Tensor& tensor, int64_t rows) {
  Shape shape = tensor.shape();
  const size_t row = tensor.data().size() / static_cast<size_t>(shape[0]);
  shape[0] = rows;
  return Tensor::Make(tensor.name(), tensor.dtype(), shape,
                      tensor.data().Slice(0, row * static_cast<size_t>(rows)), "head")
      .value();
}

// ---- What other frameworks wrote.

struct Foreign {
  std::string format;
  Signature signature;
};

// A failed test says which by its name.
void PrintTo(const Foreign& foreign, std::ostream* out) { *out << foreign.format; }

std::vector<Foreign> AllForeign() {
  const TensorSpec picture = {"picture", DataType::kFp32, {-1, 8, 8}};
  const TensorSpec channels_first = {"picture", DataType::kFp32, {-1, 1, 8, 8}};
  const TensorSpec probabilities = {"probabilities", DataType::kFp32, {-1, 10}};
  const TensorSpec digit = {"digit", DataType::kInt64, {-1}};
  // Paddle names an output after the operator that made it.
  const TensorSpec softmax = {"softmax_0.tmp_0", DataType::kFp32, {-1, 10}};
  return {{"onnx", {{picture}, {probabilities, digit}}},
          {"tensorflow", {{picture}, {probabilities}}},
          {"paddle", {{channels_first}, {softmax}}}};
}

class ForeignModelTest : public OpenVinoRuntimeTest, public ::testing::WithParamInterface<Foreign> {
 protected:
  ModelSource Source() const {
    ModelFiles files = FilesOf(Fixture(GetParam().format));
    files.erase("samples.safetensors");
    files.erase("answers.safetensors");
    return {.format = GetParam().format, .files = std::move(files)};
  }
  std::vector<Tensor> Read(const std::string& name) const {
    return SafetensorsFile::Open(Fixture(GetParam().format) / name, SafetensorsFile::Access::kRead)
        .value()
        .tensors();
  }
};

INSTANTIATE_TEST_SUITE_P(AllFormats, ForeignModelTest, ::testing::ValuesIn(AllForeign()),
                         [](const auto& info) { return info.param.format; });

TEST_P(ForeignModelTest, AnswersAsItsOwnFrameworkDoes) {
  const auto model = runtime_->Load(Source());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->platform(), "slipway_openvino");
  EXPECT_EQ((*model)->signature().inputs, GetParam().signature.inputs);
  EXPECT_EQ((*model)->signature().outputs, GetParam().signature.outputs);
  EXPECT_GT((*model)->memory_bytes(), 0);
  EXPECT_THAT(LeftBehind(), IsEmpty());

  const Tensor sample = Read("samples.safetensors")[0];
  for (const int64_t rows : {1, 3, 16}) {
    const auto outputs = (*model)->Run({Head(sample, rows)}, absl::InfiniteFuture());
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    for (const Tensor& answer : Read("answers.safetensors")) {
      const Tensor expected = Head(answer, rows);
      const bool only = GetParam().signature.outputs.size() == 1;
      for (const Tensor& output : *outputs) {
        if (!only && output.name() != expected.name()) continue;
        if (output.dtype() == DataType::kInt64) {
          EXPECT_EQ(ValuesOf<int64_t>(output), ValuesOf<int64_t>(expected));
        } else {
          EXPECT_LT(LargestDifference(output, expected), 1e-5);
        }
      }
    }
  }
}

TEST_P(ForeignModelTest, ABrokenFileIsRefusedByName) {
  const fs::path folder = dir_ / "broken";
  for (const auto& [name, path] : Source().files) {
    // Each file in turn: cut in half, and other bytes.
    for (const bool cut : {true, false}) {
      ModelSource source = Source();
      std::string bytes = ReadFile(path).value();
      if (cut) bytes.resize(bytes.size() / 2);
      if (!cut) bytes = std::string(bytes.size(), 'x');
      const std::string broken = folder / name;
      fs::create_directories(fs::path(broken).parent_path());
      ASSERT_TRUE(WriteFileAtomically(broken, bytes).ok());
      source.files[name] = broken;
      const auto model = runtime_->Load(source);
      EXPECT_TRUE(absl::IsInvalidArgument(model.status()))
          << name << (cut ? " cut: " : ": ") << model.status();
      EXPECT_THAT(std::string(model.status().message()), HasSubstr(": ")) << name;
      EXPECT_THAT(std::string(model.status().message()), ::testing::Not(HasSubstr("staging")));
    }
  }
  EXPECT_THAT(LeftBehind(), IsEmpty());
}

TEST_P(ForeignModelTest, AMissingFileIsRefusedByName) {
  for (const auto& [name, path] : Source().files) {
    ModelSource source = Source();
    source.files.erase(name);
    const auto model = runtime_->Load(source);
    EXPECT_TRUE(absl::IsInvalidArgument(model.status())) << name << ": " << model.status();
  }
}

TEST_P(ForeignModelTest, InBfloat16ItSaysWhatThatChanged) {
  ModelSource source = Source();
  source.settings.precision = RuntimeSettings::Precision::kBfloat16;
  const auto without = runtime_->Load(source);
  EXPECT_TRUE(absl::IsFailedPrecondition(without.status())) << without.status();
  if (without.status().message().find("CPU") != std::string::npos) {
    GTEST_SKIP() << without.status();
  }
  EXPECT_THAT(std::string(without.status().message()), HasSubstr("samples.safetensors"));

  source.files["samples.safetensors"] = Fixture(GetParam().format) / "samples.safetensors";
  const auto model = runtime_->Load(source);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto check = (*model)->precision_check();
  ASSERT_TRUE(check.has_value());
  EXPECT_EQ(check->samples, 16);
  // It is another arithmetic, and a good one still.
  EXPECT_GT(check->largest_difference, 1e-6);
  EXPECT_LT(check->largest_difference, 0.1);
  EXPECT_LE(check->changed_labels, 1);
  const TensorSpec& output = (*model)->signature().outputs[0];
  EXPECT_EQ(output.dtype, DataType::kFp32);
}

// ---- Our own architectures.

struct Own {
  std::string name;
  std::string architecture;
  TensorSpec input;
  nn::Task task = nn::Task::kClassification;
  bool preprocessed = false;
};

void PrintTo(const Own& own, std::ostream* out) { *out << own.architecture; }

std::vector<Own> AllOwn() {
  const TensorSpec row = {"x", DataType::kFp32, {-1, 12}};
  const TensorSpec picture = {"image", DataType::kUint8, {-1, 28, 28}};
  const TensorSpec sequence = {"x", DataType::kFp32, {-1, 9, 6}};
  const TensorSpec ids = {"ids", DataType::kUint8, {-1, 12}};  // some past the vocabulary
  const TensorSpec colour = {"image", DataType::kFp32, {-1, 3, 17, 19}};
  std::vector<Own> all = {
      {"mlp", R"({"type":"mlp","hidden":[64,32]})", row},
      {"mlp_of_no_layer", R"({"type":"mlp","hidden":[]})", row},
      {"mlp_normalised", R"({"type":"mlp","hidden":[16,16],"batch_norm":true,"dropout":0.5})", row},
      {"mlp_of_int64", R"({"type":"mlp","hidden":[16]})", {"x", DataType::kInt64, {-1, 12}}},
      {"mlp_of_fp64", R"({"type":"mlp","hidden":[16]})", {"x", DataType::kFp64, {-1, 12}}},
      {"mlp_of_fp16", R"({"type":"mlp","hidden":[16]})", {"x", DataType::kFp16, {-1, 12}}},
      {"mlp_of_bool", R"({"type":"mlp","hidden":[16]})", {"x", DataType::kBool, {-1, 12}}},
      {"mlp_standardised", R"({"type":"mlp","hidden":[16]})", row, nn::Task::kRegression, true},
      {"mlp_of_pictures", R"({"type":"mlp","hidden":[16]})", picture, nn::Task::kClassification,
       true},
      {"cnn", R"({"type":"cnn","channels":[16,32],"hidden":[64]})", picture,
       nn::Task::kClassification, true},
      {"cnn_of_colour", R"({"type":"cnn","channels":[8,16],"batch_norm":true,"pooling":"average"})",
       colour, nn::Task::kRegression},
      {"cnn_with_dropout", R"({"type":"cnn","channels":[8],"dropout":0.5})", picture},
      {"resnet", R"({"type":"resnet","channels":[8,16],"blocks":1})", picture,
       nn::Task::kClassification, true},
      {"resnet_of_colour", R"({"type":"resnet","channels":[8],"blocks":2,"dropout":0.5})", colour,
       nn::Task::kRegression},
      {"transformer",
       R"({"type":"transformer_encoder","width":32,"feed_forward":48,"initialization":"uniform"})",
       sequence, nn::Task::kRegression},
      {"transformer_of_ids",
       R"({"type":"transformer_encoder","vocabulary":150,"width":32,"heads":2,"layers":1,
           "pooling":"first","initialization":"uniform"})",
       ids},
      {"transformer_of_int64",
       R"({"type":"transformer_encoder","vocabulary":150,"width":32,"initialization":"uniform"})",
       {"ids", DataType::kInt64, {-1, 12}}},
      {"lstm_of_ids", R"({"type":"lstm","vocabulary":150,"embedding":16,"hidden":24})", ids},
      {"gru_of_fp32", R"({"type":"gru","vocabulary":150,"hidden":24})", row},
  };
  for (const char* type : {"rnn", "lstm", "gru"}) {
    all.push_back({type,
                   fmt::format(R"({{"type":"{}","hidden":24,"layers":2,"dropout":0.5}})", type),
                   sequence, nn::Task::kRegression});
    all.push_back({fmt::format("{}_both_ways", type),
                   fmt::format(R"({{"type":"{}","hidden":24,"bidirectional":true}})", type),
                   sequence, nn::Task::kRegression});
    all.push_back({fmt::format("{}_mean", type),
                   fmt::format(R"({{"type":"{}","hidden":24,"bidirectional":true,"layers":2,
                                    "pooling":"mean"}})",
                               type),
                   sequence, nn::Task::kRegression});
  }
  // Rows end where nothing but padding follows.
  const TensorSpec padded = {"padded", DataType::kUint8, {-1, 12}};
  for (const char* type : {"rnn", "lstm", "gru"}) {
    for (const char* pooling : {"last", "mean"}) {
      for (const char* both : {"false", "true"}) {
        all.push_back({fmt::format("{}_padded_{}_{}", type, pooling, both),
                       fmt::format(R"({{"type":"{}","vocabulary":150,"pad_token_id":0,"hidden":24,
                                        "layers":2,"pooling":"{}","bidirectional":{}}})",
                                   type, pooling, both),
                       padded});
      }
    }
  }
  all.push_back({"transformer_padded",
                 R"({"type":"transformer_encoder","vocabulary":150,"pad_token_id":0,"width":32,
                     "initialization":"uniform"})",
                 padded});
  all.push_back({"decoder", R"({"type":"transformer_decoder","width":32,"feed_forward":48,
                                "initialization":"uniform"})",
                 sequence, nn::Task::kRegression});
  all.push_back({"decoder_padded",
                 R"({"type":"transformer_decoder","vocabulary":150,"pad_token_id":0,"width":32,
                     "initialization":"uniform"})",
                 padded});
  const TensorSpec encoded = {"encoded", DataType::kFp32, {-1, 12}};
  for (const char* type : {"rnn", "lstm", "gru"}) {
    all.push_back({fmt::format("{}_language_model", type),
                   fmt::format(R"({{"type":"{}","hidden":24,"layers":2}})", type), encoded,
                   nn::Task::kLanguageModel});
  }
  all.push_back({"decoder_language_model",
                 R"({"type":"transformer_decoder","width":32,"initialization":"uniform"})", encoded,
                 nn::Task::kLanguageModel});
  for (const char* pooling : {"mean", "first"}) {
    all.push_back({fmt::format("masked_language_model_{}", pooling),
                   fmt::format(R"({{"type":"transformer_encoder","width":32,"pooling":"{}",
                                    "initialization":"uniform"}})",
                               pooling),
                   encoded, nn::Task::kMaskedLanguageModel});
  }
  for (const char* activation : {"relu", "gelu", "tanh", "sigmoid", "identity"}) {
    all.push_back(
        {std::string("mlp_") + activation,
         R"({"type":"mlp","hidden":[16],"activation":")" + std::string(activation) + "\"}", row,
         nn::Task::kRegression});
  }
  return all;
}

class OwnModelTest : public OpenVinoRuntimeTest, public ::testing::WithParamInterface<Own> {
 protected:
  static ModelRuntime& Torch() {
    static const auto runtime = MakeTorchRuntime({}).value();
    return *runtime;
  }
  static TestArtifact Artifact() {
    nn::ModelDescription description;
    description.task = GetParam().task;
    description.input = GetParam().input;
    description.output = nn::OutputOf(GetParam().task, 5);
    description.architecture =
        nn::ParseArchitecture(nlohmann::json::parse(GetParam().architecture), "architecture")
            .value();
    const bool masked = GetParam().task == nn::Task::kMaskedLanguageModel;
    if (masked || GetParam().task == nn::Task::kLanguageModel) {
      nlohmann::json column = {{"type", "text"}, {"name", "text"}, {"max_length", 12}};
      column["tokenizer"] = {{"type", "byte"}, {"has_mask", masked}};
      description.table = nn::Table::Parse(nlohmann::json::array({column}), "table").value();
      const int64_t tokens = description.table->tokenizer()->size();
      description.architecture = description.architecture->ForTokens(tokens);
      description.output = nn::OutputOf(
          GetParam().task, masked ? description.architecture->embedding_width() : tokens);
    }
    if (GetParam().preprocessed && GetParam().input.dtype == DataType::kUint8) {
      description.preprocessing = {nn::MakeRescale(255), nn::MakeStandardize({0.3}, {0.4})};
    } else if (GetParam().preprocessed) {
      std::vector<double> mean, deviation;
      for (int i = 0; i < 12; ++i) mean.push_back(i / 10.0), deviation.push_back(0.5 + i);
      description.preprocessing = {nn::MakeStandardize(mean, deviation)};
    }
    return MakeTestArtifact(description, 7);
  }
  static Tensor RandomInput(int64_t rows, uint64_t seed) {
    const TensorSpec& spec = GetParam().input;
    Shape shape = spec.shape;
    shape[0] = rows;
    std::mt19937_64 random(seed);
    std::string bytes;
    for (int64_t i = 0; i < shape.Product(); ++i) {
      const auto number = static_cast<int64_t>(random() % 200) - 100;
      const auto append = [&](auto value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
      };
      switch (spec.dtype) {
        case DataType::kFp32:
          append(spec.name == "encoded" ? static_cast<float>(2 + random() % 256)
                                        : static_cast<float>(number) / 50);
          break;
        case DataType::kFp64:
          append(static_cast<double>(number) / 50);
          break;
        case DataType::kInt64:
          append(number / 50);
          break;
        case DataType::kBool:
          append(number > 0);
          break;
        case DataType::kFp16:
          append(static_cast<uint16_t>(0x3800 + (number & 0x3ff)));
          break;
        default:
          append(static_cast<uint8_t>(random()));
      }
    }
    const bool ends = spec.name == "padded" || spec.name == "encoded";
    const size_t element = ElementSize(spec.dtype);
    const auto width = static_cast<size_t>(shape.Product(1)) * element;
    for (size_t row = 0; ends && row < static_cast<size_t>(rows); ++row) {
      const size_t length = random() % (width / element + 1) * element;
      bytes.replace(row * width + length, width - length, width - length, '\0');
    }
    return Tensor::Make(spec.name, spec.dtype, shape, Buffer::Own(std::move(bytes)), "x").value();
  }
};

INSTANTIATE_TEST_SUITE_P(AllArchitectures, OwnModelTest, ::testing::ValuesIn(AllOwn()),
                         [](const auto& info) { return info.param.name; });

TEST_P(OwnModelTest, AnswersAsTorchDoes) {
  const ModelSource source = Write(Artifact());
  const auto theirs = Torch().Load(source);
  const auto ours = runtime_->Load(source);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ((*ours)->signature(), (*theirs)->signature());
  // The batch grows and shrinks from call to call.
  for (const int64_t rows : {1, 2, 32, 7, 1}) {
    const Tensor input = RandomInput(rows, static_cast<uint64_t>(rows));
    const auto expected = (*theirs)->Run({input}, absl::InfiniteFuture());
    const auto actual = (*ours)->Run({input}, absl::InfiniteFuture());
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(actual.ok()) << actual.status();
    ASSERT_EQ(actual->size(), 1u);
    EXPECT_EQ((*actual)[0].name(), (*expected)[0].name());
    EXPECT_LT(LargestDifference((*actual)[0], (*expected)[0]), 1e-5) << rows << " rows";
  }
}

// ---- One model, many callers.

TEST_F(OpenVinoRuntimeTest, AnswersManyThreadsAtOnceEachItsOwn) {
  const TestArtifact artifact = SmallMlp(1);
  const Model model = runtime_->Load(Write(artifact)).value();
  std::vector<int> wrong(6);
  {
    std::vector<std::jthread> callers;
    for (size_t t = 0; t < wrong.size(); ++t) {
      callers.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          const std::vector<float> row = {static_cast<float>(t), static_cast<float>(i % 5), 1, -1};
          const auto outputs = model->Run(
              {Tensor::Make("x", DataType::kFp32, {1, 4},
                            Buffer::Own({reinterpret_cast<const char*>(row.data()), 16}), "x")
                   .value()},
              absl::InfiniteFuture());
          const std::vector<float> expected = SmallMlpAnswer(artifact, row);
          const std::vector<float> actual =
              outputs.ok() ? ValuesOf<float>((*outputs)[0]) : std::vector<float>(3);
          for (size_t k = 0; k < 3; ++k) wrong[t] += std::abs(actual[k] - expected[k]) > 1e-5F;
        }
      });
    }
  }
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST_F(OpenVinoRuntimeTest, TakesInputsThatLieAnywhereAndKeepsNothingOfThem) {
  const TestArtifact artifact = SmallMlp(1);
  const Model model = runtime_->Load(Write(artifact)).value();
  const std::vector<float> row = {0.5F, -1, 2, 0.25F};
  for (size_t offset = 0; offset < 8; ++offset) {
    std::string bytes(offset, '\0');
    bytes.append(reinterpret_cast<const char*>(row.data()), 16);
    auto outputs =
        model->Run({Tensor::Make("x", DataType::kFp32, {1, 4},
                                 Buffer::Borrow(std::string_view(bytes).substr(offset)), "x")
                        .value()},
                   absl::InfiniteFuture());
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    bytes.assign(bytes.size(), '\x7f');
    const auto expected = SmallMlpAnswer(artifact, row);
    const auto actual = ValuesOf<float>((*outputs)[0]);
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5) << offset;
  }
}

TEST_F(OpenVinoRuntimeTest, AnswersOutliveTheModelAndTheNextCall) {
  const TestArtifact artifact = SmallMlp(1);
  Model model = runtime_->Load(Write(artifact)).value();
  const auto run = [&](const std::vector<float>& row) {
    return model
        ->Run({Tensor::Make("x", DataType::kFp32, {1, 4},
                            Buffer::Own({reinterpret_cast<const char*>(row.data()), 16}), "x")
                   .value()},
              absl::InfiniteFuture())
        .value();
  };
  const std::vector<float> row = {0.5F, -1, 2, 0.25F};
  const TensorBatch first = run(row);
  for (int i = 0; i < 2 * kInstances; ++i) run({3, 3, 3, 3});
  model = nullptr;
  const auto expected = SmallMlpAnswer(artifact, row);
  const auto actual = ValuesOf<float>(first[0]);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5);
}

TEST_F(OpenVinoRuntimeTest, TakesTheOnnxFileThatTheTrainerWroteBesideTheWeights) {
  const TestArtifact ours = SmallMlp(1);
  const TestArtifact theirs = SmallMlp(2);
  ModelSource source = Write(ours);
  const auto description = nn::ModelDescription::Parse(theirs.description, "").value();
  const auto weights = SafetensorsFile::Parse(Buffer::Borrow(theirs.weights), "weights").value();
  const std::string path = dir_ / "model.onnx";
  ASSERT_TRUE(
      WriteFileAtomically(
          path, onnx::ExportOnnx(description.BuildNetwork("").value(), weights.tensors()).value())
          .ok());
  source.files["model.onnx"] = path;
  const Model model = runtime_->Load(source).value();
  const Model expected = runtime_->Load(Write(theirs)).value();
  TensorBatch inputs = ZeroInputs(model->signature()).value();
  const TensorBatch answers = model->Run(inputs, absl::InfiniteFuture()).value();
  EXPECT_EQ(answers[0].data().view(),
            expected->Run(inputs, absl::InfiniteFuture()).value()[0].data().view());
}

// ---- ONNX with its weights beside it.

class ExternalDataTest : public OpenVinoRuntimeTest {
 protected:
  // SmallMlp as ONNX whose weights lie at `location`, from model.onnx on.
  ModelSource Write(const std::string& location) {
    const auto description = nn::ModelDescription::Parse(artifact_.description, "").value();
    const auto weights =
        SafetensorsFile::Parse(Buffer::Borrow(artifact_.weights), "weights").value();
    ::onnx::ModelProto model;
    EXPECT_TRUE(model.ParseFromString(
        onnx::ExportOnnx(description.BuildNetwork("").value(), weights.tensors()).value()));
    std::string bytes;
    for (auto& constant : *model.mutable_graph()->mutable_initializer()) {
      const auto add = [&](const char* key, const std::string& value) {
        auto& entry = *constant.add_external_data();
        entry.set_key(key);
        entry.set_value(value);
      };
      add("location", location);
      add("offset", std::to_string(bytes.size()));
      add("length", std::to_string(constant.raw_data().size()));
      bytes += constant.raw_data();
      constant.clear_raw_data();
      constant.set_data_location(::onnx::TensorProto::EXTERNAL);
    }
    EXPECT_TRUE(WriteFileAtomically(dir_ / "model", model.SerializeAsString()).ok());
    EXPECT_TRUE(WriteFileAtomically(dir_ / "weights", bytes).ok());
    return {.format = "onnx", .files = {{"model.onnx", dir_ / "model"}}};
  }
  const TestArtifact artifact_ = SmallMlp(1);
};

TEST_F(ExternalDataTest, IsReadByItsNameInTheArtifact) {
  ModelSource source = Write("data/weights.bin");
  source.files["data/weights.bin"] = dir_ / "weights";
  const auto model = runtime_->Load(source);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<float> row = {0.5F, -1, 2, 0.25F};
  const auto outputs =
      (*model)->Run({Tensor::Make("x", DataType::kFp32, {1, 4},
                                  Buffer::Own({reinterpret_cast<const char*>(row.data()), 16}), "x")
                         .value()},
                    absl::InfiniteFuture());
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  const auto expected = SmallMlpAnswer(artifact_, row);
  const auto actual = ValuesOf<float>((*outputs)[0]);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5);
}

TEST_F(ExternalDataTest, IsRefusedWhereItIsMissing) {
  EXPECT_THAT(ErrorOf(Write("data/weights.bin"), absl::StatusCode::kInvalidArgument),
              StartsWith("model.onnx: "));
}

TEST_F(ExternalDataTest, IsNeverReadOutsideTheArtifact) {
  const std::string weights = dir_ / "weights";
  const std::vector<std::string> outside = {"../../weights", weights, "data/../../../weights",
                                            "./../../weights"};
  for (const std::string& location : outside) {
    EXPECT_THAT(ErrorOf(Write(location), absl::StatusCode::kInvalidArgument),
                StartsWith("model.onnx: "))
        << location;
  }
}

TEST_F(OpenVinoRuntimeTest, RemovesWhatAKilledProcessLeftBehindAndNothingElse) {
  const std::string staging = dir_ / "staging";
  fs::create_directories(staging + "/load.killed");
  ASSERT_TRUE(WriteFileAtomically(staging + "/load.killed/model.onnx", "bytes").ok());
  const auto busy = StagedFiles::Create(staging, FilesOf(Fixture("onnx")));
  ASSERT_TRUE(busy.ok()) << busy.status();
  ASSERT_TRUE(MakeOpenVinoRuntime({.staging_dir = staging}).ok());
  EXPECT_THAT(LeftBehind(), ElementsAre(fs::path(busy->folder()).filename()));
  EXPECT_TRUE(ReadFile(busy->PathOf("model.onnx")).ok());
}

// ---- What is refused.

TEST_F(OpenVinoRuntimeTest, RefusesAFormatThatItDoesNotRun) {
  EXPECT_THAT(ErrorOf({.format = "gguf", .files = {}}, absl::StatusCode::kUnimplemented),
              HasSubstr("\"gguf\""));
}

TEST_F(OpenVinoRuntimeTest, RefusesOurOwnBrokenFilesByName) {
  TestArtifact artifact = SmallMlp(1);
  artifact.weights.resize(artifact.weights.size() - 1);
  EXPECT_THAT(ErrorOf(Write(artifact), absl::StatusCode::kInvalidArgument),
              StartsWith("model.safetensors: "));
  artifact = SmallMlp(1);
  artifact.weights = MakeTestArtifact(R"({"type":"mlp","hidden":[9]})", "x", {4}, 3, 1).weights;
  EXPECT_THAT(ErrorOf(Write(artifact), absl::StatusCode::kInvalidArgument),
              StartsWith("model.safetensors: "));
  artifact = SmallMlp(1);
  artifact.description = "{";
  EXPECT_THAT(ErrorOf(Write(artifact), absl::StatusCode::kInvalidArgument),
              StartsWith("architecture.json: "));
}

}  // namespace
}  // namespace slipway::worker
