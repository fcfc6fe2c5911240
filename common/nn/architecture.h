#ifndef SLIPWAY_COMMON_NN_ARCHITECTURE_H_
#define SLIPWAY_COMMON_NN_ARCHITECTURE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/fields/kinds.h"
#include "common/nn/network_builder.h"
#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway::nn {

/// What lies between a model's inputs and its head: `architecture` of a job spec, read and
/// checked. Each kind is one file in architectures/ and one line in architecture.cc. Immutable.
class Architecture {
 public:
  virtual ~Architecture() = default;

  /// The spec that makes this again, defaults written out.
  virtual nlohmann::ordered_json ToJson() const = 0;

  /// Whether it takes ids [N, T] of any type, as they came; otherwise FP32 numbers that have been
  /// preprocessed.
  virtual bool takes_ids() const { return false; }

  /// The same for the ids that a tokenizer gives, `vocabulary` of them; null where it takes none,
  /// or has a vocabulary already.
  virtual std::unique_ptr<const Architecture> ForTokens(int64_t vocabulary) const;

  /// Adds the layers that make [N, outputs] of `input`. Errors: InvalidField below `path` (that of
  /// the spec) where the shapes do not fit.
  absl::StatusOr<ValueId> Build(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                const std::string& path) const;

  /// Adds the layers that make of ids [N, T] what the next one may be after each step, [N, T,
  /// outputs] logits; no step sees what comes behind it. Errors: as Build; InvalidField where the
  /// architecture cannot do so.
  absl::StatusOr<Sequence> BuildLanguageModel(NetworkBuilder& builder, ValueId input,
                                              int64_t outputs, const std::string& path) const;

  /// Adds the layers that make of ids [N, T] which token stands at each step, by all of them.
  /// Errors: as BuildLanguageModel.
  absl::StatusOr<Encoding> BuildMaskedLanguageModel(NetworkBuilder& builder, ValueId input,
                                                    const std::string& path) const;

  /// How many numbers Encoding::embedding has; 0 where there is none.
  virtual int64_t embedding_width() const { return 0; }

 protected:
  /// As Build; an error that names no field gets `path`.
  virtual absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input,
                                              int64_t outputs, const std::string& path) const = 0;
  /// As BuildLanguageModel.
  virtual absl::StatusOr<Sequence> BuildSteps(NetworkBuilder& builder, ValueId input,
                                              int64_t outputs, const std::string& path) const;
  /// As BuildMaskedLanguageModel.
  virtual absl::StatusOr<Encoding> BuildEncoding(NetworkBuilder& builder, ValueId input,
                                                 const std::string& path) const;

  /// A field of each kind.
  Initialization initialization = Initialization::kUniform;
};

/// {"type": "cnn", "channels": [32, 64], ...}. Errors: InvalidField below `path`.
absl::StatusOr<std::unique_ptr<const Architecture>> ParseArchitecture(const nlohmann::json& spec,
                                                                      const std::string& path);

/// All kinds, for help texts and tests.
std::span<const Kind<Architecture>* const> Architectures();

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_ARCHITECTURE_H_
