#include "services/gateway/api/method_table.h"

#include <algorithm>
#include <map>
#include <utility>

#include "fmt/format.h"
#include "google/api/annotations.pb.h"
#include "google/api/httpbody.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/message.h"
#include "slipway/gateway/v1/batches.pb.h"
#include "slipway/gateway/v1/gateway.pb.h"
#include "slipway/gateway/v1/identity.pb.h"
#include "slipway/gateway/v1/limits.pb.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;

bool IsHttpBody(const pb::Descriptor& type) {
  return type.full_name() == google::api::HttpBody::descriptor()->full_name();
}

const pb::FieldDescriptor* FindField(const pb::Descriptor& type, std::string_view name) {
  if (const auto* field = type.FindFieldByName(std::string(name))) return field;
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->json_name() == name) return type.field(i);
  }
  return nullptr;
}

// Reads one method's options; errors do not name the method yet.
class MethodReader {
 public:
  MethodReader(const pb::MethodDescriptor& method, bool has_handler)
      : method_(method), has_handler_(has_handler) {}

  absl::StatusOr<PublicMethod> Read() {
    out_.descriptor = &method_;
    out_.name = fmt::format("{}/{}", method_.service()->full_name(), method_.name());
    out_.label = fmt::format("{}/{}", method_.service()->name(), method_.name());
    RETURN_IF_ERROR(ReadPrototypes());
    RETURN_IF_ERROR(ReadOption());
    RETURN_IF_ERROR(ReadBindings());
    return std::move(out_);
  }

 private:
  static absl::Status Wrong(std::string_view problem) {
    return absl::FailedPreconditionError(std::string(problem));
  }

  absl::Status ReadPrototypes() {
    pb::MessageFactory& factory = *pb::MessageFactory::generated_factory();
    out_.request = factory.GetPrototype(method_.input_type());
    out_.response = factory.GetPrototype(method_.output_type());
    if (out_.request == nullptr || out_.response == nullptr) {
      return Wrong("its messages are not linked in");
    }
    if (method_.client_streaming() && method_.server_streaming()) {
      return Wrong("streams in both directions have no HTTP form");
    }
    return absl::OkStatus();
  }

  absl::Status ReadOption() {
    if (!method_.options().HasExtension(options::v1::method)) {
      return Wrong("declares no (slipway.options.v1.method)");
    }
    const options::v1::PublicMethod& option = method_.options().GetExtension(options::v1::method);
    if (option.role() == options::v1::ROLE_UNSPECIFIED) return Wrong("declares no role");
    if (option.cost() == options::v1::COST_UNSPECIFIED) return Wrong("declares no cost");
    if (option.idempotency() == options::v1::IDEMPOTENCY_UNSPECIFIED) {
      return Wrong("declares no idempotency");
    }
    if (option.idempotency() == options::v1::BY_REQUEST_ID &&
        method_.input_type()->FindFieldByName("request_id") == nullptr) {
      return Wrong("is idempotent by a request_id that its request does not have");
    }
    if (option.role() != options::v1::ROLE_ANY) out_.role = static_cast<Role>(option.role());
    out_.cost = option.cost();
    out_.idempotency = option.idempotency();
    return ReadForward(option.forward());
  }

  absl::Status ReadForward(const std::string& forward) {
    if (forward.empty()) {
      if (!has_handler_) return Wrong("has neither a forward nor a handler");
      if (method_.client_streaming()) return Wrong("takes a stream, which a handler cannot");
      return absl::OkStatus();
    }
    if (has_handler_) return Wrong("has both a forward and a handler");
    const size_t slash = forward.find('/');
    const auto* service = method_.file()->pool()->FindServiceByName(forward.substr(0, slash));
    const auto* target = service == nullptr || slash == std::string::npos
                             ? nullptr
                             : service->FindMethodByName(forward.substr(slash + 1));
    if (target == nullptr) return Wrong(fmt::format("forwards to {}, which is unknown", forward));
    if (target->input_type() != method_.input_type() ||
        target->output_type() != method_.output_type() ||
        target->client_streaming() != method_.client_streaming() ||
        target->server_streaming() != method_.server_streaming()) {
      return Wrong(fmt::format("forwards to {}, whose types differ", forward));
    }
    const auto& callers = target->options().GetExtension(options::v1::internal).callers();
    if (std::find(callers.begin(), callers.end(), options::v1::SERVICE_GATEWAY) == callers.end()) {
      return Wrong(fmt::format("forwards to {}, which the gateway may not call", forward));
    }
    out_.forward = "/" + forward;
    // slipway.<backend>.v1
    const std::string& package = target->file()->package();
    const size_t first = package.find('.');
    const size_t second = package.find('.', first + 1);
    if (first == std::string::npos || second == std::string::npos) {
      return Wrong(fmt::format("forwards to {}, whose package names no service", forward));
    }
    out_.backend = package.substr(first + 1, second - first - 1);
    return absl::OkStatus();
  }

  absl::Status ReadBindings() {
    if (!method_.options().HasExtension(google::api::http)) {
      return Wrong("declares no (google.api.http)");
    }
    const google::api::HttpRule& rule = method_.options().GetExtension(google::api::http);
    RETURN_IF_ERROR(ReadRule(rule));
    for (const google::api::HttpRule& additional : rule.additional_bindings()) {
      RETURN_IF_ERROR(ReadRule(additional));
    }
    return absl::OkStatus();
  }

  absl::Status ReadRule(const google::api::HttpRule& rule) {
    HttpBinding binding;
    std::string path;
    switch (rule.pattern_case()) {
      case google::api::HttpRule::kGet:
        binding.http_method = "GET";
        path = rule.get();
        break;
      case google::api::HttpRule::kPut:
        binding.http_method = "PUT";
        path = rule.put();
        break;
      case google::api::HttpRule::kPost:
        binding.http_method = "POST";
        path = rule.post();
        break;
      case google::api::HttpRule::kDelete:
        binding.http_method = "DELETE";
        path = rule.delete_();
        break;
      case google::api::HttpRule::kPatch:
        binding.http_method = "PATCH";
        path = rule.patch();
        break;
      default:
        return Wrong("its HTTP rule names no method");
    }
    if (!rule.response_body().empty()) return Wrong("response_body is not supported");
    ASSIGN_OR_RETURN(binding.path, PathTemplate::Parse(path));
    for (const PathTemplate::Variable& variable : binding.path.variables()) {
      FieldPath field = ResolveFieldPath(*method_.input_type(), variable.field);
      if (field.empty() || field.back()->is_repeated() ||
          field.back()->type() != pb::FieldDescriptor::TYPE_STRING) {
        return Wrong(fmt::format("its path binds {}, which is no text field of the request",
                                 variable.field));
      }
      if (std::find(binding.variables.begin(), binding.variables.end(), field) !=
          binding.variables.end()) {
        return Wrong(fmt::format("its path binds {} twice", variable.field));
      }
      binding.variables.push_back(std::move(field));
    }
    RETURN_IF_ERROR(ReadBody(rule.body(), binding));
    RETURN_IF_ERROR(CheckNames(binding));
    out_.bindings.push_back(std::move(binding));
    return absl::OkStatus();
  }

  absl::Status ReadBody(const std::string& body, HttpBinding& binding) {
    if (body == "*") {
      binding.body = HttpBinding::Body::kWhole;
    } else if (!body.empty()) {
      binding.body = HttpBinding::Body::kField;
      binding.body_field = method_.input_type()->FindFieldByName(body);
      if (binding.body_field == nullptr || binding.body_field->is_repeated() ||
          binding.body_field->message_type() == nullptr) {
        return Wrong(fmt::format("its body {} is no message field of the request", body));
      }
    }
    if (binding.body != HttpBinding::Body::kNone &&
        (binding.http_method == "GET" || binding.http_method == "DELETE")) {
      return Wrong(fmt::format("{} takes no body", binding.http_method));
    }
    const bool takes_bytes =
        binding.body_field != nullptr && IsHttpBody(*binding.body_field->message_type());
    if (method_.client_streaming() != takes_bytes) {
      return Wrong("a client stream, and nothing else, takes a body of google.api.HttpBody");
    }
    return absl::OkStatus();
  }

  // The path is where the tenant of a call is read, so a name must not slip past it.
  absl::Status CheckNames(const HttpBinding& binding) {
    for (const char* name : {"name", "parent"}) {
      const pb::FieldDescriptor* field = method_.input_type()->FindFieldByName(name);
      if (field == nullptr) continue;
      if (std::find(binding.variables.begin(), binding.variables.end(), FieldPath{field}) ==
          binding.variables.end()) {
        return Wrong(fmt::format("its path does not bind {}", name));
      }
    }
    return absl::OkStatus();
  }

  const pb::MethodDescriptor& method_;
  const bool has_handler_;
  PublicMethod out_;
};

}  // namespace

bool PublicMethod::client_streaming() const { return descriptor->client_streaming(); }
bool PublicMethod::server_streaming() const { return descriptor->server_streaming(); }
bool PublicMethod::answers_bytes() const { return IsHttpBody(*descriptor->output_type()); }
bool PublicMethod::mutates() const { return cost == options::v1::COST_WRITE || client_streaming(); }

absl::StatusOr<MethodTable> MethodTable::Build(
    const std::vector<const pb::ServiceDescriptor*>& services, const std::set<std::string>& local) {
  MethodTable table;
  std::set<std::string> unused = local;
  std::map<std::string, std::string> bound;  // "GET /api/v1/tenants/*" -> method
  for (const pb::ServiceDescriptor* service : services) {
    for (int i = 0; i < service->method_count(); ++i) {
      const pb::MethodDescriptor& descriptor = *service->method(i);
      const std::string name = fmt::format("{}/{}", service->full_name(), descriptor.name());
      absl::StatusOr<PublicMethod> method = MethodReader(descriptor, unused.erase(name) > 0).Read();
      if (!method.ok()) return Annotate(method.status(), name);
      for (const HttpBinding& binding : method->bindings) {
        const auto [other, fresh] =
            bound.emplace(fmt::format("{} {}", binding.http_method, binding.path.Shape()), name);
        if (!fresh) {
          return absl::FailedPreconditionError(
              fmt::format("{} and {} are both bound to {}", other->second, name, other->first));
        }
      }
      table.methods_.push_back(*std::move(method));
    }
  }
  if (!unused.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("{} has a handler but is no public method", *unused.begin()));
  }
  return table;
}

const PublicMethod* MethodTable::FindByName(std::string_view name) const {
  for (const PublicMethod& method : methods_) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

MethodTable::Lookup MethodTable::Find(std::string_view http_method, const RequestPath& path) const {
  Lookup lookup;
  std::set<std::string> allowed;
  bool with_verb = false;  // of what `lookup` and `allowed` hold
  for (const PublicMethod& method : methods_) {
    for (const HttpBinding& binding : method.bindings) {
      auto variables = binding.path.Match(path);
      if (!variables) continue;
      const bool has_verb = !binding.path.verb().empty();
      if (with_verb && !has_verb) continue;
      if (has_verb && !with_verb) {
        with_verb = true;
        allowed.clear();
        lookup.match.reset();
      }
      allowed.insert(binding.http_method);
      if (binding.http_method == http_method) {
        lookup.match = Match{&method, &binding, *std::move(variables)};
      }
    }
  }
  if (!lookup.match) lookup.allowed.assign(allowed.begin(), allowed.end());
  return lookup;
}

std::vector<const pb::ServiceDescriptor*> PublicServices() {
  std::vector<const pb::ServiceDescriptor*> services;
  for (const pb::Descriptor* any_of_file :
       {v1::Tenant::descriptor(), v1::Platform::descriptor(), v1::UsageRecord::descriptor(),
        v1::Limits::descriptor(), v1::Batch::descriptor()}) {
    const pb::FileDescriptor& file = *any_of_file->file();
    for (int i = 0; i < file.service_count(); ++i) services.push_back(file.service(i));
  }
  return services;
}

FieldPath ResolveFieldPath(const pb::Descriptor& type, std::string_view dotted) {
  FieldPath path;
  const pb::Descriptor* at = &type;
  for (;;) {
    if (at == nullptr || (!path.empty() && path.back()->is_repeated())) return {};
    const size_t dot = dotted.find('.');
    const pb::FieldDescriptor* field = FindField(*at, dotted.substr(0, dot));
    if (field == nullptr) return {};
    path.push_back(field);
    if (dot == std::string_view::npos) return path;
    dotted.remove_prefix(dot + 1);
    at = field->message_type();
  }
}

}  // namespace slipway::gateway
