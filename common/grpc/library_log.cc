#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "common/grpc/transport.h"
#include "common/log/log.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/grpc.h"
#include "grpc/support/log.h"

namespace slipway {
namespace {

void LogFromGrpc(gpr_log_func_args* args) {
  const Severity severity = args->severity == GPR_LOG_SEVERITY_ERROR  ? Severity::kWarning
                            : args->severity == GPR_LOG_SEVERITY_INFO ? Severity::kInfo
                                                                      : Severity::kDebug;
  Log(severity, "grpc_message_logged",
      {{"message", args->message}, {"file", args->file}, {"line", args->line}});
}

void LogFromProtobuf(google::protobuf::LogLevel level, const char* file, int line,
                     const std::string& message) {
  const Severity severity =
      level >= google::protobuf::LOGLEVEL_WARNING ? Severity::kWarning : Severity::kInfo;
  Log(severity, "protobuf_message_logged", {{"message", message}, {"file", file}, {"line", line}});
}

}  // namespace

void PrepareLibraries() {
  static const bool once = [] {
    gpr_set_log_function(LogFromGrpc);
    google::protobuf::SetLogHandler(LogFromProtobuf);
    // A connection that is being made while no call waits for it is looked at this often only, by
    // default every 5 s: attempts over a network then time out before anybody sees them succeed.
    ::setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 0);
    // For good: grpc_shutdown(), in the last destructor that uses the library, joins a poller that
    // may sleep for 10 s yet (gRPC 1.51, measured), and a service's end would take as long.
    grpc_init();
    // Debian builds Abseil with its search for lock cycles, which each lock of gRPC pays for
    // (3% of a small call, measured).
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace slipway
