#include "tests/e2e/world.h"

#include <cstdlib>
#include <iostream>
#include <random>
#include <utility>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "tests/support/places.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;

constexpr uint32_t kSide = 8;

std::string Picture(int label, std::mt19937& random) {
  std::uniform_int_distribution<int> bright(140, 255);
  std::uniform_int_distribution<int> dark(0, 110);
  std::string pixels;
  for (uint32_t y = 0; y < kSide; ++y) {
    for (uint32_t x = 0; x < kSide; ++x) {
      const bool is_bright = (y < kSide / 2) == (label == 0);
      pixels += static_cast<char>(is_bright ? bright(random) : dark(random));
    }
  }
  return pixels;
}

}  // namespace

std::string IdxFile(const std::vector<uint32_t>& shape, const std::string& values) {
  std::string out = {0, 0, 8, static_cast<char>(shape.size())};
  for (const uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift);
  }
  return out + values;
}

Pictures MakePictures(uint32_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::string images;
  std::string labels;
  for (uint32_t i = 0; i < count; ++i) {
    const int label = static_cast<int>(i % 2);
    images += Picture(label, random);
    labels += static_cast<char>(label);
  }
  return {IdxFile({count, kSide, kSide}, images), IdxFile({count}, labels)};
}

json PictureSpec(int epochs) {
  return {{"model", "halves"},
          {"dataset", "halves"},
          {"data",
           {{"format", "idx"},
            {"train", {{"inputs", "train-images"}, {"targets", "train-labels"}}},
            {"test", {{"inputs", "test-images"}, {"targets", "test-labels"}}},
            {"labels", {"upper", "lower"}},
            {"scale", 255}}},
          {"architecture", {{"type", "mlp"}, {"hidden", {64}}}},
          {"loss", {{"type", "cross_entropy"}}},
          {"optimizer", {{"type", "sgd"}, {"learning_rate", 0.05}}},
          {"training", {{"epochs", epochs}, {"batch_size", 32}, {"seed", 1}}},
          {"resources", {{"threads", 1}}},
          {"evaluation", {{"at_least", {{"accuracy", 0.9}}}}}};
}

bool World::Cli(std::vector<std::string> args) const {
  return Run(Program("slipway"), std::move(args));
}

bool World::Run(const std::string& program, std::vector<std::string> args) const {
  ProcessSpec spec;
  spec.program = program;
  spec.args = std::move(args);
  spec.env = {{"SLIPWAY_URL", url_}, {"SLIPWAY_API_KEY", key_}};
  spec.log_file = dir_ / "output";
  LocalProcessLauncher launcher;
  const auto process = launcher.Launch(spec);
  if (!process.ok()) {
    std::cerr << process.status() << "\n";
    std::abort();
  }
  const auto exit = (*process)->Wait(kPatience);
  return exit.ok() && exit->code == 0 && exit->signal == 0;
}

std::string World::Output() const { return ReadFile(dir_ / "output").value_or(""); }

absl::Status ToStatus(const Answer& answer, const std::string& what) {
  if (answer.ok()) return absl::OkStatus();
  return absl::InternalError(fmt::format("{}: HTTP {}: {}", what, answer.status, answer.body));
}

World::World(const Platform& platform, const std::string& id)
    : id_(id),
      url_("http://" + platform.address()),
      owner_(platform.address(), ""),
      status_(SetUp(platform)) {}

absl::Status World::SetUp(const Platform& platform) {
  const Caller admin = platform.As(platform.admin_key());
  RETURN_IF_ERROR(
      ToStatus(admin.Post("/api/v1/tenants", {{"displayName", id_}}, {{"tenantId", id_}}),
               "make the tenant"));
  const Answer key = admin.Post(Path("keys"), {{"role", "ROLE_OWNER"}});
  RETURN_IF_ERROR(ToStatus(key, "make a key"));
  key_ = key.json().value("secret", "");
  owner_ = platform.As(key_);
  const Pictures train = MakePictures(640, 1);
  const Pictures test = MakePictures(100, 2);
  return MakeDataset("halves", {{"train-images", train.images},
                                {"train-labels", train.labels},
                                {"test-images", test.images},
                                {"test-labels", test.labels}});
}

absl::StatusOr<std::string> World::Upload(const std::string& bytes) const {
  const std::string digest = "sha256:" + Sha256Hex(bytes);
  const Answer answer =
      owner_.Send("POST", Path("blobs"), bytes, {{"Content-Type", "application/octet-stream"}},
                  {{"digest", digest}});
  RETURN_IF_ERROR(ToStatus(answer, "upload"));
  return digest;
}

absl::Status World::MakeDataset(
    const std::string& id, const std::vector<std::pair<std::string, std::string>>& files) const {
  json body = {{"files", json::array()}};
  for (const auto& [path, bytes] : files) {
    ASSIGN_OR_RETURN(const std::string digest, Upload(bytes));
    body["files"].push_back({{"path", path}, {"digest", digest}});
  }
  return ToStatus(owner_.Post(Path("datasets"), body, {{"datasetId", id}}), "make a dataset");
}

absl::StatusOr<json> World::Train(const std::string& job_id, const json& spec) const {
  RETURN_IF_ERROR(
      ToStatus(owner_.Post(Path("jobs"), {{"spec", spec}}, {{"jobId", job_id}}), "submit"));
  return WaitForJob(job_id);
}

absl::StatusOr<json> World::WaitForJob(const std::string& job_id) const {
  json job;
  const bool ended = Eventually([&] {
    const Answer answer = owner_.Get(Path("jobs/" + job_id));
    if (!answer.ok()) return false;
    job = answer.json();
    const std::string state = job.value("state", "");
    return state == "SUCCEEDED" || state == "FAILED" || state == "CANCELLED";
  });
  if (!ended) return absl::DeadlineExceededError(job_id + " did not end: " + job.dump());
  return job;
}

absl::Status World::Deploy(const std::string& id, const std::string& version) const {
  RETURN_IF_ERROR(ToStatus(
      owner_.Post(Path("deployments"), {{"modelVersion", version}}, {{"deploymentId", id}}),
      "deploy"));
  std::string last;
  const bool ready = Eventually([&] {
    const Answer answer = owner_.Get(Path("deployments/" + id));
    last = answer.body;
    return answer.ok() && answer.json().value("state", "") == "READY";
  });
  if (!ready) return absl::DeadlineExceededError(id + " did not become ready: " + last);
  // The routes reach the gateway a moment later.
  if (!Eventually([&] { return Predict(id).ok(); })) {
    return absl::DeadlineExceededError(id + " does not answer: " + Predict(id).body);
  }
  return absl::OkStatus();
}

Answer World::Predict(const std::string& deployment) const {
  json pixels = json::array();
  for (uint32_t i = 0; i < kSide * kSide; ++i) pixels.push_back(i < kSide * kSide / 2 ? 200 : 20);
  return owner_.Post("/v2/models/" + deployment + "/infer", {{"inputs",
                                                              {{{"name", "image"},
                                                                {"datatype", "UINT8"},
                                                                {"shape", {1, kSide, kSide}},
                                                                {"data", pixels}}}}});
}

}  // namespace slipway::e2e
