#include "services/training/spec/base_spec.h"

#include <cstddef>

#include "fmt/format.h"

namespace slipway::training {
namespace {

constexpr char kVersionField[] = "spec.base.version";
constexpr int kMaxPatterns = 1000;
constexpr size_t kMaxPatternBytes = 256;
constexpr int kMaxRank = 4096;

void CheckPatterns(const std::string& path,
                   const google::protobuf::RepeatedPtrField<std::string>& patterns,
                   Problems& problems) {
  if (patterns.size() > kMaxPatterns) {
    return problems.Add(path,
                        fmt::format("must be at most {}, got {}", kMaxPatterns, patterns.size()));
  }
  for (int i = 0; i < patterns.size(); ++i) {
    if (patterns[i].empty() || patterns[i].size() > kMaxPatternBytes) {
      problems.Add(
          fmt::format("{}[{}]", path, i),
          fmt::format("must be 1 to {} bytes: a layer's name, * for any text", kMaxPatternBytes));
    }
  }
}

void CheckLora(const v1::LoraSpec& lora, Problems& problems) {
  problems.CheckRange("spec.base.lora.rank", lora.rank(), 1, kMaxRank);
  problems.CheckRange<double>("spec.base.lora.alpha", lora.alpha(), 0, 1e6);
  if (!(lora.dropout() >= 0 && lora.dropout() < 1)) {
    problems.Add("spec.base.lora.dropout",
                 fmt::format("must be at least 0 and less than 1, got {}", lora.dropout()));
  }
  CheckPatterns("spec.base.lora.layers", lora.layers(), problems);
}

}  // namespace

absl::StatusOr<VersionReference> ParseBaseVersion(const std::string& version,
                                                  const std::string& tenant) {
  const std::string name =
      version.starts_with("models/") ? fmt::format("tenants/{}/{}", tenant, version) : version;
  if (auto number = VersionName::Parse(kVersionField, name); number.ok()) {
    return *std::move(number);
  }
  if (auto alias = AliasName::Parse(kVersionField, name); alias.ok()) return *std::move(alias);
  return InvalidField(kVersionField, fmt::format("must be models/MODEL/versions/NUMBER or "
                                                 "models/MODEL/aliases/ALIAS, got \"{}\"",
                                                 version.substr(0, kMaxPatternBytes)));
}

void CheckBase(const v1::JobSpec& job, Problems& problems) {
  const v1::BaseSpec& base = job.base();
  if (base.version().empty()) {
    problems.Add(kVersionField,
                 "is required: models/MODEL/versions/NUMBER or models/MODEL/aliases/ALIAS");
  } else {
    problems.Add(ParseBaseVersion(base.version(), "t").status());
  }
  CheckPatterns("spec.base.freeze", base.freeze(), problems);
  for (const std::string& pattern : base.freeze()) {
    if (pattern != kAllButHead || base.freeze_size() == 1) continue;
    problems.Add("spec.base.freeze", "all_but_head must stand alone");
    break;
  }
  if (base.has_lora()) {
    CheckLora(base.lora(), problems);
    if (base.freeze_size() > 0) {
      problems.Add("spec.base.freeze",
                   "must be absent where spec.base.lora is given: it freezes all weights");
    }
  }
  if (base.refit_preprocessing()) return;
  const auto refuse = [&](std::string_view path) {
    problems.Add(path,
                 "must be absent where spec.base is given: its preprocessing is kept; or set "
                 "spec.base.refit_preprocessing");
  };
  if (job.data().scale() != 0) refuse("spec.data.scale");
  if (job.data().standardize()) refuse("spec.data.standardize");
}

}  // namespace slipway::training
