#include "services/controller/worker_spec.h"

#include <filesystem>
#include <utility>

#include "common/names/names.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::controller {
namespace {

void Set(std::vector<std::string>& args, std::string_view key, std::string_view value) {
  args.push_back("--set");
  args.push_back(fmt::format("{}={}", key, value));
}

std::string WorkerName(const PoolConfig& pool, int index) {
  return fmt::format("worker-{}-{}", pool.name, index);
}

}  // namespace

std::string WorkerAddress(const ControllerConfig& config, const PoolConfig& pool, int index) {
  return fmt::format("unix:{}/{}.sock", config.run_dir, WorkerName(pool, index));
}

std::vector<std::string> OwnerArguments(const ControllerConfig& config, const std::string& owner) {
  std::vector<std::string> args;
  if (const auto version = VersionName::Parse("owner", owner); version.ok()) {
    Set(args, "tenant", version->model.tenant);
    Set(args, "model_version", owner);
    Set(args, "torchscript.digests", fmt::format("{}", fmt::join(config.torchscript.digests, ",")));
    Set(args, "torchscript.max_run", absl::FormatDuration(config.torchscript.max_run));
  } else {
    Set(args, "tenant", TenantName::Parse("owner", owner)->tenant);
  }
  return args;
}

ProcessSpec WorkerSpec(const ControllerConfig& config, const PoolConfig& pool, int index,
                       const std::string& owner, const std::string& program) {
  ProcessSpec spec;
  spec.program = program;
  const auto set = [&](std::string_view key, std::string_view value) {
    Set(spec.args, key, value);
  };
  const std::string name = WorkerName(pool, index);
  set("listen", WorkerAddress(config, pool, index));
  set("admin_listen", fmt::format("unix:{}/{}-admin.sock", config.run_dir, name));
  set("registry", config.registry);
  set("trust_dir", config.trust_dir);
  if (owner.empty()) {
    set("data_dir", config.data_dir);
    set("share_uploaded", pool.share_uploaded ? "true" : "false");
  } else {
    set("data_dir", fmt::format("{}/{}", config.data_dir, owner));
    for (std::string& arg : OwnerArguments(config, owner)) spec.args.push_back(std::move(arg));
  }
  set("device", pool.kind == "gpu" ? "cuda" : "cpu");
  set("threads", std::to_string(pool.threads));
  if (config.tls.configured()) {
    set("tls.certificate_file", config.tls.certificate_file);
    set("tls.key_file", config.tls.key_file);
    set("tls.ca_file", config.tls.ca_file);
  }
  set("log.level", config.log.level);
  if (!config.log.file.empty()) {
    const std::string folder = std::filesystem::path(config.log.file).parent_path().string();
    set("log.file", fmt::format("{}/{}.jsonl", folder, name));
    spec.log_file = fmt::format("{}/{}.stderr", folder, name);
  }
  // OpenMP's threads would spin at each barrier, on cores that others need.
  spec.env["OMP_WAIT_POLICY"] = "PASSIVE";
  return spec;
}

}  // namespace slipway::controller
