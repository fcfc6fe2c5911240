// Every principal by every public method at both doors, from the descriptors: what the role says is
// what happens, and another tenant sees nothing.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/grpc/status.h"
#include "common/identity/principal.h"
#include "google/api/annotations.pb.h"
#include "google/api/httpbody.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/api/method_table.h"
#include "services/gateway/api/transcoder.h"
#include "services/gateway/identity/api_key.h"
#include "slipway/options/v1/options.pb.h"
#include "slipway/registry/v1/registry.pb.h"
#include "tests/integration/gateway/gateway_fixture.h"
#include "tests/integration/gateway/generic_call.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;

struct Someone {
  std::string name;
  std::string key;
  Role role = Role::kNone;
  std::string tenant;  // empty: the operator's, or none's
  int refused = 0;     // with which status, whatever is asked
};

// A request for a method, made from its binding alone.
struct Request {
  std::string http_method;
  std::string target;
  std::string body;
  bool has_tenant = false;
};

class MatrixTest : public GatewayTest {
 protected:
  // "tenants" -> "acme", every other collection -> an id that parses.
  static std::string IdFor(const std::string& collection, const std::string& tenant) {
    if (collection == "tenants") return tenant;
    if (collection == "versions") return "1";
    if (collection == "blobs") return "sha256:" + std::string(64, '0');
    return "thing";
  }

  static Request RequestFor(const google::protobuf::MethodDescriptor& method,
                            const std::string& tenant) {
    const google::api::HttpRule& rule = method.options().GetExtension(google::api::http);
    Request request;
    std::string path;
    switch (rule.pattern_case()) {
      case google::api::HttpRule::kGet:
        request.http_method = "GET";
        path = rule.get();
        break;
      case google::api::HttpRule::kPost:
        request.http_method = "POST";
        path = rule.post();
        break;
      case google::api::HttpRule::kPut:
        request.http_method = "PUT";
        path = rule.put();
        break;
      case google::api::HttpRule::kPatch:
        request.http_method = "PATCH";
        path = rule.patch();
        break;
      default:
        request.http_method = "DELETE";
        path = rule.delete_();
    }
    // "{name=tenants/*/models/*}" -> "tenants/acme/models/thing"
    std::string flat;
    for (size_t i = 0; i < path.size(); ++i) {
      if (path[i] == '{') {
        i = path.find('=', i);
      } else if (path[i] != '}') {
        flat += path[i];
      }
    }
    std::string collection;
    std::string segment;
    for (const char c : flat + "/") {
      if (c != '/') {
        segment += c;
        continue;
      }
      if (segment.empty()) continue;
      if (segment.front() == '*') {
        if (collection == "tenants") request.has_tenant = true;
        segment = IdFor(collection, tenant) + segment.substr(1);
      }
      request.target += "/" + segment;
      collection = segment;
      segment.clear();
    }
    if (!rule.body().empty()) request.body = "{}";
    // What the gateway itself answers needs something to answer.
    if (method.name() == "CreateTenant") request.target += "?tenantId=fresh";
    if (method.name() == "ExplainCall") request.target += "?requestId=unheard-of";
    if (method.name() == "CreateApiKey") request.body = R"({"role":"ROLE_VIEWER"})";
    if (method.name() == "CreateProject") request.target += "?projectId=fresh";
    if (method.name() == "SetPrice") request.body = R"({"match":"*"})";
    if (method.name() == "SetPrice") request.target += "-new";
    if (method.name() == "CreateBatch") {
      request.body = fmt::format(R"({{"endpoint":"/v2/models/m/infer",)"
                                 R"("inputDataset":"tenants/{}/datasets/thing"}})",
                                 tenant);
    }
    return request;
  }

  static int Expected(const google::protobuf::MethodDescriptor& method, const Request& request,
                      const Someone& who) {
    if (who.refused != 0) return who.refused;
    const auto role = method.options().GetExtension(options::v1::method).role();
    if (role != options::v1::ROLE_ANY && !Includes(who.role, static_cast<Role>(role))) return 403;
    if (request.has_tenant && !who.tenant.empty() && who.tenant != "acme") return 404;
    // The gateway's own store knows no key and no project "thing".
    const std::string& service = method.service()->name();
    const bool keys = service == "ApiKeyService" || service == "AdminKeyService";
    const bool named = method.input_type()->FindFieldByName("name") != nullptr;
    const bool batches = service == "BatchService";
    if ((keys || batches || service == "ProjectService") && named) return 404;
    if (method.name() == "GetKeyLimits" || method.name() == "SetKeyLimits") return 404;
    if (method.name() == "DeletePrice") return 404;
    if (method.name() == "ExplainCall") return 404;
    // A batch calls models by the key that makes it, which has those of its own tenant.
    if (method.name() == "CreateBatch" && who.tenant.empty()) return 403;
    return 200;
  }

  // The same call over gRPC; its status as HTTP has it.
  int AskGrpc(const std::string& http_method, const std::string& target, const std::string& body,
              const std::string& key) {
    const size_t mark = std::min(target.find('?'), target.size());
    const auto path = RequestPath::Parse(target.substr(0, mark));
    const auto match = AllMethods().Find(http_method, *path).match;
    const auto message =
        ReadRequest(*match, mark < target.size() ? target.substr(mark + 1) : "", body);
    EXPECT_TRUE(message.ok()) << target << message.status();
    GenericCall call(channel_, "/" + match->method->name, key);
    call.Write(**message);
    call.WritesDone();
    const std::unique_ptr<google::protobuf::Message> answer(match->method->response->New());
    call.Read(*answer);
    return ToHttpCode(FromGrpcStatus(call.Finish()));
  }

  static const MethodTable& AllMethods() {
    static const auto* table = [] {
      std::set<std::string> local;
      for (const auto* service : PublicServices()) {
        for (int i = 0; i < service->method_count(); ++i) {
          const auto& method = *service->method(i);
          if (!method.options().GetExtension(options::v1::method).forward().empty()) continue;
          local.insert(service->full_name() + "/" + method.name());
        }
      }
      return new MethodTable(MethodTable::Build(PublicServices(), local).value());
    }();
    return *table;
  }

  std::shared_ptr<grpc::Channel> channel_;

  std::vector<Someone> Everyone() {
    MakeTenant("acme");
    MakeTenant("globex");
    MakeTenant("doomed");
    std::vector<Someone> everyone = {
        {"owner", MakeKey("acme", "OWNER"), Role::kOwner, "acme"},
        {"developer", MakeKey("acme", "DEVELOPER"), Role::kDeveloper, "acme"},
        {"caller", MakeKey("acme", "CALLER"), Role::kCaller, "acme"},
        {"viewer", MakeKey("acme", "VIEWER"), Role::kViewer, "acme"},
        {"other tenant's owner", MakeKey("globex", "OWNER"), Role::kOwner, "globex"},
        {"operator", operator_key_, Role::kOperator, ""},
        {"none", "", Role::kNone, "", 401},
        {"garbage", "slw_local_garbage", Role::kNone, "", 401},
        {"well-formed stranger", std::string(MakeApiKey("local").text.Reveal()), Role::kNone, "",
         401},
        {"owner on a wrong network",
         AskJson("POST", "/api/v1/tenants/acme/keys", operator_key_,
                 R"({"role":"ROLE_OWNER","allowedNetworks":["192.0.2.0/24"]})")["secret"],
         Role::kNone, "", 403},
    };
    const std::string revoked = MakeKey("acme", "OWNER");
    AskJson("POST", fmt::format("/api/v1/tenants/acme/keys/{}:revoke", *KeyIdOf(revoked)),
            operator_key_);
    everyone.push_back({"revoked owner", revoked, Role::kNone, "", 401});
    // Long enough that a busy machine has made the key by then.
    const absl::Time expiry = Clock::Real().Now() + absl::Seconds(2);
    const auto soon =
        google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(expiry));
    const json expiring = AskJson("POST", "/api/v1/tenants/acme/keys", operator_key_,
                                  fmt::format(R"({{"role":"ROLE_OWNER","expireTime":"{}"}})",
                                              google::protobuf::util::TimeUtil::ToString(soon)));
    WaitFor([&] { return Clock::Real().Now() > expiry; }, "the key to expire");
    everyone.push_back({"expired owner", expiring["secret"], Role::kNone, "", 401});
    return everyone;
  }
};

TEST_F(MatrixTest, EachPrincipalGetsFromEachMethodWhatItsRoleSays) {
  StartGateway();
  channel_ = DialDoor(gateway_->address());
  const std::vector<Someone> everyone = Everyone();
  int cells = 0;
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto& method = *service->method(i);
      const bool deletes = method.name() == "DeleteTenant" || method.name() == "GetTenantDeletion";
      const Request request = RequestFor(method, deletes ? "doomed" : "acme");
      for (const Someone& who : everyone) {
        const size_t before = platform_->calls().size();
        // What is made must have a name of its own.
        const auto target = [&](const char* door) {
          const bool made = request.target.ends_with("=fresh");
          return request.target + (made ? fmt::format("-{}-{}", cells, door) : "");
        };
        const Answer answer = Ask(request.http_method, target("rest"), who.key, request.body);
        const int expected = Expected(method, request, who);
        EXPECT_EQ(answer.status, expected)
            << who.name << ": " << request.http_method << " " << request.target << "\n"
            << answer.body;
        EXPECT_EQ(AskGrpc(request.http_method, target("grpc"), request.body, who.key), expected)
            << who.name << ": " << method.full_name();
        // What was refused has not been asked of any service.
        if (expected != 200) {
          EXPECT_EQ(platform_->calls().size(), before) << who.name << " " << request.target;
        }
        if (expected == 401) {
          EXPECT_EQ(answer.headers.Get("www-authenticate"), "Bearer realm=\"slipway\"");
        }
        EXPECT_THAT(std::string(answer.headers.Get("x-request-id")),
                    ::testing::MatchesRegex("[0-9a-f]{32}"));
        ++cells;
      }
    }
  }
  EXPECT_GT(cells, 300);
  // And the services were told who asked.
  for (const FakePlatform::Call& call : platform_->calls()) {
    EXPECT_TRUE(call.principal.tenant == "acme" || call.principal.role == Role::kOperator)
        << call.method;
    EXPECT_EQ(call.principal.caller, ServiceId::kGateway);
    EXPECT_EQ(call.request_id.size(), 32u);
  }
}

// The routes that have no descriptor, each with the role that it takes and what its callers get.
TEST_F(MatrixTest, TheOtherDoorsAskForTheSameRoles) {
  platform_->On("RegistryService/GetDataset", [](const google::protobuf::Message& request) {
    auto dataset = std::make_shared<registry::v1::Dataset>();
    dataset->set_name(static_cast<const registry::v1::GetDatasetRequest&>(request).name());
    dataset->set_purpose("batch");
    dataset->set_size_bytes(1);
    dataset->add_files()->set_digest("sha256:" + std::string(64, '0'));
    return FakePlatform::Reply{.messages = {dataset}, .status = {}};
  });
  platform_->On("RegistryService/DownloadBlob", [](const auto&) {
    auto body = std::make_shared<google::api::HttpBody>();
    body->set_data("x");
    return FakePlatform::Reply{.messages = {body}, .status = {}};
  });
  StartGateway();
  const std::vector<Someone> everyone = Everyone();
  const std::string form =
      "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n"
      "--b--\r\n";
  const std::string batch =
      R"({"input_file_id":"file-1","endpoint":"/v2/models/m/infer","completion_window":"24h"})";
  struct {
    const char* method;
    const char* target;
    std::string body;
    Role role;        // kNone: any key will do
    int status;       // of those who may
    bool has_tenant;  // it is about the key's own, which an operator's key does not have
  } const routes[] = {
      {"GET", "/v1/models", "", Role::kNone, 200, false},
      {"GET", "/v1/models/m", "", Role::kNone, 404, false},
      {"POST", "/v1/files", form, Role::kDeveloper, 200, true},
      {"GET", "/v1/files", "", Role::kViewer, 200, true},
      {"GET", "/v1/files/file-1", "", Role::kViewer, 200, true},
      {"GET", "/v1/files/file-1/content", "", Role::kViewer, 200, true},
      {"DELETE", "/v1/files/file-1", "", Role::kDeveloper, 200, true},
      {"POST", "/v1/batches", batch, Role::kDeveloper, 200, true},
      {"GET", "/v1/batches", "", Role::kViewer, 200, true},
      {"GET", "/v1/batches/batch-1", "", Role::kViewer, 404, true},
      {"POST", "/v1/batches/batch-1/cancel", "", Role::kDeveloper, 404, true},
      {"POST", "/v1/chat/completions", "{}", Role::kNone, 404, false},
      {"GET", "/v1/organization/projects", "", Role::kViewer, 200, true},
      {"POST", "/v1/organization/projects", R"({"name":"p"})", Role::kOwner, 200, true},
      {"GET", "/v1/organization/projects/default", "", Role::kViewer, 200, true},
      {"POST", "/v1/organization/projects/absent/archive", "", Role::kOwner, 404, true},
      {"GET", "/v1/organization/projects/absent/api_keys", "", Role::kViewer, 404, true},
      {"GET", "/v1/organization/projects/default/api_keys", "", Role::kOwner, 200, true},
      {"GET", "/v1/organization/projects/default/api_keys/absent", "", Role::kOwner, 404, true},
      {"DELETE", "/v1/organization/projects/default/api_keys/absent", "", Role::kOwner, 404, true},
      {"GET", "/v1/organization/projects/default/service_accounts", "", Role::kOwner, 200, true},
      {"POST", "/v1/organization/projects/default/service_accounts", R"({"name":"a"})",
       Role::kOwner, 200, true},
      {"GET", "/v1/organization/projects/default/service_accounts/absent", "", Role::kOwner, 404,
       true},
      {"DELETE", "/v1/organization/projects/default/service_accounts/absent", "", Role::kOwner, 404,
       true},
      {"GET", "/v1/organization/projects/default/rate_limits", "", Role::kViewer, 200, true},
      {"GET", "/v1/organization/admin_api_keys", "", Role::kOperator, 200, false},
      {"POST", "/v1/organization/admin_api_keys", R"({"name":"a"})", Role::kOperator, 200, false},
      {"GET", "/v1/organization/admin_api_keys/absent", "", Role::kOperator, 404, false},
      {"DELETE", "/v1/organization/admin_api_keys/absent", "", Role::kOperator, 404, false},
      {"GET", "/v1/organization/usage/completions?start_time=0", "", Role::kViewer, 200, true},
      {"GET", "/v1/organization/costs?start_time=0", "", Role::kViewer, 200, true},
      {"GET", "/v1/organization/audit_logs", "", Role::kOwner, 200, true},
      {"GET", "/v2", "", Role::kNone, 200, false},
      {"GET", "/v2/models/m", "", Role::kNone, 404, false},
      {"GET", "/v2/models/m/config", "", Role::kNone, 404, false},
      {"GET", "/v2/models/stats", "", Role::kNone, 200, false},
      {"POST", "/v2/models/m/infer", "{}", Role::kCaller, 404, false},
      {"POST", "/v2/repository/index", "{}", Role::kOperator, 200, false},
      {"POST", "/v2/repository/models/tenants%2Facme%2Fdeployments%2Fm/load", "{}", Role::kOperator,
       200, false},
      {"POST", "/v2/repository/models/tenants%2Facme%2Fdeployments%2Fm/unload", "{}",
       Role::kOperator, 200, false},
  };
  for (const auto& route : routes) {
    for (const Someone& who : everyone) {
      const Answer answer =
          Ask(route.method, route.target, who.key, route.body,
              route.body == form ? "Content-Type: multipart/form-data; boundary=b\r\n" : "");
      int expected = route.status;
      if (who.refused != 0) {
        expected = who.refused;
      } else if (route.role != Role::kNone && !Includes(who.role, route.role)) {
        expected = 403;
      } else if (route.has_tenant && who.tenant.empty()) {
        expected = 400;
      }
      EXPECT_EQ(answer.status, expected)
          << who.name << ": " << route.method << " " << route.target << "\n"
          << answer.body;
    }
  }
}

TEST_F(MatrixTest, AnotherTenantsObjectAndAnAbsentOneAnswerTheSame) {
  StartGateway();
  MakeTenant("acme");
  MakeTenant("globex");
  const std::string globex = MakeKey("globex", "OWNER");
  const auto without_id = [](Answer answer) {
    json body = json::parse(answer.body);
    body["error"].erase("requestId");
    return body.dump();
  };
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto& method = *service->method(i);
      const auto role = method.options().GetExtension(options::v1::method).role();
      if (!RequestFor(method, "acme").has_tenant || role == options::v1::ROLE_OPERATOR) continue;
      const Request foreign = RequestFor(method, "acme");
      const Request absent = RequestFor(method, "initech");
      const Answer foreign_answer = Ask(foreign.http_method, foreign.target, globex, foreign.body);
      const Answer absent_answer = Ask(absent.http_method, absent.target, globex, absent.body);
      EXPECT_EQ(foreign_answer.status, 404) << foreign.target;
      std::string expected = without_id(absent_answer);
      for (size_t at; (at = expected.find("initech")) != std::string::npos;) {
        expected.replace(at, 7, "acme");
      }
      EXPECT_EQ(without_id(foreign_answer), expected) << foreign.target;
    }
  }
}

TEST_F(MatrixTest, EachCallCountsAsOneRequestAndSaysHowManyAreLeft) {
  StartGateway();
  MakeTenant("acme");
  const std::string owner = MakeKey("acme", "OWNER");
  AskJson("PUT", "/api/v1/tenants/acme/limits", operator_key_, R"({"requestsPerMinute":100000})");
  const auto remaining = [](const Answer& answer) {
    return std::stoll("0" + std::string(answer.headers.Get("x-ratelimit-remaining-requests")));
  };
  int64_t last = remaining(Ask("GET", "/api/v1/platform", owner));
  EXPECT_EQ(last, 99'999);
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto& method = *service->method(i);
      // Of other roles' methods nothing comes.
      const auto role = method.options().GetExtension(options::v1::method).role();
      if (role == options::v1::ROLE_OPERATOR) continue;
      const Request request = RequestFor(method, "acme");
      const Answer answer = Ask(request.http_method, request.target, owner, request.body);
      EXPECT_EQ(remaining(answer), last - 1) << request.target << answer.body;
      last = remaining(answer);
    }
  }
  EXPECT_LT(last, 99'970);
}

TEST_F(MatrixTest, BothCarriersOfAKeyPassTheSameCheck) {
  StartGateway();
  MakeTenant("acme");
  const std::string viewer = MakeKey("acme", "VIEWER");
  const std::string other = MakeKey("acme", "OWNER");
  const auto ask = [&](const std::string& headers) {
    return Ask("GET", "/api/v1/tenants/-/models", "", "", headers).status;
  };
  EXPECT_EQ(ask("Authorization: Bearer " + viewer + "\r\n"), 200);
  EXPECT_EQ(ask("authorization: bearer   " + viewer + "\r\n"), 200);
  EXPECT_EQ(ask("X-Api-Key: " + viewer + "\r\n"), 200);
  EXPECT_EQ(ask("x-api-key: " + viewer + "\r\nAuthorization: Bearer " + viewer + "\r\n"), 200);
  EXPECT_EQ(ask("x-api-key: " + viewer + "\r\nAuthorization: Bearer " + other + "\r\n"), 401);
  EXPECT_EQ(ask("x-api-key: " + viewer + "\r\nx-api-key: " + other + "\r\n"), 401);
  EXPECT_EQ(ask("Authorization: Basic " + viewer + "\r\n"), 401);
  EXPECT_EQ(ask("Authorization: Bearer\r\n"), 401);
  EXPECT_EQ(ask("Authorization: Bearer \r\n"), 401);
  EXPECT_EQ(ask("x-api-key: \r\n"), 401);
  EXPECT_EQ(ask("x-api-key: " + std::string(8000, 'a') + "\r\n"), 401);
  const std::string write = "x-api-key: " + viewer + "\r\n";
  EXPECT_EQ(Ask("POST", "/api/v1/tenants/-/models?modelId=m", "", "{}", write).status, 403);
}

}  // namespace
}  // namespace slipway::gateway
