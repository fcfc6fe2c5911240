#ifndef SLIPWAY_TESTS_E2E_WORLD_H_
#define SLIPWAY_TESTS_E2E_WORLD_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/e2e/platform.h"

namespace slipway::e2e {

/// An IDX file of bytes: its dimensions, then the values.
std::string IdxFile(const std::vector<uint32_t>& shape, const std::string& values);

/// Grey pictures of 8 x 8 whose upper (class 0) or lower half (class 1) is bright, with noise: what
/// a small network learns in seconds.
struct Pictures {
  std::string images;  // IDX
  std::string labels;  // IDX
};
Pictures MakePictures(uint32_t count, uint32_t seed);

/// A job spec for them: `epochs` of 20 steps each.
nlohmann::json PictureSpec(int epochs);

/// A tenant on a platform, with an owner's key and the pictures as dataset "halves".
class World {
 public:
  /// Makes tenant `id`. Check status() after.
  World(const Platform& platform, const std::string& id);

  const absl::Status& status() const { return status_; }
  const Caller& owner() const { return owner_; }
  const std::string& key() const { return key_; }
  std::string Path(const std::string& rest) const { return "/api/v1/tenants/" + id_ + "/" + rest; }
  std::string Name(const std::string& rest) const { return "tenants/" + id_ + "/" + rest; }

  /// Uploads bytes; the digest, or what went wrong.
  absl::StatusOr<std::string> Upload(const std::string& bytes) const;

  /// Uploads files and makes a dataset of them.
  absl::Status MakeDataset(const std::string& id,
                           const std::vector<std::pair<std::string, std::string>>& files) const;

  /// Submits a job and waits for its end.
  absl::StatusOr<nlohmann::json> Train(const std::string& job_id, const nlohmann::json& spec) const;
  absl::StatusOr<nlohmann::json> WaitForJob(const std::string& job_id) const;

  /// Deploys a version and waits until it is ready.
  absl::Status Deploy(const std::string& id, const std::string& version) const;

  /// One prediction of a picture of class 0.
  Answer Predict(const std::string& deployment) const;

  /// Runs `slipway ARGS...` as the owner; true where it ended well. Aborts where it does not start.
  bool Cli(std::vector<std::string> args) const;
  /// The same of another program.
  bool Run(const std::string& program, std::vector<std::string> args) const;
  /// What the one that ran last said.
  std::string Output() const;

 private:
  absl::Status SetUp(const Platform& platform);

  const std::string id_;
  const std::string url_;
  const TempDir dir_;
  std::string key_;
  Caller owner_;
  absl::Status status_;
};

/// A status that says what an answer said.
absl::Status ToStatus(const Answer& answer, const std::string& what);

}  // namespace slipway::e2e

#endif  // SLIPWAY_TESTS_E2E_WORLD_H_
