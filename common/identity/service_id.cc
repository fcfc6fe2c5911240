#include <array>
#include <string_view>
#include <utility>

#include "common/identity/token.h"

namespace slipway {
namespace {

constexpr std::array<std::pair<ServiceId, std::string_view>, 6> kNames = {{
    {ServiceId::kGateway, "gateway"},
    {ServiceId::kRegistry, "registry"},
    {ServiceId::kTraining, "training"},
    {ServiceId::kTrainer, "trainer"},
    {ServiceId::kController, "controller"},
    {ServiceId::kWorker, "worker"},
}};

}  // namespace

std::string_view ServiceName(ServiceId service) {
  for (const auto& [id, name] : kNames) {
    if (id == service) return name;
  }
  return "";
}

ServiceId ServiceByName(std::string_view name) {
  for (const auto& [id, known] : kNames) {
    if (known == name) return id;
  }
  return ServiceId::kNone;
}

bool MaySpeakFor(ServiceId issuer, ServiceId caller) {
  switch (issuer) {
    case ServiceId::kGateway:
      return caller == ServiceId::kGateway;
    case ServiceId::kTraining:
      return caller == ServiceId::kTraining || caller == ServiceId::kTrainer;
    case ServiceId::kController:
      return caller == ServiceId::kController || caller == ServiceId::kWorker;
    default:
      return false;
  }
}

}  // namespace slipway
