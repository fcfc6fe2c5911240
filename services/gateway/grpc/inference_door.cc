#include "services/gateway/grpc/inference_door.h"

#include <utility>

#include "common/log/log.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "inference/open_inference.pb.h"
#include "services/gateway/grpc/answer_frame.h"
#include "services/gateway/grpc/frame.h"
#include "services/gateway/grpc/infer_stream.h"
#include "services/gateway/grpc/model_head.h"
#include "services/gateway/observation.h"
#include "services/gateway/oip/descriptions.h"
#include "services/gateway/oip/model_lookup.h"

namespace slipway::gateway {

// A call on its way through the door.
struct InferenceDoor::Incoming {
  Call call;
  Key key;  // null where none is needed
  RequestMetrics* metrics;
  absl::Duration start;
  std::shared_ptr<InFlight::Guard> in_flight;
};

InferenceDoor::InferenceDoor(Options options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      predictions_{parts_.routes,   parts_.admission,
                   parts_.recorder, parts_.tokens,
                   parts_.clock,    parts_.metrics.Method("GRPCInferenceService/ModelInfer"),
                   parts_.shadows,  options_.timeout},
      streamed_{parts_.routes,   parts_.admission,
                parts_.recorder, parts_.tokens,
                parts_.clock,    parts_.metrics.Method("GRPCInferenceService/ModelStreamInfer"),
                parts_.shadows,  options_.timeout} {
  for (const auto& [name, handler] : std::initializer_list<std::pair<const char*, Handler>>{
           {"ServerLive", &InferenceDoor::ServerLive},
           {"ServerReady", &InferenceDoor::ServerReady},
           {"ServerMetadata", &InferenceDoor::ServerMetadata},
           {"ModelReady", &InferenceDoor::ModelReady},
           {"ModelMetadata", &InferenceDoor::ModelMetadata},
           {"ModelConfig", &InferenceDoor::ModelConfig},
           {"ModelStatistics", &InferenceDoor::ModelStatistics},
           {"RepositoryIndex", &InferenceDoor::RepositoryIndex},
           {"RepositoryModelLoad", &InferenceDoor::RepositoryModelLoad},
           {"RepositoryModelUnload", &InferenceDoor::RepositoryModelUnload},
           {"SystemSharedMemoryStatus", &InferenceDoor::SharedMemory},
           {"SystemSharedMemoryRegister", &InferenceDoor::SharedMemory},
           {"SystemSharedMemoryUnregister", &InferenceDoor::SharedMemory},
           {"ModelInfer", &InferenceDoor::ModelInfer},
           {"ModelStreamInfer", &InferenceDoor::ModelStreamInfer}}) {
    methods_[name] = {handler,
                      &parts_.metrics.Method(fmt::format("GRPCInferenceService/{}", name))};
  }
}

// Predictions, and what calls the public API.
bool InferenceDoor::CountsByItself(std::string_view method) {
  return method == "ModelInfer" || method == "ModelStreamInfer" ||
         method == "RepositoryModelLoad" || method == "RepositoryModelUnload";
}

bool InferenceDoor::IsAnonymous(std::string_view method) {
  return method == "ServerLive" || method == "ServerReady";
}

bool InferenceDoor::Handle(Call call, std::string_view method, Key key) {
  const auto known = methods_.find(method);
  if (known == methods_.end()) return false;
  const Incoming in{.call = std::move(call),
                    .key = std::move(key),
                    .metrics = known->second.metrics,
                    .start = parts_.clock.Monotonic(),
                    .in_flight = std::make_shared<InFlight::Guard>(in_flight_)};
  if (in.key != nullptr && !CountsByItself(method)) {
    absl::StatusOr<Permit> permit = parts_.admission.Admit(*in.key, &in.call->exchange().head());
    if (!permit.ok()) {
      Fail(in, permit.status());
      return true;
    }
    permit->KeepRequest();
  }
  (this->*known->second.handler)(in);
  return true;
}

// Reads the request, and lets `answer` answer it.
template <class Request, class Answer>
void InferenceDoor::Receive(const Incoming& in, Answer answer) {
  in.call->ReadOnly([this, in, answer = std::move(answer)](
                        absl::StatusOr<http::grpc::Message> message) mutable {
    if (!message.ok()) {
      return in.metrics->Observe(ToHttpCode(message.status()), parts_.clock.Monotonic() - in.start);
    }
    Request request;
    if (const absl::Status parsed = ParseMessage(*message, request); !parsed.ok()) {
      return Fail(in, parsed);
    }
    answer(request);
  });
}

void InferenceDoor::Reply(const Incoming& in, const google::protobuf::Message& message) {
  in.call->Answer(FrameOf(message), nullptr);
  in.metrics->Observe(200, parts_.clock.Monotonic() - in.start);
}

void InferenceDoor::Fail(const Incoming& in, const absl::Status& status) {
  const int code = ToHttpCode(status);
  if (code == 500) {
    Log(Severity::kError, "call_failed",
        {{"request_id", in.call->request_id()}, {"error", status}});
  }
  in.call->Finish(ForCaller(status));
  in.metrics->Observe(code, parts_.clock.Monotonic() - in.start);
}

void InferenceDoor::Ask(const Incoming& in, std::string_view method,
                        std::vector<WorkerQuery> queries,
                        std::function<void(const std::vector<Worker::Outcome>&)> done) {
  const absl::Time deadline = in.call->Deadline(parts_.clock.Now(), options_.query_timeout);
  const auto token = parts_.tokens.Issue(in.key->principal, ServiceId::kWorker);
  if (!token.ok()) return Fail(in, token.status());
  AskWorkers(method, {.token = *token, .request_id = in.call->request_id(), .deadline = deadline},
             std::move(queries), std::move(done));
}

void InferenceDoor::ServerLive(const Incoming& in) {
  Receive<inference::ServerLiveRequest>(in, [this, in](const auto&) {
    inference::ServerLiveResponse response;
    response.set_live(true);
    Reply(in, response);
  });
}

void InferenceDoor::ServerReady(const Incoming& in) {
  Receive<inference::ServerReadyRequest>(in, [this, in](const auto&) {
    inference::ServerReadyResponse response;
    response.set_ready(parts_.ready());
    Reply(in, response);
  });
}

void InferenceDoor::ServerMetadata(const Incoming& in) {
  Receive<inference::ServerMetadataRequest>(in, [this, in](const auto&) {
    Reply(in, DescribeServer(options_.server_name, options_.version));
  });
}

void InferenceDoor::ModelReady(const Incoming& in) {
  Receive<inference::ModelReadyRequest>(in, [this, in](const auto& request) {
    const auto endpoint = FindEndpoint(parts_.routes, *in.key, request.name(), request.version());
    if (!endpoint.ok()) return Fail(in, endpoint.status());
    const Target* target = (*endpoint)->Choose(request.version(), 0);
    inference::ModelReadyResponse response;
    response.set_ready(target != nullptr && !target->workers.empty());
    Reply(in, response);
  });
}

void InferenceDoor::ModelMetadata(const Incoming& in) {
  Receive<inference::ModelMetadataRequest>(in, [this, in](const auto& request) {
    const auto endpoint = FindEndpoint(parts_.routes, *in.key, request.name(), request.version());
    if (!endpoint.ok()) return Fail(in, endpoint.status());
    Reply(in, DescribeModel(**endpoint, request.version()));
  });
}

void InferenceDoor::ModelConfig(const Incoming& in) {
  Receive<inference::ModelConfigRequest>(in, [this, in](const auto& request) {
    const auto endpoint = FindEndpoint(parts_.routes, *in.key, request.name(), request.version());
    if (!endpoint.ok()) return Fail(in, endpoint.status());
    const Target* target = (*endpoint)->Choose(request.version(), 0);
    auto query = ConfigQuery(**endpoint, target);
    if (!query.ok()) return Fail(in, query.status());
    Ask(in, "ModelConfig", {*std::move(query)},
        [this, in, name = request.name()](const std::vector<Worker::Outcome>& outcomes) {
          auto answers = ParseAnswers<inference::ModelConfigResponse>(outcomes);
          if (!answers.ok()) return Fail(in, answers.status());
          (*answers)[0].mutable_config()->set_name(name);
          Reply(in, (*answers)[0]);
        });
  });
}

void InferenceDoor::ModelStatistics(const Incoming& in) {
  Receive<inference::ModelStatisticsRequest>(in, [this, in](const auto& request) {
    std::vector<WorkerQuery> queries;
    if (request.name().empty()) {
      queries = StatisticsQueries(*parts_.routes.Get(), *in.key);
    } else {
      const auto endpoint = FindEndpoint(parts_.routes, *in.key, request.name(), request.version());
      if (!endpoint.ok()) return Fail(in, endpoint.status());
      queries = StatisticsQueries(**endpoint, request.version());
    }
    Ask(in, "ModelStatistics", std::move(queries),
        [this, in](const std::vector<Worker::Outcome>& outcomes) {
          const auto answers = ParseAnswers<inference::ModelStatisticsResponse>(outcomes);
          if (!answers.ok()) return Fail(in, answers.status());
          Reply(in, MergeStatistics(*answers));
        });
  });
}

void InferenceDoor::RepositoryIndex(const Incoming& in) {
  Receive<inference::RepositoryIndexRequest>(in, [this, in](const auto& request) {
    const absl::Status may =
        CheckMayManage(*in.key, in.call->exchange().head(), parts_.metrics, parts_.refusals);
    if (!may.ok()) return Fail(in, may);
    Reply(in, DescribeRepository(*parts_.routes.Get(), request.ready()));
  });
}

template <class Request, class Answer>
void InferenceDoor::ChangeRepository(const Incoming& in, ChangeOf change) {
  Receive<Request>(in, [this, in, change](const Request& request) {
    const absl::Status may =
        CheckMayManage(*in.key, in.call->exchange().head(), parts_.metrics, parts_.refusals);
    if (!may.ok()) return Fail(in, may);
    const auto name = DeploymentName::Parse("model_name", request.model_name());
    if (!name.ok()) return Fail(in, name.status());
    (parts_.repository.*change)(in.call->exchange(), in.key, *name,
                                [this, in](const absl::Status& status) {
                                  if (status.ok()) {
                                    Reply(in, Answer());
                                  } else {
                                    Fail(in, status);
                                  }
                                });
  });
}

void InferenceDoor::RepositoryModelLoad(const Incoming& in) {
  ChangeRepository<inference::RepositoryModelLoadRequest, inference::RepositoryModelLoadResponse>(
      in, &Repository::Load);
}

void InferenceDoor::RepositoryModelUnload(const Incoming& in) {
  ChangeRepository<inference::RepositoryModelUnloadRequest,
                   inference::RepositoryModelUnloadResponse>(in, &Repository::Unload);
}

void InferenceDoor::SharedMemory(const Incoming& in) {
  Fail(in,
       absl::UnimplementedError("shared memory is between a worker and callers on its machine"));
}

void InferenceDoor::ModelInfer(const Incoming& in) {
  const absl::Status may =
      CheckMayCall(*in.key, in.call->exchange().head(), parts_.metrics, parts_.refusals);
  if (!may.ok()) return Fail(in, may);
  in.call->ReadOnly([this, in](absl::StatusOr<http::grpc::Message> message) {
    if (!message.ok()) {
      return in.metrics->Observe(ToHttpCode(message.status()), parts_.clock.Monotonic() - in.start);
    }
    const auto head = ReadModelHead(message->view());
    if (!head.ok()) return Fail(in, head.status());
    auto endpoint = FindEndpoint(parts_.routes, *in.key, head->model, head->version);
    if (!endpoint.ok()) return Fail(in, endpoint.status());
    NoteModel(in.call->exchange(), (*endpoint)->name);
    const auto input_bytes = static_cast<int64_t>(message->view().size());
    const auto prediction = std::make_shared<Prediction>(predictions_, in.key, *std::move(endpoint),
                                                         head->version, in.call->request_id());
    in.call->exchange().OnCancel([weak = std::weak_ptr(prediction)] {
      if (const auto held = weak.lock()) held->Cancel();
    });
    prediction->Start(
        {.message = ToCord(*std::move(message)),
         .sequence = head->sequence,
         .less_urgent = head->less_urgent,
         .input_bytes = input_bytes,
         .rows = head->rows,
         .sticky = StickyValue(prediction->endpoint(), in.call->exchange().head().headers),
         .head = &in.call->exchange().head(),
         .deadline = in.call->Deadline(parts_.clock.Now(), absl::InfiniteDuration()),
         .span = SpanOf(in.call->exchange())},
        [this, in, prediction](absl::StatusOr<InferAnswer> answer) {
          EndInfer(in, prediction, std::move(answer));
        });
  });
}

void InferenceDoor::EndInfer(const Incoming& in, const std::shared_ptr<Prediction>& prediction,
                             absl::StatusOr<InferAnswer> answer) {
  absl::Status status = answer.status();
  std::string frame;
  if (status.ok()) {
    frame = InferFrame(*answer, prediction->model_name(), prediction->model_version());
    // Before the first byte of the answer.
    status = prediction->Book(*answer, static_cast<int64_t>(frame.size()));
  }
  http::Headers limits;
  prediction->AddLimitHeaders(limits);
  in.call->AddHeaders(limits);
  if (!status.ok()) {
    const int code = ToHttpCode(status);
    if (code == 500) {
      Log(Severity::kError, "prediction_failed",
          {{"endpoint", prediction->deployment()},
           {"request_id", prediction->request_id()},
           {"error", status}});
    }
    in.call->Finish(ForCaller(status));
    return prediction->Fail(code);
  }
  const bool delivered = in.call->Answer(
      std::move(frame), [prediction, guard = in.in_flight](const absl::Status& sent) {
        prediction->Settle(sent.ok() ? 200 : kCallerLeft);
      });
  if (delivered) prediction->Settle(200);
}

void InferenceDoor::ModelStreamInfer(const Incoming& in) {
  const absl::Status may =
      CheckMayCall(*in.key, in.call->exchange().head(), parts_.metrics, parts_.refusals);
  if (!may.ok()) return Fail(in, may);
  if (streams_.count() >= options_.max_streams) {
    parts_.metrics.CountRefusal("busy");
    return Fail(in, absl::UnavailableError("too many streams are open; try again"));
  }
  std::make_shared<InferStream>(InferStream::Parts{streamed_, in_flight_, streams_}, in.call,
                                in.key)
      ->Start();
}

}  // namespace slipway::gateway
