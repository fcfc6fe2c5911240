#ifndef SLIPWAY_TESTS_SUPPORT_S3_SERVER_H_
#define SLIPWAY_TESTS_SUPPORT_S3_SERVER_H_

#include <memory>
#include <string>
#include <string_view>

#include "common/process/local_process_launcher.h"
#include "common/process/process_launcher.h"
#include "tests/support/temp_dir.h"

namespace slipway {

/// A real S3 server of this test's own: SeaweedFS, as deploy/bootstrap brings it, in a temporary
/// folder, on free ports of 127.0.0.1, with the bucket "data" and two keys that may do unlike
/// things. It ends with the object, and with the test's process however that ends. Aborts with what
/// the server said where it does not start. One thread.
class S3Server {
 public:
  static constexpr char kBucket[] = "data";
  /// May do everything.
  static constexpr char kOwnerKey[] = "owner-key";
  static constexpr char kOwnerSecret[] = "owner-secret-0123456789";
  /// May list and read the bucket.
  static constexpr char kReaderKey[] = "reader-key";
  static constexpr char kReaderSecret[] = "reader-secret-0123456789";

  S3Server();
  ~S3Server();

  /// "http://127.0.0.1:12345"
  const std::string& endpoint() const { return endpoint_; }

  /// Writes an object of the bucket; what is larger than 5 MB in several parts.
  void Put(const std::string& key, std::string_view content);
  /// Whether that key of access may write.
  bool MayWrite(const std::string& access_key, const std::string& secret);

 private:
  class Client;
  bool Start();
  [[noreturn]] void Fail(std::string_view what) const;

  TempDir dir_;
  std::string endpoint_;
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> server_;
  std::unique_ptr<Client> owner_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_S3_SERVER_H_
