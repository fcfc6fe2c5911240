#include "services/gateway/grpc/reflection.h"

#include <limits>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "google/protobuf/descriptor.pb.h"
#include "services/gateway/grpc/frame.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;
using ::grpc::reflection::v1::ServerReflectionRequest;
using ::grpc::reflection::v1::ServerReflectionResponse;

// The file, after those that it imports.
void AddFile(const pb::FileDescriptor& file, std::set<std::string>& seen,
             ::grpc::reflection::v1::FileDescriptorResponse& out) {
  if (!seen.insert(file.name()).second) return;
  pb::FileDescriptorProto proto;
  file.CopyTo(&proto);
  proto.SerializeToString(out.add_file_descriptor_proto());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), seen, out);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReflectionDoor>> ReflectionDoor::Create(
    std::string_view descriptors, std::set<std::string> services) {
  pb::FileDescriptorSet set;
  if (descriptors.size() > std::numeric_limits<int>::max() ||
      !set.ParseFromArray(descriptors.data(), static_cast<int>(descriptors.size()))) {
    return absl::InternalError("the descriptors of the public door are none");
  }
  auto door = std::unique_ptr<ReflectionDoor>(new ReflectionDoor(std::move(services)));
  for (const pb::FileDescriptorProto& file : set.file()) {
    if (door->pool_.BuildFile(file) == nullptr) {
      return absl::InternalError(fmt::format("the descriptors of {} do not fit", file.name()));
    }
  }
  for (const std::string& service : door->services_) {
    if (door->pool_.FindServiceByName(service) == nullptr) {
      return absl::InternalError(fmt::format("{} is served without a descriptor", service));
    }
  }
  return door;
}

ServerReflectionResponse ReflectionDoor::Answer(const ServerReflectionRequest& request) const {
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const auto not_found = [&] {
    auto& error = *response.mutable_error_response();
    error.set_error_code(static_cast<int>(absl::StatusCode::kNotFound));
    error.set_error_message("not found");
  };
  const auto give = [&](const pb::FileDescriptor* file) {
    if (file == nullptr) return not_found();
    std::set<std::string> seen;
    AddFile(*file, seen, *response.mutable_file_descriptor_response());
  };
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      give(pool_.FindFileByName(request.file_by_filename()));
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      give(pool_.FindFileContainingSymbol(request.file_containing_symbol()));
      break;
    case ServerReflectionRequest::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const pb::Descriptor* type = pool_.FindMessageTypeByName(wanted.containing_type());
      const pb::FieldDescriptor* extension =
          type == nullptr ? nullptr : pool_.FindExtensionByNumber(type, wanted.extension_number());
      give(extension == nullptr ? nullptr : extension->file());
      break;
    }
    case ServerReflectionRequest::kAllExtensionNumbersOfType: {
      const pb::Descriptor* type =
          pool_.FindMessageTypeByName(request.all_extension_numbers_of_type());
      if (type == nullptr) {
        not_found();
        break;
      }
      std::vector<const pb::FieldDescriptor*> extensions;
      pool_.FindAllExtensions(type, &extensions);
      auto& numbers = *response.mutable_all_extension_numbers_response();
      numbers.set_base_type_name(type->full_name());
      for (const auto* extension : extensions) numbers.add_extension_number(extension->number());
      break;
    }
    case ServerReflectionRequest::kListServices:
      for (const std::string& service : services_) {
        response.mutable_list_services_response()->add_service()->set_name(service);
      }
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET: {
      auto& error = *response.mutable_error_response();
      error.set_error_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
      error.set_error_message("the request asks nothing");
      break;
    }
  }
  return response;
}

bool ReflectionDoor::Handle(const std::shared_ptr<http::grpc::ServerCall>& call,
                            std::string_view method) const {
  if (method != "ServerReflectionInfo") return false;
  call->AllowStream();
  Next(call);
  return true;
}

// The next request is read when the kernel has taken the last answer.
void ReflectionDoor::Next(const std::shared_ptr<http::grpc::ServerCall>& call) const {
  call->ReadNext([this, call](absl::StatusOr<std::optional<http::grpc::Message>> message) {
    if (!message.ok()) return;
    if (!*message) return call->Finish(absl::OkStatus());
    ServerReflectionRequest request;
    if (const absl::Status parsed = ParseMessage(**message, request); !parsed.ok()) {
      return call->Finish(parsed);
    }
    call->Write(FrameOf(Answer(request)), [this, call](const absl::Status& sent) {
      if (sent.ok()) Next(call);
    });
  });
}

}  // namespace slipway::gateway
