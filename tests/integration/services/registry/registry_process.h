#ifndef SLIPWAY_TESTS_INTEGRATION_SERVICES_REGISTRY_REGISTRY_PROCESS_H_
#define SLIPWAY_TESTS_INTEGRATION_SERVICES_REGISTRY_REGISTRY_PROCESS_H_

#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>

#include "common/process/local_process_launcher.h"
#include "tests/integration/services/registry/registry_client.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::registry {

/// slipway-registry as a real process.
class RegistryProcessFixture : public ::testing::Test {
 protected:
  void Start() {
    ProcessSpec spec;
    spec.program = Program("slipway-registry");
    spec.log_file = dir_ / "log";
    for (const std::string& setting :
         {"listen=" + address_, "admin_listen=unix:" + (dir_ / "admin.sock"),
          "trust_dir=" + trust_.folder(), "database=sqlite:" + data_ + "/registry.db",
          "blobs=" + data_ + "/blobs"}) {
      spec.args.push_back("--set");
      spec.args.push_back(setting);
    }
    auto process = launcher_.Launch(spec);
    ASSERT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
  }

  void Kill() {
    process_->Kill();
    ASSERT_EQ(process_->Wait()->signal, SIGKILL);
  }

  RegistryClient Client() {
    Principal who;
    who.tenant = "acme";
    who.role = Role::kDeveloper;
    who.caller = ServiceId::kGateway;
    return RegistryClient(address_, trust_.Token(who, ServiceId::kRegistry));
  }

  TempDir dir_;
  TestTrust trust_;
  /// Where it keeps its data.
  std::string data_ = dir_.path();
  const std::string address_ = "unix:" + (dir_ / "registry.sock");
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> process_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_TESTS_INTEGRATION_SERVICES_REGISTRY_REGISTRY_PROCESS_H_
