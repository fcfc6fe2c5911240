#include "services/gateway/api/transcoder.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "common/fields/field_reader.h"
#include "common/http/uri.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "services/gateway/api/json_reader.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;

constexpr std::string_view kOwnTenant = "tenants/-";
constexpr size_t kMaxParameters = 64;

pb::Message& Container(const FieldPath& path, pb::Message& message) {
  pb::Message* at = &message;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    at = at->GetReflection()->MutableMessage(at, path[i]);
  }
  return *at;
}

const std::string& TextAt(const FieldPath& path, const pb::Message& message, std::string& scratch) {
  const pb::Message* at = &message;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    at = &at->GetReflection()->GetMessage(*at, path[i]);
  }
  return at->GetReflection()->GetStringReference(*at, path.back(), &scratch);
}

// May `path` be set by a query parameter? Not what path or body say.
bool TakenElsewhere(const HttpBinding& binding, const FieldPath& path) {
  if (binding.body == HttpBinding::Body::kWhole || path.front() == binding.body_field) return true;
  return std::find(binding.variables.begin(), binding.variables.end(), path) !=
         binding.variables.end();
}

absl::Status UnknownParameter(const HttpBinding& binding, const pb::Descriptor& type,
                              std::string_view name) {
  std::vector<std::string_view> known;
  if (binding.body != HttpBinding::Body::kWhole) {
    for (int i = 0; i < type.field_count(); ++i) {
      if (!TakenElsewhere(binding, {type.field(i)})) known.push_back(type.field(i)->json_name());
    }
  }
  const std::string_view nearest = NearestName(name, known);
  return InvalidField(name.substr(0, 80), nearest.empty()
                                              ? "is no parameter of this call"
                                              : fmt::format("is no parameter of this call; did "
                                                            "you mean {}?",
                                                            nearest));
}

absl::Status ReadQuery(const MethodTable::Match& match, std::string_view query,
                       pb::Message& request) {
  if (query.empty()) return absl::OkStatus();
  const pb::Descriptor& type = *request.GetDescriptor();
  ASSIGN_OR_RETURN(const auto parameters, http::ParseQuery(query));
  if (parameters.size() > kMaxParameters) {
    return absl::InvalidArgumentError(
        fmt::format("the query has more than {} parameters", kMaxParameters));
  }
  std::set<FieldPath> seen;
  for (const auto& [name, value] : parameters) {
    const FieldPath path = ResolveFieldPath(type, name);
    if (path.empty() || TakenElsewhere(*match.binding, path)) {
      return UnknownParameter(*match.binding, type, name);
    }
    if (path.back()->is_map()) return InvalidField(name, "cannot be given in a query");
    if (!seen.insert(path).second && !path.back()->is_repeated()) {
      return InvalidField(name, "is given more than once");
    }
    RETURN_IF_ERROR(ReadText(value, name, *path.back(), Container(path, request)));
  }
  return absl::OkStatus();
}

absl::Status ReadPath(const MethodTable::Match& match, pb::Message& request) {
  for (size_t i = 0; i < match.variables.size(); ++i) {
    const FieldPath& path = match.binding->variables[i];
    const auto& [name, value] = match.variables[i];
    std::string scratch;
    // A body may repeat what the path says, as an object that was read and is sent back does.
    const std::string& in_body = TextAt(path, request, scratch);
    if (!in_body.empty() && in_body != value && !value.starts_with("tenants/-/")) {
      return InvalidField(path.back()->json_name(),
                          fmt::format("differs from the path, which says {}", value));
    }
    RETURN_IF_ERROR(ReadText(value, name, *path.back(), Container(path, request)));
  }
  return absl::OkStatus();
}

class OwnTenant {
 public:
  explicit OwnTenant(const Principal& principal) : principal_(principal) {}

  absl::Status Resolve(pb::Message& message, const std::string& path) {
    const pb::Reflection& access = *message.GetReflection();
    std::vector<const pb::FieldDescriptor*> fields;
    access.ListFields(message, &fields);
    for (const pb::FieldDescriptor* field : fields) {
      const std::string here = JoinPath(path, field->json_name());
      if (field->type() == pb::FieldDescriptor::TYPE_STRING) {
        RETURN_IF_ERROR(ResolveText(message, *field, here));
      } else if (field->message_type() != nullptr &&
                 field->message_type()->file()->package() != "google.protobuf") {
        const int count = field->is_repeated() ? access.FieldSize(message, field) : 1;
        for (int i = 0; i < count; ++i) {
          RETURN_IF_ERROR(field->is_repeated()
                              ? Resolve(*access.MutableRepeatedMessage(&message, field, i),
                                        JoinPath(here, static_cast<size_t>(i)))
                              : Resolve(*access.MutableMessage(&message, field), here));
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ResolveText(pb::Message& message, const pb::FieldDescriptor& field,
                           const std::string& path) {
    const pb::Reflection& access = *message.GetReflection();
    if (!field.is_repeated()) {
      ASSIGN_OR_RETURN(std::string text, Resolved(access.GetString(message, &field), path));
      access.SetString(&message, &field, std::move(text));
      return absl::OkStatus();
    }
    for (int i = 0; i < access.FieldSize(message, &field); ++i) {
      ASSIGN_OR_RETURN(std::string text, Resolved(access.GetRepeatedString(message, &field, i),
                                                  JoinPath(path, static_cast<size_t>(i))));
      access.SetRepeatedString(&message, &field, i, std::move(text));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Resolved(std::string text, const std::string& path) const {
    if (!text.starts_with(kOwnTenant) ||
        (text.size() > kOwnTenant.size() && text[kOwnTenant.size()] != '/')) {
      return text;
    }
    if (principal_.tenant.empty()) {
      return InvalidField(path, "the operator has no tenant of its own: name one instead of '-'");
    }
    return fmt::format("tenants/{}{}", principal_.tenant, text.substr(kOwnTenant.size()));
  }

  const Principal& principal_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<pb::Message>> ReadRequest(const MethodTable::Match& match,
                                                         std::string_view query,
                                                         std::string_view body) {
  std::unique_ptr<pb::Message> request(match.method->request->New());
  const HttpBinding& binding = *match.binding;
  if (binding.body != HttpBinding::Body::kNone && !match.method->client_streaming()) {
    nlohmann::json json = nlohmann::json::object();
    if (!body.empty()) {
      ASSIGN_OR_RETURN(json, ParseJson(body, "", kBodyLimits));
    }
    pb::Message& target =
        binding.body == HttpBinding::Body::kWhole
            ? *request
            : *request->GetReflection()->MutableMessage(request.get(), binding.body_field);
    RETURN_IF_ERROR(ReadMessage(json, "", target));
  }
  RETURN_IF_ERROR(ReadQuery(match, query, *request));
  RETURN_IF_ERROR(ReadPath(match, *request));
  return request;
}

absl::Status ResolveOwnTenant(const Principal& principal, pb::Message& request) {
  return OwnTenant(principal).Resolve(request, "");
}

absl::Status CheckTenant(const HttpBinding& binding, const Principal& principal,
                         const pb::Message& request,
                         const std::function<bool(std::string_view)>& tenant_exists) {
  constexpr std::string_view kPrefix = "tenants/";
  for (size_t i = 0; i < binding.variables.size(); ++i) {
    const FieldPath& path = binding.variables[i];
    std::string scratch;
    const std::string& name = TextAt(path, request, scratch);
    if (!binding.path.Fits(i, name)) {
      return InvalidField(path.back()->json_name(),
                          fmt::format("must have the form {}", binding.path.Form(i)));
    }
    if (!name.starts_with(kPrefix)) continue;
    std::string_view tenant = std::string_view(name).substr(kPrefix.size());
    tenant = tenant.substr(0, tenant.find('/'));
    RETURN_IF_ERROR(CheckSlug(path.back()->json_name(), tenant));
    if (!principal.MayAccess(tenant) || !tenant_exists(tenant)) return NotFound(name);
  }
  return absl::OkStatus();
}

std::string ResourceOf(const HttpBinding& binding, const pb::Message& request) {
  if (binding.variables.empty()) return "";
  std::string scratch;
  return TextAt(binding.variables.front(), request, scratch);
}

std::string ToJson(const pb::Message& message) {
  pb::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = pb::util::MessageToJsonString(message, &json, options);
  // Only invalid UTF-8 in a text or a broken Any could fail, and neither gets past parsing.
  return status.ok() ? json : "{}";
}

}  // namespace slipway::gateway
