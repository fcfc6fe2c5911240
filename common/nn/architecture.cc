#include "common/nn/architecture.h"

namespace slipway::nn {

// One line a file in architectures/.
extern const Kind<Architecture> kCnn;
extern const Kind<Architecture> kGru;
extern const Kind<Architecture> kLstm;
extern const Kind<Architecture> kMlp;
extern const Kind<Architecture> kResnet;
extern const Kind<Architecture> kRnn;
extern const Kind<Architecture> kTransformerEncoder;

std::span<const Kind<Architecture>* const> Architectures() {
  static constexpr const Kind<Architecture>* kAll[] = {
      &kCnn, &kGru, &kLstm, &kMlp, &kResnet, &kRnn, &kTransformerEncoder};
  return kAll;
}

absl::StatusOr<ValueId> Architecture::Build(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                            const std::string& path) const {
  builder.set_initialization(initialization);
  auto head = BuildLayers(builder, input, outputs, path);
  if (!head.ok() && FieldOf(head.status()).empty()) {
    return InvalidField(path, std::string(head.status().message()));
  }
  return head;
}

absl::StatusOr<std::unique_ptr<const Architecture>> ParseArchitecture(const nlohmann::json& spec,
                                                                      const std::string& path) {
  return ParseKind(Architectures(), spec, path);
}

}  // namespace slipway::nn
