#include "services/training/trainer/checkpoint_store.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "fmt/format.h"

namespace slipway::trainer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kSuffix = ".safetensors";
constexpr size_t kHexDigits = 64;

absl::Status FromCode(const std::error_code& error, std::string_view what,
                      const std::string& path) {
  return FromErrno(error.value(), what, path);
}

}  // namespace

CheckpointStore::CheckpointStore(std::string folder, int keep)
    : folder_(std::move(folder)), keep_(keep) {}

absl::StatusOr<CheckpointStore> CheckpointStore::Open(const std::string& folder, int keep) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return FromCode(error, "cannot create", folder);
  return CheckpointStore(folder, keep);
}

absl::StatusOr<std::vector<CheckpointStore::Entry>> CheckpointStore::List() const {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::string_view rest = name;
    if (!rest.starts_with(kPrefix) || !rest.ends_with(kSuffix)) continue;
    rest.remove_prefix(kPrefix.size());
    rest.remove_suffix(kSuffix.size());
    int64_t step = 0;
    const auto [stop, bad] = std::from_chars(rest.data(), rest.data() + rest.size(), step);
    rest.remove_prefix(static_cast<size_t>(stop - rest.data()));
    if (bad != std::errc() || rest.size() != 1 + kHexDigits || rest[0] != '-') continue;
    entries.push_back({step, name, std::string(rest.substr(1))});
  }
  if (error) return FromCode(error, "cannot list", folder_);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.step > b.step; });
  return entries;
}

absl::Status CheckpointStore::RemoveOld(std::span<const int64_t> best) const {
  ASSIGN_OR_RETURN(const std::vector<Entry> entries, List());
  for (size_t i = static_cast<size_t>(keep_); i < entries.size(); ++i) {
    if (std::find(best.begin(), best.end(), entries[i].step) != best.end()) continue;
    const std::string path = fmt::format("{}/{}", folder_, entries[i].name);
    std::error_code error;
    fs::remove(path, error);
    if (error) return FromCode(error, "cannot remove", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckpointStore::Written> CheckpointStore::Write(int64_t step,
                                                                std::span<const Tensor> state,
                                                                const Metadata& metadata,
                                                                std::span<const int64_t> best) {
  ASSIGN_OR_RETURN(const std::vector<Buffer> pieces, LayOutSafetensors(state, metadata));
  Sha256 hash;
  Written written{.step = step, .digest = "", .size_bytes = 0};
  for (const Buffer& piece : pieces) {
    hash.Update(piece.view());
    written.size_bytes += static_cast<int64_t>(piece.size());
  }
  const std::string hex = hash.FinishHex();
  written.digest = "sha256:" + hex;
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(fmt::format("{}/{}{:012}-{}{}", folder_,
                                                                   kPrefix, step, hex, kSuffix)));
  for (const Buffer& piece : pieces) RETURN_IF_ERROR(file.Append(piece.view()));
  RETURN_IF_ERROR(file.Commit());
  RETURN_IF_ERROR(RemoveOld(best));
  return written;
}

absl::StatusOr<CheckpointStore::Found> CheckpointStore::FindNewest(const std::string& key,
                                                                   const std::string& value) {
  std::error_code error;
  std::vector<fs::path> left_behind;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    // AtomicFile's temporary names.
    if (it->path().filename().string().starts_with(fmt::format(".{}", kPrefix))) {
      left_behind.push_back(it->path());
    }
  }
  for (const fs::path& path : left_behind) fs::remove(path, error);

  ASSIGN_OR_RETURN(const std::vector<Entry> entries, List());
  return FindIn(entries, key, value);
}

absl::StatusOr<CheckpointStore::Found> CheckpointStore::Find(int64_t step, const std::string& key,
                                                             const std::string& value) {
  ASSIGN_OR_RETURN(std::vector<Entry> entries, List());
  std::erase_if(entries, [&](const Entry& entry) { return entry.step != step; });
  return FindIn(entries, key, value);
}

CheckpointStore::Found CheckpointStore::FindIn(std::span<const Entry> entries,
                                               const std::string& key,
                                               const std::string& value) const {
  Found found;
  for (const Entry& entry : entries) {
    const auto refuse = [&](std::string_view problem) {
      found.refused.push_back(fmt::format("{}: {}", entry.name, problem));
    };
    auto bytes = ReadFile(fmt::format("{}/{}", folder_, entry.name), UINT64_MAX);
    if (!bytes.ok()) {
      refuse(std::string(bytes.status().message()));
      continue;
    }
    if (Sha256Hex(*bytes) != entry.digest) {
      refuse("its content does not have the digest in its name");
      continue;
    }
    auto file = SafetensorsFile::Parse(Buffer::Own(*std::move(bytes)), entry.name);
    if (!file.ok()) {
      refuse(std::string(file.status().message()));
      continue;
    }
    const auto it = file->metadata().find(key);
    if (it == file->metadata().end() || it->second != value) {
      refuse(fmt::format("belongs to another {}", key));
      continue;
    }
    found.state = *std::move(file);
    found.step = entry.step;
    break;
  }
  return found;
}

}  // namespace slipway::trainer
