#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_EXAMPLE_SPEC_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_EXAMPLE_SPEC_H_

#include <string>

#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// A spec that nothing is wrong with: pictures, a small MLP. Its dataset is "digits".
inline v1::JobSpec ExampleSpec() {
  v1::JobSpec spec;
  spec.set_model("digits-mlp");
  spec.set_dataset("digits");
  spec.mutable_data()->set_format("idx");
  spec.mutable_data()->mutable_train()->set_inputs("train-images");
  spec.mutable_data()->mutable_train()->set_targets("train-labels");
  spec.mutable_data()->mutable_test()->set_inputs("test-images");
  spec.mutable_data()->mutable_test()->set_targets("test-labels");
  const auto set_type = [](google::protobuf::Struct* object, const std::string& type) {
    (*object->mutable_fields())["type"].set_string_value(type);
  };
  set_type(spec.mutable_architecture(), "mlp");
  set_type(spec.mutable_loss(), "cross_entropy");
  set_type(spec.mutable_optimizer(), "adam");
  (*spec.mutable_optimizer()->mutable_fields())["learning_rate"].set_number_value(0.001);
  spec.mutable_training()->set_epochs(1);
  spec.mutable_training()->set_batch_size(32);
  spec.mutable_training()->set_seed(7);
  return spec;
}

/// The files that ExampleSpec() names.
inline constexpr const char* kExampleFiles[] = {"train-images", "train-labels", "test-images",
                                                "test-labels"};

inline v1::CreateTrainingJobRequest ExampleRequest(const std::string& tenant,
                                                   const std::string& job_id = "",
                                                   const std::string& request_id = "") {
  v1::CreateTrainingJobRequest request;
  request.set_parent("tenants/" + tenant);
  request.set_job_id(job_id);
  request.set_request_id(request_id);
  *request.mutable_training_job()->mutable_spec() = ExampleSpec();
  return request;
}

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_EXAMPLE_SPEC_H_
