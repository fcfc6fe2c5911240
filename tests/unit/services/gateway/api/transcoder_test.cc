#include "services/gateway/api/transcoder.h"

#include <memory>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "slipway/gateway/v1/usage.pb.h"
#include "slipway/options/v1/options.pb.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;

const MethodTable& Table() {
  static const auto* table = [] {
    std::set<std::string> local;
    for (const auto* service : PublicServices()) {
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* method = service->method(i);
        if (method->options().GetExtension(options::v1::method).forward().empty()) {
          local.insert(service->full_name() + "/" + method->name());
        }
      }
    }
    return new MethodTable(MethodTable::Build(PublicServices(), local).value());
  }();
  return *table;
}

Principal Who(const std::string& tenant, Role role) {
  Principal principal;
  principal.tenant = tenant;
  principal.role = role;
  return principal;
}

struct Call {
  const char* method;
  std::string target;
  std::string body;
};

MethodTable::Match Find(const Call& call) {
  const std::string path = call.target.substr(0, call.target.find('?'));
  return *Table().Find(call.method, RequestPath::Parse(path).value()).match;
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Build(const Call& call) {
  const size_t mark = call.target.find('?');
  return ReadRequest(Find(call), mark == std::string::npos ? "" : call.target.substr(mark + 1),
                     call.body);
}

std::string Text(const google::protobuf::Message& message) {
  std::string out;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &out).ok());
  return out;
}

std::string Request(const Call& call) {
  const auto request = Build(call);
  return request.ok() ? Text(**request) : request.status().ToString();
}

TEST(TranscoderTest, MakesTheRequestFromPathQueryAndBody) {
  EXPECT_EQ(Request({"GET", "/api/v1/tenants/a/models/m", ""}), R"({"name":"tenants/a/models/m"})");
  EXPECT_EQ(Request({"GET", "/api/v1/tenants/a/models?page_size=5&pageToken=x%2By+z", ""}),
            R"({"parent":"tenants/a","pageSize":5,"pageToken":"x+y z"})");
  EXPECT_EQ(
      Request({"POST", "/api/v1/tenants/a/models?modelId=m&requestId=r", R"({"description":"d"})"}),
      R"({"parent":"tenants/a","modelId":"m","model":{"description":"d"},"requestId":"r"})");
  EXPECT_EQ(Request({"POST", "/api/v1/tenants/a/jobs/j:cancel", ""}),
            R"({"name":"tenants/a/jobs/j"})");
  EXPECT_EQ(Request({"PUT", "/api/v1/tenants/a/models/m/aliases/s",
                     R"({"version":"tenants/a/models/m/versions/1"})"}),
            R"({"alias":{"name":"tenants/a/models/m/aliases/s",)"
            R"("version":"tenants/a/models/m/versions/1"}})");
  EXPECT_EQ(Request({"GET", "/api/v1/tenants/a/usage?startTime=2030-01-31T12:00:00Z", ""}),
            R"({"parent":"tenants/a","startTime":"2030-01-31T12:00:00Z"})");
  EXPECT_EQ(Request({"POST", "/api/v1/tenants/a/blobs?digest=sha256:0", "these are bytes"}),
            R"({"parent":"tenants/a","digest":"sha256:0"})");
}

TEST(TranscoderTest, ABodyMayRepeatThePathButNotContradictIt) {
  EXPECT_EQ(Request({"PATCH", "/api/v1/tenants/a/deployments/d",
                     R"({"name":"tenants/a/deployments/d","replicas":2})"}),
            R"({"deployment":{"name":"tenants/a/deployments/d","replicas":2}})");
  const auto other =
      Build({"PATCH", "/api/v1/tenants/a/deployments/d", R"({"name":"tenants/b/deployments/d"})"});
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(FieldOf(other.status()), "name");
}

TEST(TranscoderTest, NamesTheWrongParameter) {
  struct {
    const char* query;
    const char* field;
    const char* problem;
  } const cases[] = {
      {"pageSize=x", "pageSize", "must be an integer"},
      {"page_size=99999999999", "page_size", "must be an integer"},
      {"pageSizes=5", "pageSizes", "did you mean pageSize?"},
      {"parent=tenants/b", "parent", "is no parameter"},
      {"pageSize=1&page_size=2", "page_size", "more than once"},
      {"pageSize=1&pageSize=2", "pageSize", "more than once"},
      {"=1", "", "is no parameter"},
      {"a.b.c=1", "a.b.c", "is no parameter"},
  };
  for (const auto& wrong : cases) {
    const auto request = Build({"GET", std::string("/api/v1/tenants/a/models?") + wrong.query, ""});
    ASSERT_FALSE(request.ok()) << wrong.query;
    EXPECT_EQ(ToHttpCode(request.status()), 400);
    EXPECT_EQ(FieldOf(request.status()), wrong.field) << wrong.query;
    EXPECT_THAT(std::string(request.status().message()), HasSubstr(wrong.problem)) << wrong.query;
  }
  // Fields of the body are the body's alone.
  const auto body = Build({"POST", "/api/v1/tenants/a/models?model.description=x", "{}"});
  EXPECT_EQ(FieldOf(body.status()), "model.description");
  const auto whole = Build({"POST", "/api/v1/tenants/a/jobs/j:cancel?name=x", "{}"});
  EXPECT_EQ(FieldOf(whole.status()), "name");
}

TEST(TranscoderTest, RefusesBodiesThatParsersReadDifferently) {
  const auto build = [](const std::string& body) {
    return Build({"POST", "/api/v1/tenants/a/jobs", body}).status();
  };
  EXPECT_THAT(build(R"({"priority":1,"priority":2})").ToString(), HasSubstr("priority"));
  EXPECT_THAT(build(R"({"priority":1)").ToString(), HasSubstr("at byte"));
  EXPECT_THAT(build(R"({"metrics":{"a":1e999}})").ToString(), HasSubstr("no double can"));
  EXPECT_THAT(build("{} {}").ToString(), HasSubstr("at byte"));
  EXPECT_THAT(build("\xff").ToString(), HasSubstr("at byte"));
  std::string deep = R"({"spec":{"architecture":{"a":)";
  for (int i = 0; i < 100; ++i) deep += "[";
  EXPECT_THAT(build(deep).ToString(), HasSubstr("nested deeper than 64 levels"));
  EXPECT_EQ(ToHttpCode(build("[" + std::string(5 << 20, ' ') + "]")), 413);
}

TEST(TranscoderTest, PutsTheCallersTenantIntoEachName) {
  const Principal acme = Who("acme", Role::kDeveloper);
  auto request = Build({"POST", "/api/v1/tenants/-/deployments?deploymentId=d",
                        R"({"modelVersion":"tenants/-/models/m/versions/1","pool":"-"})"});
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_TRUE(ResolveOwnTenant(acme, **request).ok());
  EXPECT_EQ(Text(**request), R"({"parent":"tenants/acme","deploymentId":"d","deployment":)"
                             R"({"modelVersion":"tenants/acme/models/m/versions/1","pool":"-"}})");
  auto tenant = Build({"GET", "/api/v1/tenants/-", ""});
  ASSERT_TRUE(ResolveOwnTenant(acme, **tenant).ok());
  EXPECT_EQ(Text(**tenant), R"({"name":"tenants/acme"})");
}

TEST(TranscoderTest, TheOperatorHasNoTenantOfItsOwn) {
  const Principal operator_key = Who("", Role::kOperator);
  auto request = Build({"GET", "/api/v1/tenants/-/models", ""});
  const absl::Status status = ResolveOwnTenant(operator_key, **request);
  EXPECT_EQ(ToHttpCode(status), 400);
  EXPECT_EQ(FieldOf(status), "parent");
}

TEST(TranscoderTest, AnotherTenantsNameIsNotFoundAndSoIsAnAbsentTenants) {
  const Principal acme = Who("acme", Role::kOwner);
  const Principal operator_key = Who("", Role::kOperator);
  const auto exists = [](std::string_view tenant) { return tenant == "acme" || tenant == "other"; };
  const auto check = [&](const Principal& who, const Call& call) {
    const auto request = Build(call);
    return CheckTenant(*Find(call).binding, who, **request, exists);
  };
  const Call own{"GET", "/api/v1/tenants/acme/models/m", ""};
  const Call foreign{"GET", "/api/v1/tenants/other/models/m", ""};
  const Call absent{"GET", "/api/v1/tenants/nobody/models/m", ""};
  EXPECT_TRUE(check(acme, own).ok());
  EXPECT_EQ(check(acme, foreign), NotFound("tenants/other/models/m"));
  EXPECT_EQ(check(acme, absent), NotFound("tenants/nobody/models/m"));
  EXPECT_TRUE(check(operator_key, foreign).ok());
  EXPECT_EQ(check(operator_key, absent), NotFound("tenants/nobody/models/m"));
  const Call alias{"PUT", "/api/v1/tenants/other/models/m/aliases/a", "{}"};
  EXPECT_EQ(check(acme, alias), NotFound("tenants/other/models/m/aliases/a"));
  EXPECT_EQ(ToHttpCode(check(acme, {"GET", "/api/v1/tenants/UPPER/models", ""})), 400);
}

// A path always has its variables' form; a message that comes over gRPC need not.
TEST(TranscoderTest, RefusesNamesThatAreNotOfTheMethodsForm) {
  const Principal acme = Who("acme", Role::kOwner);
  const auto exists = [](std::string_view) { return true; };
  const MethodTable::Match match = Find({"GET", "/api/v1/tenants/acme/models/m", ""});
  registry::v1::GetModelRequest request;
  for (const char* name : {"", "m", "tenants/acme", "tenants/acme/models/m/versions/1",
                           "tenants/acme/jobs/m", "x/tenants/other/models/m"}) {
    request.set_name(name);
    EXPECT_EQ(FieldOf(CheckTenant(*match.binding, acme, request, exists)), "name") << name;
  }
  request.set_name("tenants/acme/models/m");
  EXPECT_TRUE(CheckTenant(*match.binding, acme, request, exists).ok());
}

TEST(TranscoderTest, WritesJsonWithDefaultsAndLowerCamelNames) {
  v1::UsageRecord record;
  record.set_key_id("k");
  record.set_input_bytes(5);
  const std::string json = ToJson(record);
  EXPECT_THAT(json, HasSubstr(R"("keyId":"k")"));
  EXPECT_THAT(json, HasSubstr(R"("inputBytes":"5")"));
  EXPECT_THAT(json, HasSubstr(R"("broken":false)"));
  EXPECT_EQ(ToJson(google::protobuf::Empty()), "{}");
}

TEST(TranscoderTest, KnowsTheObjectOfACall) {
  const Call call{"POST", "/api/v1/tenants/a/models", "{}"};
  EXPECT_EQ(ResourceOf(*Find(call).binding, **Build(call)), "tenants/a");
  const Call none{"GET", "/api/v1/platform", ""};
  EXPECT_EQ(ResourceOf(*Find(none).binding, **Build(none)), "");
}

}  // namespace
}  // namespace slipway::gateway
