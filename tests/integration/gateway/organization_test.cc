// /v1/organization: the tenant's projects, keys, limits, usage and audit log, in OpenAI's words.
// The official SDKs at this door are in tests/clients/openai.
#include <string>
#include <vector>

#include "services/gateway/identity/api_key.h"
#include "tests/integration/gateway/oip_fixture.h"

namespace slipway::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class OrganizationTest : public OipTest {
 protected:
  static constexpr char kOrganization[] = "/v1/organization/";

  json Get(const std::string& path, int status = 200) {
    return AskJson("GET", kOrganization + path, key_, "", status);
  }
  json Post(const std::string& path, const json& body, int status = 200) {
    return AskJson("POST", kOrganization + path, key_, body.dump(), status);
  }
  json Delete(const std::string& path, int status = 200) {
    return AskJson("DELETE", kOrganization + path, key_, "", status);
  }
  // As the operator, on behalf of acme.
  json AsOperator(const std::string& method, const std::string& path, const json& body = {},
                  int status = 200) {
    const Answer answer = Ask(method, kOrganization + path, operator_key_,
                              body.is_null() ? "" : body.dump(), "OpenAI-Organization: acme\r\n");
    EXPECT_EQ(answer.status, status) << path << ": " << answer.body;
    return json::parse(answer.body, nullptr, false);
  }
  static std::vector<std::string> Ids(const json& list) {
    std::vector<std::string> ids;
    for (const json& object : list["data"]) ids.push_back(object["id"]);
    return ids;
  }
  std::string MakeProject(const std::string& name) {
    return Post("projects", {{"name", name}})["id"];
  }
};

TEST_F(OrganizationTest, AProjectIsMadeListedAndArchived) {
  const json made = Post("projects", {{"name", "Pictures of cats"}, {"external_key_id", nullptr}});
  const std::string id = made["id"];
  EXPECT_EQ(made["object"], "organization.project");
  EXPECT_EQ(made["name"], "Pictures of cats");
  EXPECT_EQ(made["status"], "active");
  EXPECT_EQ(made["archived_at"], nullptr);
  EXPECT_GT(made["created_at"], 1'700'000'000);
  EXPECT_EQ(Get("projects/" + id), made);
  // The other door to the same object.
  EXPECT_EQ(AskJson("GET", "/api/v1/tenants/-/projects/" + id, key_)["displayName"],
            "Pictures of cats");

  const std::string other = MakeProject("Pictures of cats");
  EXPECT_THAT(Ids(Get("projects")), ElementsAre("default", id, other));
  const json page = Get("projects?limit=2");
  EXPECT_THAT(Ids(page), ElementsAre("default", id));
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(page["last_id"], id);
  const json rest = Get("projects?limit=2&after=" + id);
  EXPECT_THAT(Ids(rest), ElementsAre(other));
  EXPECT_EQ(rest["has_more"], false);

  const json archived = Post("projects/" + id + "/archive", json::object());
  EXPECT_EQ(archived["status"], "archived");
  EXPECT_GE(archived["archived_at"], made["created_at"]);
  EXPECT_THAT(Ids(Get("projects")), ElementsAre("default", other));
  EXPECT_THAT(Ids(Get("projects?include_archived=true")), ElementsAre("default", id, other));
}

TEST_F(OrganizationTest, AServiceAccountIsAKeyOfItsProjectUntilItIsDeleted) {
  const std::string project = MakeProject("p");
  const std::string accounts = "projects/" + project + "/service_accounts";
  const json made = Post(accounts, {{"name", "robot"}, {"expires_in_seconds", 3600}});
  EXPECT_EQ(made["object"], "organization.project.service_account");
  EXPECT_EQ(made["role"], "member");
  const std::string secret = made["api_key"]["value"];
  const int64_t expires = made["api_key"]["expires_at"];
  EXPECT_EQ(expires, made["created_at"].get<int64_t>() + 3600);
  const std::string id = made["id"];
  EXPECT_EQ(id, *KeyIdOf(secret));
  EXPECT_EQ(Ask("POST", "/v2/models/digits/infer", secret, InferBody()).status, 200);

  json shown = made;
  shown.erase("api_key");
  EXPECT_EQ(Get(accounts + "/" + id), shown);
  EXPECT_EQ(Get(accounts)["data"], json::array({shown}));
  const std::string keys = "projects/" + project + "/api_keys";
  const json key = Get(keys + "/" + id);
  EXPECT_EQ(key["object"], "organization.project.api_key");
  EXPECT_EQ(key["owner"]["service_account"], shown);
  EXPECT_EQ(key["owner_project_access"], "active");
  EXPECT_EQ(key["expires_at"], expires);
  EXPECT_THAT(key.dump(), ::testing::Not(HasSubstr(secret)));
  EXPECT_EQ(Get(keys)["data"], json::array({key}));
  // Each project has its own.
  EXPECT_THAT(Ids(Get("projects/default/api_keys")), ElementsAre(std::string(*KeyIdOf(key_))));
  Get("projects/default/api_keys/" + id, 404);
  Get("projects/absent/api_keys", 404);
  Delete("projects/default/api_keys/" + id, 404);

  EXPECT_EQ(
      Delete(keys + "/" + id),
      (json{{"id", id}, {"object", "organization.project.api_key.deleted"}, {"deleted", true}}));
  EXPECT_EQ(Ask("GET", "/v2/models/digits", secret).status, 401);
  EXPECT_THAT(Ids(Get(keys)), SizeIs(0));
  Get(keys + "/" + id, 404);
  Delete(accounts + "/" + id, 404);
}

TEST_F(OrganizationTest, AdminKeysAreTheOperators) {
  Get("admin_api_keys", 403);
  Post("admin_api_keys", {{"name", "mine"}}, 403);
  const json made = AsOperator("POST", "admin_api_keys", {{"name", "night shift"}});
  EXPECT_EQ(made["object"], "organization.admin_api_key");
  const std::string id = made["id"];
  const std::string secret = made["value"];
  EXPECT_EQ(AskJson("GET", "/api/v1/platform", secret)["role"], "ROLE_OPERATOR");
  const json shown = AsOperator("GET", "admin_api_keys/" + id);
  EXPECT_EQ(shown["name"], "night shift");
  EXPECT_FALSE(shown.contains("value"));
  EXPECT_THAT(Ids(AsOperator("GET", "admin_api_keys")), SizeIs(2));
  EXPECT_EQ(AsOperator("DELETE", "admin_api_keys/" + id)["deleted"], true);
  AsOperator("GET", "admin_api_keys/" + id, {}, 404);
  EXPECT_THAT(Ids(AsOperator("GET", "admin_api_keys")), SizeIs(1));
}

TEST_F(OrganizationTest, TheRateLimitOfEachProjectIsTheTenants) {
  const json none = Get("projects/default/rate_limits")["data"];
  ASSERT_THAT(none, SizeIs(1));
  EXPECT_EQ(none[0]["id"], "rl-tenant");
  EXPECT_EQ(none[0]["max_requests_per_1_minute"], nullptr);
  Get("projects/absent/rate_limits", 404);
  const json wanted = {{"max_requests_per_1_minute", 1000}};
  Post("projects/default/rate_limits/rl-tenant", wanted, 403);
  AskJson("PUT", "/api/v1/tenants/acme/limits", operator_key_,
          R"({"concurrency":7,"tokensPerMinute":5000})");
  const json set = AsOperator("POST", "projects/default/rate_limits/rl-tenant", wanted);
  EXPECT_EQ(set["max_requests_per_1_minute"], 1000);
  EXPECT_EQ(set["max_tokens_per_1_minute"], 5000);
  const json limits = AskJson("GET", "/api/v1/tenants/acme/limits", operator_key_);
  EXPECT_EQ(limits["requestsPerMinute"], "1000");
  EXPECT_EQ(limits["concurrency"], "7");
  AsOperator("POST", "projects/default/rate_limits/rl-other", wanted, 404);
}

TEST_F(OrganizationTest, UsageAndCostsAreTheLedgersSums) {
  AskJson("PUT", "/api/v1/prices/p", operator_key_, R"({"match":"*","requestMicroUnits":250000})");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Infer(InferBody()).status, 200);
  const int64_t day = 86400;
  const int64_t now = absl::ToUnixSeconds(Clock::Real().Now());
  const std::string since = fmt::format("start_time={}", now - 2 * day);

  const json usage = Get("usage/completions?" + since +
                         "&group_by%5B%5D=model&group_by%5B%5D=api_key_id&models%5B%5D=digits");
  EXPECT_EQ(usage["object"], "page");
  EXPECT_EQ(usage["has_more"], false);
  int64_t requests = 0;
  for (const json& bucket : usage["data"]) {
    EXPECT_EQ(bucket["start_time"].get<int64_t>() % day, 0);
    EXPECT_EQ(bucket["end_time"].get<int64_t>() - bucket["start_time"].get<int64_t>(), day);
    for (const json& result : bucket["results"]) {
      EXPECT_EQ(result["object"], "organization.usage.completions.result");
      EXPECT_EQ(result["model"], "digits");
      EXPECT_EQ(result["api_key_id"], std::string(*KeyIdOf(key_)));
      EXPECT_EQ(result["project_id"], nullptr);
      requests += result["num_model_requests"].get<int64_t>();
    }
  }
  EXPECT_EQ(requests, 3);
  EXPECT_GE(usage["data"].size(), 3u);
  const json none = Get("usage/completions?" + since + "&models%5B%5D=other");
  for (const json& bucket : none["data"]) EXPECT_THAT(bucket["results"], SizeIs(0));

  // A page at a time, by the cursor of the one before.
  double cost = 0;
  double quantity = 0;
  int pages = 0;
  for (std::string page; pages < 10; ++pages) {
    const json costs = Get("costs?limit=1&" + since + "&group_by%5B%5D=line_item" + page);
    ASSERT_THAT(costs["data"], SizeIs(1));
    for (const json& result : costs["data"][0]["results"]) {
      EXPECT_EQ(result["line_item"], "inference");
      quantity += result["quantity"].get<double>();
      cost += result["amount"]["value"].get<double>();
    }
    if (!costs["has_more"]) break;
    page = "&page=" + costs["next_page"].get<std::string>();
  }
  EXPECT_GE(pages, 2);
  EXPECT_EQ(quantity, 3);
  EXPECT_EQ(cost, 0.75);
  EXPECT_LE(Get(fmt::format("usage/completions?bucket_width=1h&start_time={}", now))["data"].size(),
            2u);
}

TEST_F(OrganizationTest, TheAuditLogHasEachChangeInOpenAisWords) {
  const std::string project = MakeProject("p");
  const std::string key = Post("projects/" + project + "/service_accounts", {{"name", "a"}})["id"];
  Delete("projects/" + project + "/api_keys/" + key);
  Post("projects/default/archive", json::object(), 400);
  const json page = Get("audit_logs?limit=3");
  EXPECT_EQ(page["has_more"], true);
  const json& events = page["data"];
  ASSERT_THAT(events, SizeIs(3));
  // What failed has happened to nothing.
  EXPECT_EQ(events[0]["type"], "ProjectService/ArchiveProject");
  EXPECT_EQ(events[0]["slipway"]["http_code"], 400);
  EXPECT_EQ(events[1]["type"], "api_key.deleted");
  EXPECT_EQ(events[1]["api_key.deleted"]["id"], key);
  EXPECT_EQ(events[1]["actor"]["api_key"]["id"], std::string(*KeyIdOf(key_)));
  EXPECT_EQ(events[2]["type"], "api_key.created");
  EXPECT_EQ(events[2]["api_key.created"]["id"], key);
  const json next =
      Get("audit_logs?limit=1&after=" + page["last_id"].get<std::string>())["data"][0];
  EXPECT_EQ(next["type"], "project.created");
  EXPECT_EQ(next["project.created"]["id"], project);
  const int64_t last = events[0]["effective_at"];
  EXPECT_THAT(Get(fmt::format("audit_logs?effective_at%5Bgt%5D={}", last))["data"], SizeIs(0));
  EXPECT_THAT(Get(fmt::format("audit_logs?limit=4&effective_at%5Blte%5D={}", last))["data"],
              SizeIs(4));
}

TEST_F(OrganizationTest, RefusesWhatItDoesNotKnowByItsName) {
  struct {
    const char* method;
    std::string path;
    std::string body;
    int status;
    json param;
  } const cases[] = {
      {"POST", "projects", "{}", 400, "name"},
      {"POST", "projects", R"({"name":5})", 400, "name"},
      {"POST", "projects", R"({"name":")" + std::string(300, 'x') + R"("})", 400, "name"},
      {"POST", "projects", R"({"name":"a","residency":"eu"})", 400, "residency"},
      {"GET", "projects?limit=0", "", 400, "limit"},
      {"GET", "projects?colour=red", "", 400, "colour"},
      {"GET", "projects/a%2fb", "", 404, nullptr},
      {"GET", "projects/absent", "", 404, nullptr},
      {"POST", "projects/default", R"({"name":"other"})", 405, nullptr},
      {"POST", "projects/default/service_accounts", R"({"name":"a","expires_in_seconds":0})", 400,
       "expires_in_seconds"},
      {"POST", "projects/default/service_accounts",
       R"({"name":"a","expires_in_seconds":99999999999999})", 400, "expires_in_seconds"},
      {"POST", "projects/default/rate_limits/rl-tenant", R"({"max_requests_per_1_minute":0})", 400,
       "max_requests_per_1_minute"},
      {"POST", "projects/default/rate_limits/rl-tenant", R"({"max_images_per_1_minute":1})", 400,
       "max_images_per_1_minute"},
      {"GET", "usage/completions", "", 400, "start_time"},
      {"GET", "usage/completions?start_time=x", "", 400, "start_time"},
      {"GET", "usage/completions?start_time=1&bucket_width=1m", "", 400, "bucket_width"},
      {"GET", "usage/completions?start_time=1&group_by%5B%5D=user_id", "", 400, "group_by"},
      {"GET", "usage/completions?start_time=1&project_ids%5B%5D=a&project_ids%5B%5D=b", "", 400,
       "project_ids"},
      {"GET", "costs?start_time=1&bucket_width=1h", "", 400, "bucket_width"},
      {"GET", "costs?start_time=1&models%5B%5D=m", "", 400, "models"},
      {"GET", "usage/embeddings?start_time=1", "", 404, nullptr},
      {"GET", "users", "", 404, nullptr},
      {"GET", "invites", "", 404, nullptr},
      {"GET", "audit_logs?effective_at%5Bgt%5D=x", "", 400, "effective_at[gt]"},
      {"GET", "audit_logs?event_types%5B%5D=project.created", "", 400, "event_types[]"},
  };
  for (const auto& each : cases) {
    const Answer answer = Ask(each.method, kOrganization + each.path, key_, each.body);
    EXPECT_EQ(answer.status, each.status) << each.path << answer.body;
    const json error = json::parse(answer.body, nullptr, false)["error"];
    EXPECT_EQ(error["type"], "invalid_request_error") << each.path;
    EXPECT_EQ(error["param"], each.param) << each.path << answer.body;
  }
}

}  // namespace
}  // namespace slipway::gateway
