#include "services/gateway/openai/openai_handler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "common/names/names.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "services/gateway/api/pages.h"
#include "services/gateway/error_body.h"
#include "services/gateway/oip/model_lookup.h"
#include "services/gateway/openai/objects.h"
#include "slipway/gateway/v1/batches.pb.h"

namespace slipway::gateway {
namespace {

using nlohmann::json;
using openai::AnswerWith;
using openai::BatchObject;
using openai::ListObject;
using openai::ListQuery;
using openai::RequestPtr;

// What CreateBatch asks, from what OpenAI's clients send.
absl::StatusOr<v1::CreateBatchRequest> ReadNewBatch(const json& body, std::string& file) {
  v1::CreateBatchRequest create;
  v1::Batch& batch = *create.mutable_batch();
  for (const auto& [key, value] : body.items()) {
    if (key == "metadata") {
      if (value.is_null()) continue;
      if (!value.is_object()) return InvalidField(key, "must be an object of texts");
      for (const auto& [name, text] : value.items()) {
        if (!text.is_string()) return InvalidField(key, "must be an object of texts");
        (*batch.mutable_metadata())[name] = text.get<std::string>();
      }
      continue;
    }
    const bool known = key == "input_file_id" || key == "endpoint" || key == "completion_window";
    if (!known) return InvalidField(key.substr(0, 80), "is not supported here");
    if (!value.is_string()) return InvalidField(key, "must be a text");
  }
  for (const char* needed : {"input_file_id", "endpoint", "completion_window"}) {
    if (!body.contains(needed)) return InvalidField(needed, "is missing");
  }
  file = body["input_file_id"].get<std::string>();
  batch.set_endpoint(body["endpoint"].get<std::string>());
  absl::Duration window;
  if (!absl::ParseDuration(body["completion_window"].get<std::string>(), &window) ||
      window < absl::ZeroDuration() || window > absl::Hours(24 * 365)) {
    return InvalidField("completion_window", "must be a time such as 24h");
  }
  batch.mutable_completion_window()->set_seconds(absl::ToInt64Seconds(window));
  return create;
}

// The public API's names of fields in the words of this one: "batch.completionWindow: must ..."
absl::Status InWordsOfBatches(const absl::Status& status) {
  static const std::map<std::string, std::string> names = {
      {"batch.endpoint", "endpoint"},
      {"batch.completionWindow", "completion_window"},
      {"batch.metadata", "metadata"}};
  const std::string field = FieldOf(status);
  const auto known = names.find(field);
  if (known == names.end()) return status;
  return InvalidField(known->second, std::string(status.message()).substr(field.size() + 2));
}

}  // namespace

OpenAiHandler::OpenAiHandler(const Parts& parts)
    : parts_(parts),
      files_(parts.calls, parts.clock),
      fine_tuning_(parts.calls, files_, parts.clock),
      organization_(parts.calls, parts.clock),
      models_(parts.metrics.Method("v1/models")),
      other_(parts.metrics.Method("other")) {
  Add("GET", "/v1/models", [this](const auto& request) { ListModels(request); });
  Add("GET", "/v1/models/{id}", [this](const auto& request) { RetrieveModel(request); });
  Add("POST", "/v1/files", [this](const auto& request) { files_.Create(request); });
  Add("GET", "/v1/files", [this](const auto& request) { files_.List(request); });
  Add("GET", "/v1/files/{id}", [this](const auto& request) { files_.Retrieve(request); });
  Add("GET", "/v1/files/{id}/content", [this](const auto& request) { files_.Content(request); });
  Add("DELETE", "/v1/files/{id}", [this](const auto& request) { files_.Delete(request); });
  Add("POST", "/v1/batches", [this](const auto& request) { CreateBatch(request); });
  Add("GET", "/v1/batches", [this](const auto& request) { ListBatches(request); });
  Add("GET", "/v1/batches/{id}", [this](const auto& request) { RetrieveBatch(request); });
  Add("POST", "/v1/batches/{id}/cancel", [this](const auto& request) { CancelBatch(request); });
  const std::string jobs = "/v1/fine_tuning/jobs";
  Add("POST", jobs, [this](const auto& request) { fine_tuning_.Create(request); });
  Add("GET", jobs, [this](const auto& request) { fine_tuning_.List(request); });
  const auto add = [&](std::string_view http_method, const std::string& below, auto handler) {
    Add(http_method, jobs + "/{id}" + below,
        [this, handler](const auto& request) { (fine_tuning_.*handler)(request); });
  };
  add("GET", "", &openai::FineTuning::Retrieve);
  add("POST", "/cancel", &openai::FineTuning::Cancel);
  add("POST", "/pause", &openai::FineTuning::Pause);
  add("POST", "/resume", &openai::FineTuning::Resume);
  add("GET", "/events", &openai::FineTuning::ListEvents);
  add("GET", "/checkpoints", &openai::FineTuning::ListCheckpoints);
  for (const auto& route : openai::Organization::Routes()) {
    Add(route.http_method, route.path,
        [this, &route](const auto& request) { organization_.Handle(route, request); });
  }
}

void OpenAiHandler::Add(std::string_view http_method, std::string_view path, Handler handler) {
  auto parsed = PathTemplate::Parse(path);
  if (!parsed.ok()) {
    std::fprintf(stderr, "%s\n", parsed.status().ToString().c_str());
    std::abort();
  }
  routes_.push_back({http_method, *std::move(parsed), std::move(handler)});
}

void OpenAiHandler::Handle(std::shared_ptr<http::Exchange> exchange,
                           std::shared_ptr<const KnownKey> key) {
  const http::RequestHead& head = exchange->head();
  const auto refuse = [&](http::Response response) {
    other_.Observe(response.status, absl::ZeroDuration());
    exchange->Respond(std::move(response));
  };
  const auto path = RequestPath::Parse(head.path());
  if (!path.ok()) return refuse(OpenAiError(path.status()));
  std::vector<std::string_view> allowed;
  for (const Route& route : routes_) {
    const auto variables = route.path.Match(*path);
    if (!variables) continue;
    if (route.http_method != head.method) {
      allowed.push_back(route.http_method);
      continue;
    }
    auto request = std::shared_ptr<openai::Request>(
        new openai::Request{std::move(exchange), std::move(key), InFlight::Guard(in_flight_)});
    const auto organization = request->exchange->head().headers.Find("openai-organization");
    if (organization && request->key->principal.role == Role::kOperator) {
      request->tenant = fmt::format("tenants/{}", *organization);
    }
    if (!variables->empty()) request->id = variables->front().second;
    if (variables->size() > 1) request->child_id = variables->back().second;
    return route.handler(request);
  }
  if (allowed.empty()) {
    return refuse(OpenAiError(absl::NotFoundError("there is no such endpoint here")));
  }
  refuse(
      MethodNotAllowed(head.path(), fmt::format("{}", fmt::join(allowed, ", ")), head.request_id));
}

bool OpenAiHandler::Admit(const RequestPtr& request) {
  absl::StatusOr<Permit> permit = parts_.admission.Admit(*request->key, &request->exchange->head());
  if (permit.ok()) {
    permit->KeepRequest();
  } else {
    models_.Observe(ToHttpCode(permit.status()), absl::ZeroDuration());
    request->Refuse(permit.status());
  }
  return permit.ok();
}

void OpenAiHandler::ListModels(const RequestPtr& request) {
  if (!Admit(request)) return;
  std::map<std::string, std::shared_ptr<const Endpoint>> models;
  const auto routes = parts_.routes.Get();
  for (const auto& [name, endpoint] : routes->endpoints()) {
    if (endpoint->tenant == request->key->principal.tenant &&
        request->key->MayCall(endpoint->name)) {
      models[endpoint->name] = endpoint;
    }
  }
  json data = json::array();
  for (const auto& [name, endpoint] : models) data.push_back(openai::ModelObject(*endpoint));
  request->Answer(openai::ListObject(std::move(data), /*has_more=*/false));
  models_.Observe(200, absl::ZeroDuration());
}

void OpenAiHandler::RetrieveModel(const RequestPtr& request) {
  if (!Admit(request)) return;
  const auto endpoint = FindEndpoint(parts_.routes, *request->key, request->id, "");
  models_.Observe(ToHttpCode(endpoint.status()), absl::ZeroDuration());
  if (!endpoint.ok()) return request->Refuse(endpoint.status());
  request->Answer(openai::ModelObject(**endpoint));
}

void OpenAiHandler::CreateBatch(const RequestPtr& request) {
  openai::ReadBody(request, [this, request](const json& body) {
    std::string file;
    absl::StatusOr<v1::CreateBatchRequest> create = ReadNewBatch(body, file);
    if (!create.ok()) return request->Refuse(create.status());
    files_.Find(
        request, file,
        [this, request, create = *std::move(create)](const registry::v1::Dataset& dataset) mutable {
          if (dataset.purpose() != "batch") {
            return request->Refuse(
                InvalidField("input_file_id", "is of a file that was not uploaded for batches"));
          }
          create.set_parent(request->tenant);
          create.mutable_batch()->set_input_dataset(dataset.name());
          parts_.calls.Call<v1::Batch>("BatchService/CreateBatch", *request->exchange, request->key,
                                       std::move(create),
                                       [request](const absl::StatusOr<const v1::Batch*>& made) {
                                         if (!made.ok()) {
                                           return request->Refuse(InWordsOfBatches(made.status()));
                                         }
                                         request->Answer(BatchObject(**made));
                                       });
        });
  });
}

void OpenAiHandler::ListBatches(const RequestPtr& request) {
  const auto query = ListQuery::Read(request->exchange->head().query(), 20, 100, {});
  if (!query.ok()) return request->Refuse(query.status());
  v1::ListBatchesRequest list;
  list.set_parent(request->tenant);
  list.set_page_size(query->limit);
  if (!query->after.empty()) list.set_page_token(Page::Token(query->after));
  parts_.calls.Call<v1::ListBatchesResponse>(
      "BatchService/ListBatches", *request->exchange, request->key, std::move(list),
      AnswerWith<v1::ListBatchesResponse>(request, [](const v1::ListBatchesResponse& answer) {
        json batches = json::array();
        for (const v1::Batch& batch : answer.batches()) batches.push_back(BatchObject(batch));
        return ListObject(std::move(batches), !answer.next_page_token().empty());
      }));
}

template <class Ask>
void OpenAiHandler::AskForBatch(std::string_view method, const RequestPtr& request) {
  if (!IsSlug(request->id)) {
    return request->Refuse(NotFound(fmt::format("batch {}", request->id.substr(0, 80))));
  }
  Ask ask;
  ask.set_name(fmt::format("{}/batches/{}", request->tenant, request->id));
  parts_.calls.Call<v1::Batch>(method, *request->exchange, request->key, std::move(ask),
                               AnswerWith<v1::Batch>(request, BatchObject));
}

void OpenAiHandler::RetrieveBatch(const RequestPtr& request) {
  AskForBatch<v1::GetBatchRequest>("BatchService/GetBatch", request);
}

void OpenAiHandler::CancelBatch(const RequestPtr& request) {
  AskForBatch<v1::CancelBatchRequest>("BatchService/CancelBatch", request);
}

}  // namespace slipway::gateway
