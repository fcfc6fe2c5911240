#include "services/cli/up/services.h"

#include "common/process/local_process_launcher.h"
#include "fmt/format.h"

namespace slipway::cli {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

void Add(ProcessSpec& spec, const Settings& settings) {
  for (const auto& [key, value] : settings) {
    spec.args.push_back("--set");
    spec.args.push_back(fmt::format("{}={}", key, value));
  }
}

// What every service is told.
absl::StatusOr<ProcessSpec> BaseSpec(const std::string& service, const DataDirectory& directory) {
  ProcessSpec spec;
  ASSIGN_OR_RETURN(spec.program, SiblingProgram("slipway-" + service));
  spec.log_file = fmt::format("{}/{}.stderr", directory.Folder("logs"), service);
  Add(spec, {{"log.file", fmt::format("{}/{}.jsonl", directory.Folder("logs"), service)}});
  return spec;
}

std::string Database(const DataDirectory& directory, const std::string& service) {
  return fmt::format("sqlite:{}/{}.db", directory.Folder(service), service);
}

Settings SettingsOf(const std::string& service, const DataDirectory& directory,
                    const Addresses& addresses) {
  const std::string identity = directory.Folder(service) + "/identity.pem";
  Settings settings = {{"admin_listen", directory.Socket(service + "-admin")},
                       {"database", Database(directory, service)},
                       {"trust_dir", directory.Folder("trust")}};
  const auto add = [&](Settings more) {
    settings.insert(settings.end(), more.begin(), more.end());
  };
  if (service == "registry") {
    add({{"listen", directory.Socket("registry")}, {"blobs", directory.Folder("registry/blobs")}});
  } else if (service == "training") {
    add({{"listen", directory.Socket("training")},
         {"registry", directory.Socket("registry")},
         {"identity_key", identity},
         {"data_dir", directory.Folder("training")}});
  } else if (service == "controller") {
    add({{"listen", directory.Socket("controller")},
         {"registry", directory.Socket("registry")},
         {"identity_key", identity},
         {"data_dir", directory.Folder("worker")},
         {"run_dir", directory.run_folder()}});
  } else {
    std::vector<std::string> scraped = ServiceNames();
    // The controller starts workers by itself.
    scraped.push_back("worker-*");
    std::string targets;
    for (const std::string& name : scraped) {
      targets += fmt::format("{}{}={}", targets.empty() ? "" : ",", name,
                             directory.Socket(name + "-admin"));
    }
    add({{"listen", addresses.api},
         {"metrics_listen", addresses.metrics},
         {"metrics_targets", targets},
         {"registry", directory.Socket("registry")},
         {"training", directory.Socket("training")},
         {"controller", directory.Socket("controller")},
         {"identity_key", identity},
         {"pepper_file", directory.Folder("gateway/pepper")},
         {"data_dir", directory.Folder("gateway")},
         {"admin_key_file", AdminKeyFile(directory)}});
  }
  return settings;
}

}  // namespace

const std::vector<std::string>& ServiceNames() {
  static const std::vector<std::string> names = {"registry", "training", "controller", "gateway"};
  return names;
}

std::string AdminSocket(std::string_view service) { return fmt::format("{}-admin.sock", service); }

std::string AdminKeyFile(const DataDirectory& directory) {
  return directory.run_folder() + "/admin-key";
}

absl::StatusOr<ProcessSpec> SpecOf(const std::string& service, const DataDirectory& directory,
                                   const Addresses& addresses) {
  ASSIGN_OR_RETURN(ProcessSpec spec, BaseSpec(service, directory));
  Add(spec, SettingsOf(service, directory, addresses));
  return spec;
}

absl::StatusOr<ProcessSpec> RecoverySpec(const DataDirectory& directory) {
  ASSIGN_OR_RETURN(ProcessSpec spec,
                   SpecOf("gateway", directory, {.api = "127.0.0.1:0", .metrics = "127.0.0.1:0"}));
  Add(spec, {{"recover_admin_key", "true"}});
  return spec;
}

absl::StatusOr<ProcessSpec> VerificationSpec(const DataDirectory& directory) {
  ASSIGN_OR_RETURN(ProcessSpec spec,
                   SpecOf("gateway", directory, {.api = "127.0.0.1:0", .metrics = "127.0.0.1:0"}));
  Add(spec, {{"verify_audit", "true"}});
  spec.log_file.clear();  // what it prints is for the reader
  return spec;
}

}  // namespace slipway::cli
