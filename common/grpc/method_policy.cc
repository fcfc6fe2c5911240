#include "common/grpc/method_policy.h"

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "slipway/options/v1/options.pb.h"

namespace slipway {
namespace {

ServicePolicy EmptyPolicy(const google::protobuf::ServiceDescriptor& service) {
  ServicePolicy policy;
  policy.service = service.name();
  policy.full_name = service.full_name();
  for (int i = 0; i < service.method_count(); ++i) {
    const auto* method = service.method(i);
    policy.methods.push_back(
        {method->name(), method->client_streaming() || method->server_streaming(), 0});
  }
  return policy;
}

absl::Status Undeclared(const google::protobuf::ServiceDescriptor& service,
                        const std::string& method, std::string_view problem) {
  return absl::FailedPreconditionError(
      fmt::format("{}.{} {}", service.full_name(), method, problem));
}

uint32_t Bit(ServiceId caller) { return 1u << static_cast<uint32_t>(caller); }

}  // namespace

absl::StatusOr<const google::protobuf::ServiceDescriptor*> FindService(std::string_view full_name) {
  const auto* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(std::string(full_name));
  if (service == nullptr) {
    return absl::NotFoundError(fmt::format("no service {} is linked in", full_name));
  }
  return service;
}

absl::StatusOr<ServicePolicy> ReadPolicy(const google::protobuf::ServiceDescriptor& service) {
  ServicePolicy policy = EmptyPolicy(service);
  for (int i = 0; i < service.method_count(); ++i) {
    ServicePolicy::Method& method = policy.methods[i];
    const auto& declared =
        service.method(i)->options().GetExtension(slipway::options::v1::internal);
    for (const int caller : declared.callers()) {
      if (caller == slipway::options::v1::SERVICE_UNSPECIFIED ||
          !slipway::options::v1::Service_IsValid(caller)) {
        return Undeclared(service, method.name, "declares a caller that is no service");
      }
      method.callers |= Bit(static_cast<ServiceId>(caller));
    }
    if (method.callers == 0) {
      return Undeclared(service, method.name, "declares no (slipway.options.v1.internal).callers");
    }
  }
  return policy;
}

absl::StatusOr<ServicePolicy> ApplyPolicies(const google::protobuf::ServiceDescriptor& service,
                                            const std::vector<MethodPolicy>& policies) {
  ServicePolicy policy = EmptyPolicy(service);
  for (const MethodPolicy& given : policies) {
    bool found = false;
    for (ServicePolicy::Method& method : policy.methods) {
      if (method.name != given.method) continue;
      found = true;
      for (const ServiceId caller : given.callers) {
        if (caller != ServiceId::kNone) method.callers |= Bit(caller);
      }
    }
    if (!found) return Undeclared(service, std::string(given.method), "is no method of it");
  }
  for (const ServicePolicy::Method& method : policy.methods) {
    if (method.callers == 0) return Undeclared(service, method.name, "is given no callers");
  }
  return policy;
}

}  // namespace slipway
