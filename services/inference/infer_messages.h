#ifndef SLIPWAY_SERVICES_INFERENCE_INFER_MESSAGES_H_
#define SLIPWAY_SERVICES_INFERENCE_INFER_MESSAGES_H_

#include <string>
#include <utility>

#include "common/http/grpc/frames.h"
#include "google/protobuf/arena.h"
#include "inference/open_inference.pb.h"
#include "services/inference/infer_codec.h"

namespace slipway::worker {

/// One inference as it came and as it is answered: small calls fit into this one piece of memory.
/// Raw contents stay in the message that was received, and go into the frame that is sent.
class InferMessages {
 public:
  explicit InferMessages(http::grpc::Message received)
      : received_(std::move(received)),
        arena_(block_, sizeof(block_)),
        request_(*google::protobuf::Arena::CreateMessage<inference::ModelInferRequest>(&arena_)),
        answer_{*google::protobuf::Arena::CreateMessage<inference::ModelInferResponse>(&arena_),
                {}} {}

  /// Call first. Errors: see ParseRequest.
  absl::Status Parse() { return ParseRequest(received_.view(), request_, contents_); }

  const inference::ModelInferRequest& request() const { return request_; }
  const RawContents& contents() const { return contents_; }
  InferAnswer& answer() { return answer_; }

 private:
  const http::grpc::Message received_;
  alignas(16) char block_[2048];
  google::protobuf::Arena arena_;
  inference::ModelInferRequest& request_;
  RawContents contents_;
  InferAnswer answer_;
};

/// The answer in a frame, as a ModelInferResponse or inside of a ModelStreamInferResponse.
std::string InferFrame(const InferAnswer& answer);
std::string StreamInferFrame(const InferAnswer& answer);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFER_MESSAGES_H_
