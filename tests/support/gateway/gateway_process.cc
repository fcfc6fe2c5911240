#include "tests/support/gateway/gateway_process.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "common/files/files.h"
#include "common/http/unix_get.h"
#include "nlohmann/json.hpp"
#include "tests/support/eventually.h"
#include "tests/support/launch.h"

namespace slipway::gateway {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);

}  // namespace

GatewayProcess::GatewayProcess(ProcessLauncher& launcher, const TestTrust& trust,
                               const Options& options)
    : launcher_(launcher), wrapper_(options.wrapper) {
  if (!trust.key(ServiceId::kGateway).Save(folder_ / "identity.pem").ok()) std::abort();
  settings_ = {
      "listen=127.0.0.1:0",
      "admin_listen=unix:" + (folder_ / "admin.sock"),
      "registry=" + options.registry,
      "training=" + options.training,
      "controller=" + options.controller,
      "identity_key=" + (folder_ / "identity.pem"),
      "trust_dir=" + trust.folder(),
      "database=" + database(),
      "data_dir=" + folder_.path().string(),
      "pepper_file=" + (folder_ / "pepper"),
      "admin_key_file=" + (folder_ / "admin-key"),
      "log.file=" + (folder_ / "log.jsonl"),
  };
  settings_.insert(settings_.end(), options.settings.begin(), options.settings.end());
  Launch();
}

void GatewayProcess::Kill() {
  process_->Kill();
  if (!process_->Wait(kPatience).ok()) std::abort();
}

void GatewayProcess::Restart() {
  // The port of the new one is looked for in its log.
  std::filesystem::remove(folder_ / "log.jsonl");
  port_ = 0;
  Launch();
}

void GatewayProcess::Launch() {
  auto process = LaunchProgram(launcher_, "slipway-gateway", settings_, wrapper_);
  if (!process.ok()) {
    std::fprintf(stderr, "slipway-gateway: %s\n", process.status().ToString().c_str());
    std::abort();
  }
  process_ = *std::move(process);
  WaitUntilReady();
}

GatewayProcess::~GatewayProcess() { Stop(); }

void GatewayProcess::Stop() {
  process_->Signal(SIGTERM).IgnoreError();
  if (!process_->Wait(kPatience).ok()) process_->Kill();
}

std::string GatewayProcess::Metrics() const {
  return http::UnixGet(folder_ / "admin.sock", "/metrics", kPatience).value_or("");
}

std::string GatewayProcess::Log() const { return ReadFile(folder_ / "log.jsonl").value_or(""); }

bool GatewayProcess::Ready() const {
  return http::UnixGet(folder_ / "admin.sock", "/readyz", kPatience).has_value();
}

void GatewayProcess::WaitUntilReady() {
  const auto ready = [&] { return Ready() && FindPort(); };
  const auto ended = [&] { return process_->Wait(absl::ZeroDuration()).ok(); };
  if (!Eventually([&] { return ready() || ended(); }, kPatience) || ended()) {
    std::fprintf(stderr, "slipway-gateway did not start:\n%s\n", Log().c_str());
    std::abort();
  }
  operator_key_ = ReadFile(folder_ / "admin-key").value_or("");
}

// Which port it got, it says in its log.
bool GatewayProcess::FindPort() {
  std::istringstream lines(Log());
  for (std::string line; std::getline(lines, line);) {
    const auto event = nlohmann::json::parse(line, nullptr, false);
    if (!event.is_object() || event.value("event", "") != "service_started") continue;
    const std::string address = event.value("address", "");
    port_ = std::atoi(address.c_str() + address.rfind(':') + 1);
  }
  return port_ != 0;
}

}  // namespace slipway::gateway
