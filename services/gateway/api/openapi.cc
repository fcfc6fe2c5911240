#include "services/gateway/api/openapi.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;
// Keeps the order in which things are said.
using json = nlohmann::ordered_json;

// The comments of the proto files, by the full name of what they are about.
class Comments {
 public:
  static absl::StatusOr<Comments> Read(std::string_view descriptor_set) {
    pb::FileDescriptorSet files;
    if (!files.ParseFromArray(descriptor_set.data(), static_cast<int>(descriptor_set.size()))) {
      return absl::InternalError("the API's descriptor set could not be parsed");
    }
    Comments comments;
    comments.pool_ = std::make_unique<pb::DescriptorPool>();
    for (const pb::FileDescriptorProto& file : files.file()) {
      if (comments.pool_->BuildFile(file) == nullptr) {
        return absl::InternalError(fmt::format("descriptor of {} is broken", file.name()));
      }
    }
    return comments;
  }

  std::string Of(const pb::Descriptor& type) const {
    return Text(pool_->FindMessageTypeByName(type.full_name()));
  }
  std::string Of(const pb::FieldDescriptor& field) const {
    return Text(pool_->FindFieldByName(field.full_name()));
  }
  std::string Of(const pb::MethodDescriptor& method) const {
    return Text(pool_->FindMethodByName(method.full_name()));
  }

 private:
  template <class Descriptor>
  static std::string Text(const Descriptor* descriptor) {
    pb::SourceLocation location;
    if (descriptor == nullptr || !descriptor->GetSourceLocation(&location)) return "";
    // One paragraph: the lines' breaks are those of the file.
    std::string text;
    for (const char c : location.leading_comments) {
      const bool space = c == '\n' || c == ' ';
      if (!space) {
        text += c;
      } else if (!text.empty() && text.back() != ' ') {
        text += ' ';
      }
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text;
  }

  std::unique_ptr<pb::DescriptorPool> pool_;
};

std::string_view RoleName(const std::optional<Role>& role) {
  if (!role) return "any key";
  switch (*role) {
    case Role::kViewer:
      return "viewer";
    case Role::kCaller:
      return "caller";
    case Role::kDeveloper:
      return "developer";
    case Role::kOwner:
      return "owner";
    case Role::kOperator:
      return "operator";
    case Role::kNone:
      break;
  }
  return "none";
}

class Writer {
 public:
  explicit Writer(const Comments& comments) : comments_(comments) {}

  json Document(const MethodTable& methods, std::string_view version) {
    json paths = json::object();
    for (const PublicMethod& method : methods.methods()) {
      for (const HttpBinding& binding : method.bindings) {
        std::string verb = binding.http_method;
        std::transform(verb.begin(), verb.end(), verb.begin(),
                       [](unsigned char c) { return std::tolower(c); });
        paths[binding.path.OpenApiPath()][verb] = Operation(method, binding);
      }
    }
    AddErrorSchema();
    return {
        {"openapi", "3.0.3"},
        {"info",
         {{"title", "Slipway"},
          {"version", version},
          {"description",
           "Models as a service. `tenants/-` in a name is the caller's own tenant. Predictions go "
           "to /v2, the Open Inference Protocol."},
          {"license",
           {{"name", "Apache-2.0"}, {"url", "https://www.apache.org/licenses/LICENSE-2.0"}}}}},
        {"servers", json::array({{{"url", "/"}}})},
        {"security", json::array({{{"bearer", json::array()}}, {{"apiKey", json::array()}}})},
        {"paths", std::move(paths)},
        {"components",
         {{"securitySchemes",
           {{"bearer",
             {{"type", "http"}, {"scheme", "bearer"}, {"description", "An API key, slw_..."}}},
            {"apiKey",
             {{"type", "apiKey"},
              {"in", "header"},
              {"name", "x-api-key"},
              {"description", "The same key"}}}}},
          {"responses",
           {{"Error",
             {{"description", "The call failed; x-request-id names it in the platform's log."},
              {"content",
               {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}}}}},
          {"schemas", std::move(schemas_)}}}};
  }

 private:
  json Operation(const PublicMethod& method, const HttpBinding& binding) {
    const pb::MethodDescriptor& descriptor = *method.descriptor;
    json operation = {
        {"operationId", fmt::format("{}_{}", descriptor.service()->name(), descriptor.name())},
        {"tags", {descriptor.service()->name()}}};
    if (const std::string words = comments_.Of(descriptor); !words.empty()) {
      operation["description"] = words;
    }
    operation["x-slipway-role"] = RoleName(method.role);
    json parameters = json::array();
    for (const std::string& name : binding.path.OpenApiNames()) {
      parameters.push_back(
          {{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
    }
    if (binding.body != HttpBinding::Body::kWhole) AddQuery(binding, descriptor, parameters);
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
    if (binding.body != HttpBinding::Body::kNone) operation["requestBody"] = Body(method, binding);
    operation["responses"] = {
        {"200", {{"description", "Done"}, {"content", Content(method)}}},
        {"default", {{"$ref", "#/components/responses/Error"}}},
    };
    return operation;
  }

  void AddQuery(const HttpBinding& binding, const pb::MethodDescriptor& descriptor,
                json& parameters) {
    for (int i = 0; i < descriptor.input_type()->field_count(); ++i) {
      const pb::FieldDescriptor& field = *descriptor.input_type()->field(i);
      const bool in_path =
          std::any_of(binding.variables.begin(), binding.variables.end(),
                      [&](const FieldPath& path) { return path.front() == &field; });
      const bool is_object = field.message_type() != nullptr &&
                             field.message_type()->file()->package() != "google.protobuf";
      if (in_path || is_object || &field == binding.body_field) continue;
      json parameter = {
          {"name", field.json_name()}, {"in", "query"}, {"schema", FieldSchema(field)}};
      if (const std::string words = comments_.Of(field); !words.empty()) {
        parameter["description"] = words;
      }
      parameters.push_back(std::move(parameter));
    }
  }

  json Body(const PublicMethod& method, const HttpBinding& binding) {
    if (method.client_streaming()) {
      return {{"required", true},
              {"content",
               {{"application/octet-stream",
                 {{"schema", {{"type", "string"}, {"format", "binary"}}}}}}}};
    }
    const pb::Descriptor& type = binding.body == HttpBinding::Body::kWhole
                                     ? *method.descriptor->input_type()
                                     : *binding.body_field->message_type();
    return {{"required", binding.body == HttpBinding::Body::kField},
            {"content", {{"application/json", {{"schema", MessageSchema(type)}}}}}};
  }

  json Content(const PublicMethod& method) {
    if (method.answers_bytes()) {
      return {
          {"application/octet-stream", {{"schema", {{"type", "string"}, {"format", "binary"}}}}}};
    }
    // One object a line.
    const char* type = method.server_streaming() ? "application/x-ndjson" : "application/json";
    return {{type, {{"schema", MessageSchema(*method.descriptor->output_type())}}}};
  }

  static std::string NameOf(const pb::Descriptor& type) {
    constexpr std::string_view kPackage = "slipway.";
    const std::string& name = type.full_name();
    return name.starts_with(kPackage) ? name.substr(kPackage.size()) : name;
  }

  // A reference; the schema itself is written on the first.
  json MessageSchema(const pb::Descriptor& type) {
    if (type.file()->package() == "google.protobuf") return WellKnownSchema(type.name());
    const std::string name = NameOf(type);
    if (written_.insert(name).second) {
      json properties = json::object();
      for (int i = 0; i < type.field_count(); ++i) {
        const pb::FieldDescriptor& field = *type.field(i);
        json schema = FieldSchema(field);
        const std::string words = comments_.Of(field);
        if (!words.empty() && !schema.contains("$ref")) schema["description"] = words;
        properties[field.json_name()] = std::move(schema);
      }
      json schema = {{"type", "object"}};
      if (const std::string words = comments_.Of(type); !words.empty()) {
        schema["description"] = words;
      }
      schema["properties"] = std::move(properties);
      schemas_[name] = std::move(schema);
    }
    return {{"$ref", "#/components/schemas/" + name}};
  }

  static json WellKnownSchema(const std::string& name) {
    if (name == "Timestamp") return {{"type", "string"}, {"format", "date-time"}};
    if (name == "Duration") return {{"type", "string"}, {"example", "3.5s"}};
    if (name == "FieldMask") return {{"type", "string"}};
    if (name == "Value") return json::object();
    if (name == "ListValue") return {{"type", "array"}, {"items", json::object()}};
    return {{"type", "object"}};
  }

  json FieldSchema(const pb::FieldDescriptor& field) {
    if (field.is_map()) {
      return {{"type", "object"},
              {"additionalProperties", ValueSchema(*field.message_type()->map_value())}};
    }
    if (field.is_repeated()) return {{"type", "array"}, {"items", ValueSchema(field)}};
    return ValueSchema(field);
  }

  json ValueSchema(const pb::FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT32:
      case pb::FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"format", "int32"}};
      case pb::FieldDescriptor::CPPTYPE_INT64:
      case pb::FieldDescriptor::CPPTYPE_UINT64:
        return {{"type", "string"}, {"format", "int64"}};
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        return {{"type", "number"}, {"format", "double"}};
      case pb::FieldDescriptor::CPPTYPE_FLOAT:
        return {{"type", "number"}, {"format", "float"}};
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case pb::FieldDescriptor::CPPTYPE_ENUM: {
        json names = json::array();
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          names.push_back(field.enum_type()->value(i)->name());
        }
        return {{"type", "string"}, {"enum", std::move(names)}};
      }
      case pb::FieldDescriptor::CPPTYPE_STRING:
        if (field.type() == pb::FieldDescriptor::TYPE_BYTES) {
          return {{"type", "string"}, {"format", "byte"}};
        }
        return {{"type", "string"}};
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        return MessageSchema(*field.message_type());
    }
    return json::object();
  }

  void AddErrorSchema() {
    const auto text = [](const char* words) {
      return json{{"type", "string"}, {"description", words}};
    };
    schemas_["Error"] = {
        {"type", "object"},
        {"required", {"error"}},
        {"properties",
         {{"error",
           {{"type", "object"},
            {"required", {"code", "message", "field", "requestId"}},
            {"properties",
             {{"code", text("INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, ...")},
              {"message", text("For people")},
              {"field", text("What of the request is wrong, as the caller wrote it; or empty")},
              {"requestId", text("The request's name in the platform's log")}}}}}}}};
  }

  const Comments& comments_;
  json schemas_ = json::object();
  std::set<std::string> written_;
};

}  // namespace

absl::StatusOr<std::string> OpenApiDocument(const MethodTable& methods,
                                            std::string_view descriptor_set,
                                            std::string_view version) {
  ASSIGN_OR_RETURN(const Comments comments, Comments::Read(descriptor_set));
  return Writer(comments).Document(methods, version).dump(1);
}

}  // namespace slipway::gateway
