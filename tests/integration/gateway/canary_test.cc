// What is secret is nowhere: not in what the gateway answers, logs, measures or keeps, whichever
// door it came to and however that call ended.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/gateway/identity/api_key.h"
#include "slipway/gateway/v1/gateway.pb.h"
#include "tests/integration/gateway/generic_call.h"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/registry/registry_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string Bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CanaryTest : public ::testing::Test {
 protected:
  CanaryTest()
      : registry_(trust_, folder_.path().string(), folder_ / "registry.sock"),
        platform_(trust_, folder_ / "platform.sock"),
        gateway_(launcher_, trust_,
                 {.registry = registry_.address(),
                  .training = platform_.address(),
                  .controller = platform_.address(),
                  .settings = {"log.level=debug"},
                  .wrapper = {}}) {}

  // Asks, and keeps all that is answered.
  http::RawPeer::Answer Ask(const std::string& method, const std::string& target,
                            const std::string& headers, const std::string& body = "") {
    http::RawPeer peer(gateway_.address());
    const auto answer =
        peer.Ask(fmt::format("{} {} HTTP/1.1\r\nHost: x\r\n{}Content-Length: {}\r\n\r\n{}", method,
                             target, headers, body.size(), body));
    std::string seen = answer.status_line + "\n";
    for (const auto& field : answer.headers) {
      seen += std::string(field.name) + ": " + std::string(field.value) + "\n";
    }
    answers_ += seen + answer.body + "\n";
    return answer;
  }
  static std::string Bearer(const std::string& key) {
    return "Authorization: Bearer " + key + "\r\n";
  }

  json Make(const std::string& target, const std::string& body) {
    const auto answer = Ask("POST", target, Bearer(gateway_.operator_key()), body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }

  const TempDir folder_;
  const TestTrust trust_;
  LocalProcessLauncher launcher_;
  RegistryServer registry_;
  FakePlatform platform_;
  GatewayProcess gateway_;
  std::string answers_;
};

TEST_F(CanaryTest, NoSecretIsAnsweredLoggedMeasuredOrKept) {
  Make("/api/v1/tenants?tenantId=acme", "{}");
  const json made = Make("/api/v1/tenants/acme/keys", R"({"role":"ROLE_OWNER"})");
  const json revoked = Make("/api/v1/tenants/acme/keys", R"({"role":"ROLE_OWNER"})");
  Make(fmt::format("/api/v1/{}:revoke", revoked["name"].get<std::string>()), "{}");
  // The two answers that hand a key over, this once.
  answers_.clear();

  const std::string stranger(MakeApiKey("local").text.Reveal());
  const std::string header = "canary-header-5f0c31";
  const std::map<std::string, std::string> secrets = {
      {"the operator's key", gateway_.operator_key()},
      {"a key", made["secret"]},
      {"a revoked key", revoked["secret"]},
      {"a key that nobody knows", stranger},
      {"a header", header},
  };

  const std::string form =
      "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n";
  const std::vector<std::pair<std::string, std::string>> routes = {
      {"GET", "/api/v1/tenants/-"},
      {"GET", "/api/v1/tenants/acme/keys"},
      {"GET", "/api/v1/tenants/globex"},
      {"POST", "/api/v1/tenants/-/models?modelId=m"},
      {"POST", "/api/v1/tenants/-/models?modelId=%00"},
      {"DELETE", "/api/v1/tenants/-/models/m"},
      {"GET", "/api/v1/tenants/-/usage"},
      {"GET", "/api/v1/tenants/-/usageRecords"},
      {"GET", "/api/v1/tenants/-/auditRecords"},
      {"GET", "/api/v1/nothing"},
      {"GET", "/v1/models"},
      {"GET", "/v1/models/nothing"},
      {"POST", "/v1/files"},
      {"GET", "/v1/files"},
      {"GET", "/v1/files/nothing"},
      {"POST", "/v1/batches"},
      {"POST", "/v1/chat/completions"},
      {"GET", "/v1/organization/projects"},
      {"GET", "/v2/health/ready"},
      {"GET", "/v2/models/nothing"},
      {"POST", "/v2/models/nothing/infer"},
      {"POST", "/v2/repository/index"},
      {"GET", "/openapi.json"},
      {"GET", "/nothing"},
      {"BREW", "/api/v1/tenants/-"},
  };
  const auto channel = DialDoor(gateway_.address());
  for (const auto& [name, secret] : secrets) {
    const std::vector<std::string> carriers = {
        Bearer(secret), "x-api-key: " + secret + "\r\n", "Authorization: Basic " + secret + "\r\n",
        Bearer(secret) + "x-api-key: " + header + "\r\n",
        Bearer(secret) + "Cookie: " + header + "\r\nX-Forwarded-For: " + header +
            "\r\ntraceparent: " + header + "\r\n"};
    for (const std::string& carrier : carriers) {
      for (const auto& [method, target] : routes) {
        const bool files = method == "POST" && target == "/v1/files";
        Ask(method, target,
            carrier + (files ? "Content-Type: multipart/form-data; boundary=b\r\n" : ""),
            method != "POST" ? ""
            : files          ? form
                             : "{}");
      }
    }
    // Cut, and with something behind it.
    Ask("GET", "/v1/models", Bearer(secret.substr(0, secret.size() - 1)));
    Ask("GET", "/v1/models", Bearer(secret + "x"));
    for (const char* method :
         {"PlatformService/GetPlatform", "TenantService/ListTenants", "TenantService/Nothing"}) {
      GenericCall call(channel, std::string("/slipway.gateway.v1.") + method, secret);
      call.Write(v1::GetPlatformRequest());
      call.WritesDone();
      v1::Platform ignored;
      call.Read(ignored);
      const grpc::Status status = call.Finish();
      answers_ += status.error_message() + status.error_details() + "\n";
    }
    // What is no HTTP at all.
    http::RawPeer broken(gateway_.address());
    broken.Send("GET / HTTP/1.1\r\nAuthorization: Bearer " + secret +
                "\r\nContent-Length: 1\r\n"
                "Content-Length: 2\r\n\r\n");
    answers_ += broken.ReadToEnd();
  }
  const std::string metrics = gateway_.Metrics();
  ASSERT_NE(metrics, "");
  ASSERT_TRUE(Eventually([&] {
    return Ask("GET", "/api/v1/tenants/acme/auditRecords", Bearer(made["secret"])).status == 200;
  }));
  gateway_.Stop();

  // The secret part alone gives a key away, too.
  std::map<std::string, std::string> wanted = secrets;
  for (const auto& [name, secret] : secrets) {
    if (secret.starts_with("slw_")) {
      wanted["the secret of " + name] = secret.substr(secret.rfind('_') + 1);
    }
  }
  // "1 <hex digits>"
  std::string pepper = Bytes(gateway_.folder() / "pepper");
  pepper = pepper.substr(pepper.rfind(' ') + 1);
  while (!pepper.empty() && pepper.back() == '\n') pepper.pop_back();
  ASSERT_GE(pepper.size(), 64u);
  wanted["the pepper"] = pepper;
  const auto search = [&](const std::string& place, const std::string& bytes) {
    for (const auto& [name, secret] : wanted) {
      EXPECT_EQ(bytes.find(secret), std::string::npos) << name << " is in " << place;
    }
  };
  search("an answer", answers_);
  search("the metrics", metrics);
  int files = 0;
  for (const fs::path& root : {gateway_.folder(), fs::path(folder_.path())}) {
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      // Where the pepper and the first key are kept for who may have them.
      const fs::path name = entry.path().filename();
      if (!entry.is_regular_file() || name == "pepper" || name == "admin-key") continue;
      search(entry.path().string(), Bytes(entry.path()));
      ++files;
    }
  }
  EXPECT_GT(files, 4) << "database, journal, log, ...";
}

}  // namespace
}  // namespace slipway::gateway
