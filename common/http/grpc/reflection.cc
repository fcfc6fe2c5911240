#include "common/http/grpc/reflection.h"

#include <limits>
#include <utility>
#include <vector>

#include "common/http/grpc/messages.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.pb.h"

namespace slipway::http::grpc {
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

absl::StatusOr<std::unique_ptr<Reflection>> Reflection::Create(std::string_view descriptors,
                                                               std::set<std::string> services) {
  pb::FileDescriptorSet set;
  if (descriptors.size() > std::numeric_limits<int>::max() ||
      !set.ParseFromArray(descriptors.data(), static_cast<int>(descriptors.size()))) {
    return absl::InternalError("the descriptors of what is served are none");
  }
  auto pool = std::make_unique<pb::DescriptorPool>();
  for (const pb::FileDescriptorProto& file : set.file()) {
    if (pool->BuildFile(file) == nullptr) {
      return absl::InternalError(fmt::format("the descriptors of {} do not fit", file.name()));
    }
  }
  const pb::DescriptorPool& built = *pool;
  std::unique_ptr<Reflection> made(new Reflection(std::move(pool), built, std::move(services)));
  RETURN_IF_ERROR(made->Check());
  return made;
}

absl::StatusOr<std::unique_ptr<Reflection>> Reflection::Create(std::set<std::string> services) {
  std::unique_ptr<Reflection> made(
      new Reflection(nullptr, *pb::DescriptorPool::generated_pool(), std::move(services)));
  RETURN_IF_ERROR(made->Check());
  return made;
}

absl::Status Reflection::Check() const {
  for (const std::string& service : services_) {
    if (pool_.FindServiceByName(service) == nullptr) {
      return absl::InternalError(fmt::format("{} is served without a descriptor", service));
    }
  }
  return absl::OkStatus();
}

ServerReflectionResponse Reflection::Answer(const ServerReflectionRequest& request) const {
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

bool Reflection::Handle(const std::shared_ptr<ServerCall>& call, std::string_view method) const {
  if (method != "ServerReflectionInfo") return false;
  call->AllowStream();
  Next(call);
  return true;
}

// The next request is read when the kernel has taken the last answer.
void Reflection::Next(const std::shared_ptr<ServerCall>& call) const {
  call->ReadNext([this, call](absl::StatusOr<std::optional<Message>> message) {
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

}  // namespace slipway::http::grpc
