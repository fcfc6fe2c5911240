#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_MODEL_CARD_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_MODEL_CARD_H_

#include <map>
#include <string>

#include "common/nn/model_description.h"
#include "services/training/spec/spec.h"
#include "services/training/trainer/data/data_report.h"

namespace slipway::trainer {

/// A model card in Markdown (https://arxiv.org/abs/1810.03993): what the version is for, what it
/// was trained on, what it scored, where that ends. All of it is taken from the run itself.
std::string WriteModelCard(const training::Spec& spec, const nn::ModelDescription& description,
                           const std::string& dataset_digest, const DataReport& data,
                           const std::map<std::string, double>& metrics);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_MODEL_CARD_H_
