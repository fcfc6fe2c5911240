#ifndef SLIPWAY_TESTS_SUPPORT_POSTGRES_H_
#define SLIPWAY_TESTS_SUPPORT_POSTGRES_H_

#include <memory>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "common/process/process_launcher.h"
#include "tests/support/temp_dir.h"

namespace slipway {

/// A real PostgreSQL server of this test's own: Debian's, in a temporary folder, on a free port of
/// 127.0.0.1, run as `postgres` where the test runs as root (the server refuses root). It ends
/// with the object, and with the test's process however that ends. Aborts with what the server
/// said where it does not start.
class TestPostgres {
 public:
  TestPostgres();
  ~TestPostgres();

  /// One for the whole program, started when first asked for.
  static TestPostgres& Shared();

  /// The URL of a new, empty database.
  std::string NewDatabase();

  /// Stops the server at once, cutting its connections; Start lets it run again, on its port.
  void Stop();
  void Start();

 private:
  void Run(const std::string& program, const std::vector<std::string>& args);
  ProcessSpec Command(const std::string& program, const std::vector<std::string>& args) const;
  [[noreturn]] void Fail(const std::string& what) const;

  TempDir dir_;
  std::string bin_;
  int port_ = 0;
  int databases_ = 0;
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> server_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_POSTGRES_H_
