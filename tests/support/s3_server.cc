#include "tests/support/s3_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <utility>
#include <vector>

#include "arrow/filesystem/s3fs.h"
#include "arrow/io/interfaces.h"
#include "common/files/files.h"
#include "fmt/format.h"
#include "tests/support/eventually.h"

namespace slipway {
namespace {

// A master, a volume, a filer and S3, each with a port for HTTP and one for gRPC.
constexpr size_t kPorts = 8;
constexpr int kTries = 3;

// Ports that were free a moment ago.
std::vector<int> FreePorts() {
  std::vector<int> sockets;
  std::vector<int> ports;
  for (size_t i = 0; i < kPorts; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
      ports.push_back(ntohs(address.sin_port));
    }
    sockets.push_back(fd);
  }
  for (const int fd : sockets) ::close(fd);
  return ports;
}

std::string FindProgram() {
  std::istringstream path(std::getenv("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    std::string program = folder + "/weed";
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

// Ends the library when the process does.
struct LibraryEnd {
  ~LibraryEnd() { (void)arrow::fs::EnsureS3Finalized(); }
};

}  // namespace

class S3Server::Client {
 public:
  Client(const std::string& endpoint, const std::string& access_key, const std::string& secret) {
    (void)arrow::fs::EnsureS3Initialized();
    auto options = arrow::fs::S3Options::FromAccessKey(access_key, secret);
    options.scheme = "http";
    options.endpoint_override = endpoint.substr(endpoint.find("://") + 3);
    options.region = "us-east-1";
    options.allow_bucket_creation = true;
    files_ = arrow::fs::S3FileSystem::Make(options).ValueOrDie();
    // After the first one: it needs statics that are made with it.
    static const LibraryEnd end;
  }

  bool MakeBucket() { return files_->CreateDir(kBucket, /*recursive=*/false).ok(); }

  arrow::Status Put(const std::string& key, std::string_view content) {
    ARROW_ASSIGN_OR_RAISE(const auto out,
                          files_->OpenOutputStream(fmt::format("{}/{}", kBucket, key), {}));
    ARROW_RETURN_NOT_OK(out->Write(content.data(), std::ssize(content)));
    return out->Close();
  }

 private:
  std::shared_ptr<arrow::fs::S3FileSystem> files_;
};

S3Server::S3Server() {
  const std::string keys = fmt::format(
      R"({{"identities": [
        {{"name": "owner", "credentials": [{{"accessKey": "{}", "secretKey": "{}"}}],
          "actions": ["Admin", "Read", "Write", "List"]}},
        {{"name": "reader", "credentials": [{{"accessKey": "{}", "secretKey": "{}"}}],
          "actions": ["Read:{}", "List:{}"]}}]}})",
      kOwnerKey, kOwnerSecret, kReaderKey, kReaderSecret, kBucket, kBucket);
  if (!WriteFileAtomically(dir_ / "keys.json", keys).ok()) Fail("cannot write its keys");
  std::filesystem::create_directories(dir_ / "data");
  // Another process may have taken one of the ports.
  for (int i = 0; i < kTries; ++i) {
    if (Start()) return;
  }
  Fail("it does not start");
}

S3Server::~S3Server() {
  if (server_ == nullptr) return;
  server_->Kill();
  (void)server_->Wait();
}

bool S3Server::Start() {
  const std::vector<int> ports = FreePorts();
  if (ports.size() < kPorts) return false;
  ProcessSpec spec;
  spec.program = FindProgram();
  if (spec.program.empty()) Fail("there is no program `weed`: run deploy/bootstrap test");
  spec.working_dir = dir_.path();
  spec.log_file = dir_ / "log";
  spec.args = {"-logtostderr=true",
               "server",
               "-ip=127.0.0.1",
               "-ip.bind=127.0.0.1",
               "-dir=" + (dir_ / "data"),
               "-master.telemetry=false",
               "-master.volumeSizeLimitMB=64",
               "-volume.max=20",
               "-filer",
               "-s3",
               "-s3.config=" + (dir_ / "keys.json"),
               "-s3.port.iceberg=0",
               "-s3.port.lance=0"};
  constexpr const char* kNames[] = {"master", "volume", "filer", "s3"};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    spec.args.push_back(fmt::format("-{}.port={}", kNames[i], ports[2 * i]));
    spec.args.push_back(fmt::format("-{}.port.grpc={}", kNames[i], ports[2 * i + 1]));
  }
  auto process = launcher_.Launch(spec);
  if (!process.ok()) Fail(std::string(process.status().message()));
  server_ = *std::move(process);
  endpoint_ = fmt::format("http://127.0.0.1:{}", ports[6]);
  owner_ = std::make_unique<Client>(endpoint_, kOwnerKey, kOwnerSecret);
  // It answers before it can store anything.
  bool stores = false;
  (void)Eventually(
      [&] {
        stores = owner_->MakeBucket() && owner_->Put("started", "1").ok();
        return stores || server_->Wait(absl::ZeroDuration()).ok();
      },
      absl::Minutes(1));
  return stores;
}

void S3Server::Put(const std::string& key, std::string_view content) {
  const arrow::Status put = owner_->Put(key, content);
  if (!put.ok()) Fail(put.message());
}

bool S3Server::MayWrite(const std::string& access_key, const std::string& secret) {
  return Client(endpoint_, access_key, secret).Put("written", "1").ok();
}

void S3Server::Fail(std::string_view what) const {
  std::cerr << "SeaweedFS for the test: " << what << "\n";
  std::cerr << std::ifstream(dir_ / "log").rdbuf() << std::endl;
  std::abort();
}

}  // namespace slipway
