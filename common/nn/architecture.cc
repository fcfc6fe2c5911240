#include "common/nn/architecture.h"

#include "common/fields/json.h"

namespace slipway::nn {

// One line a file in architectures/.
extern const Kind<Architecture> kCnn;
extern const Kind<Architecture> kGru;
extern const Kind<Architecture> kLstm;
extern const Kind<Architecture> kMlp;
extern const Kind<Architecture> kResnet;
extern const Kind<Architecture> kRnn;
extern const Kind<Architecture> kTransformerDecoder;
extern const Kind<Architecture> kTransformerEncoder;

std::span<const Kind<Architecture>* const> Architectures() {
  static constexpr const Kind<Architecture>* kAll[] = {
      &kCnn, &kGru, &kLstm, &kMlp, &kResnet, &kRnn, &kTransformerDecoder, &kTransformerEncoder};
  return kAll;
}

namespace {

template <class Head>
absl::StatusOr<Head> WithPath(absl::StatusOr<Head> head, const std::string& path) {
  if (head.ok() || !FieldOf(head.status()).empty()) return head;
  return InvalidField(path, std::string(head.status().message()));
}

}  // namespace

std::unique_ptr<const Architecture> Architecture::ForTokens(int64_t) const { return nullptr; }

absl::StatusOr<ValueId> Architecture::Build(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                            const std::string& path) const {
  builder.set_initialization(initialization);
  return WithPath(BuildLayers(builder, input, outputs, path), path);
}

absl::StatusOr<Sequence> Architecture::BuildLanguageModel(NetworkBuilder& builder, ValueId input,
                                                          int64_t outputs,
                                                          const std::string& path) const {
  builder.set_initialization(initialization);
  return WithPath(BuildSteps(builder, input, outputs, path), path);
}

absl::StatusOr<Encoding> Architecture::BuildMaskedLanguageModel(NetworkBuilder& builder,
                                                                ValueId input,
                                                                const std::string& path) const {
  builder.set_initialization(initialization);
  return WithPath(BuildEncoding(builder, input, path), path);
}

absl::StatusOr<Sequence> Architecture::BuildSteps(NetworkBuilder&, ValueId, int64_t,
                                                  const std::string& path) const {
  return InvalidField(JoinPath(path, "type"),
                      "cannot say what comes next; use rnn, lstm, gru or transformer_decoder");
}

absl::StatusOr<Encoding> Architecture::BuildEncoding(NetworkBuilder&, ValueId,
                                                     const std::string& path) const {
  return InvalidField(JoinPath(path, "type"),
                      "cannot say which tokens are hidden; use transformer_encoder");
}

absl::StatusOr<std::unique_ptr<const Architecture>> ParseArchitecture(const nlohmann::json& spec,
                                                                      const std::string& path) {
  return ParseKind(Architectures(), spec, path);
}

}  // namespace slipway::nn
