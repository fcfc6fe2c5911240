// Keys and tenants on a real database, with the table that requests are checked against.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/files/files.h"
#include "common/sql/database.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/time_util.h"
#include "gtest/gtest.h"
#include "services/gateway/identity/api_key.h"
#include "services/gateway/identity/identity_service.h"
#include "services/gateway/identity/key_feed.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/identity/sql_identity_store.h"
#include "services/gateway/schema.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Principal Who(const std::string& tenant, Role role) {
  Principal principal;
  principal.tenant = tenant;
  principal.role = role;
  return principal;
}

// A replica: its own table, fed from the common database.
struct Replica {
  Replica(sql::Database& database, const std::string& pepper_path, const Clock& clock)
      : store(database),
        table(Peppers::Load(pepper_path).value(), KeyTable::Limits{}, clock),
        feed(store, table, absl::Milliseconds(1), clock),
        service(store, feed, table.peppers(), "test", clock) {
    EXPECT_TRUE(feed.Refresh().ok());
  }

  std::string MakeKey(const std::string& tenant,
                      options::v1::Role role = options::v1::ROLE_DEVELOPER) {
    v1::CreateApiKeyRequest request;
    request.set_parent("tenants/" + tenant);
    request.mutable_api_key()->set_role(role);
    const auto key = service.CreateApiKey(Who(tenant, Role::kOwner), request);
    EXPECT_TRUE(key.ok()) << key.status();
    return key->secret();
  }

  absl::StatusOr<v1::ApiKey> Revoke(const std::string& tenant, std::string_view text) {
    v1::RevokeApiKeyRequest request;
    request.set_name("tenants/" + tenant + "/keys/" + std::string(*KeyIdOf(text)));
    return service.RevokeApiKey(request);
  }

  SqlIdentityStore store;
  KeyTable table;
  KeyFeed feed;
  IdentityService service;
};

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() {
    database_ = sql::Database::Open("sqlite:" + (folder_ / "g.db")).value();
    EXPECT_TRUE(database_->Migrate(Schema()).ok());
    EXPECT_TRUE(Peppers::Create(folder_ / "pepper").ok());
    replica_ = NewReplica();
    MakeTenant("acme");
  }

  std::unique_ptr<Replica> NewReplica() {
    return std::make_unique<Replica>(*database_, folder_ / "pepper", clock_);
  }

  void MakeTenant(const std::string& id) {
    v1::CreateTenantRequest request;
    request.set_tenant_id(id);
    EXPECT_TRUE(replica_->service.CreateTenant(request).ok());
  }

  std::string Refusal(const std::string& key) {
    return replica_->table.Authenticate(key).status().ToString();
  }

  TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<Replica> replica_;
};

TEST_F(IdentityTest, AKeyIsItsTenantAndRole) {
  const std::string key = replica_->MakeKey("acme", options::v1::ROLE_CALLER);
  const auto known = replica_->table.Authenticate(key);
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ((*known)->principal.tenant, "acme");
  EXPECT_EQ((*known)->principal.role, Role::kCaller);
  EXPECT_EQ((*known)->principal.key_id, *KeyIdOf(key));
}

TEST_F(IdentityTest, OnlyTheWholeKeyOpens) {
  const std::string key = replica_->MakeKey("acme");
  EXPECT_THAT(Refusal(""), HasSubstr("malformed"));
  EXPECT_THAT(Refusal(key.substr(0, key.size() - 1)), HasSubstr("malformed"));
  // Another key's secret under this key's id, with a checksum that is right.
  NewApiKey other = MakeApiKey("test");
  EXPECT_THAT(Refusal(std::string(other.text.Reveal())), HasSubstr("is not known"));
  EXPECT_THAT(Refusal(key), HasSubstr("OK"));
}

TEST_F(IdentityTest, ARightIdWithAWrongSecretIsAsUnknownAsAWrongId) {
  const std::string key = replica_->MakeKey("acme");
  // Forge: the id of `key` on a record whose code is of another key.
  KeyRecord forged = (*replica_->table.Authenticate(key))->record;
  const NewApiKey other = MakeApiKey("test");
  forged.id = other.id;
  replica_->table.Apply({}, {forged}, clock_.Monotonic());
  EXPECT_THAT(Refusal(std::string(other.text.Reveal())), HasSubstr("the API key is not known"));
}

TEST_F(IdentityTest, ARevokedKeyIsDeadAtOnceHereAndWithTheNextReadElsewhere) {
  const auto elsewhere = NewReplica();
  const std::string key = replica_->MakeKey("acme");
  ASSERT_TRUE(elsewhere->feed.Refresh().ok());
  ASSERT_TRUE(elsewhere->table.Authenticate(key).ok());

  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  EXPECT_THAT(Refusal(key), HasSubstr("was revoked"));
  EXPECT_TRUE(elsewhere->table.Authenticate(key).ok());
  ASSERT_TRUE(elsewhere->feed.Refresh().ok());
  EXPECT_TRUE(absl::IsUnauthenticated(elsewhere->table.Authenticate(key).status()));
}

TEST_F(IdentityTest, TheFeedCarriesARevocationByItself) {
  const auto elsewhere = NewReplica();
  const std::string key = replica_->MakeKey("acme");
  elsewhere->feed.Start();
  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  // Bounded by the test's own time-out; the feed reads every millisecond.
  while (elsewhere->table.Authenticate(key).status().message() != "the API key was revoked") {
  }
}

TEST_F(IdentityTest, RevokingTwiceKeepsTheFirstTime) {
  const std::string key = replica_->MakeKey("acme");
  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  const std::string id(*KeyIdOf(key));
  const auto first = replica_->store.GetKey("acme", id)->revoke_time;
  clock_.Advance(absl::Hours(1));
  ASSERT_EQ(replica_->Revoke("acme", key)->state(), v1::ApiKey::REVOKED);
  EXPECT_EQ(replica_->store.GetKey("acme", id)->revoke_time, first);
}

TEST_F(IdentityTest, AKeyExpires) {
  v1::CreateApiKeyRequest request;
  request.set_parent("tenants/acme");
  request.mutable_api_key()->set_role(options::v1::ROLE_VIEWER);
  *request.mutable_api_key()->mutable_expire_time() =
      google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
          absl::ToUnixMicros(clock_.Now() + absl::Hours(1)));
  const auto key = replica_->service.CreateApiKey(Who("acme", Role::kOwner), request);
  ASSERT_TRUE(key.ok()) << key.status();
  clock_.Advance(absl::Minutes(59));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_TRUE(replica_->table.Authenticate(key->secret()).ok());
  clock_.Advance(absl::Minutes(1));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_THAT(Refusal(key->secret()), HasSubstr("has expired"));
  v1::GetApiKeyRequest get;
  get.set_name(key->name());
  EXPECT_EQ(replica_->service.GetApiKey(get)->state(), v1::ApiKey::EXPIRED);
  EXPECT_EQ(FieldOf(replica_->service.CreateApiKey(Who("acme", Role::kOwner), request).status()),
            "expireTime");
}

TEST_F(IdentityTest, ASuspendedTenantsKeysAreRefused) {
  const std::string key = replica_->MakeKey("acme");
  TenantRecord acme = replica_->store.GetTenant("acme").value();
  acme.suspended = true;
  replica_->table.Apply({acme}, {}, clock_.Monotonic());
  EXPECT_TRUE(absl::IsPermissionDenied(replica_->table.Authenticate(key).status()));
}

TEST_F(IdentityTest, WithoutTheDatabaseKnownKeysGoOnForAWhileAndUnknownOnesAreNotJudged) {
  const std::string key = replica_->MakeKey("acme");
  const std::string stranger(MakeApiKey("test").text.Reveal());
  EXPECT_TRUE(absl::IsUnauthenticated(replica_->table.Authenticate(stranger).status()));
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(replica_->table.Authenticate(key).ok());
  EXPECT_TRUE(absl::IsUnavailable(replica_->table.Authenticate(stranger).status()));
  clock_.Advance(absl::Minutes(5));
  EXPECT_TRUE(absl::IsUnavailable(replica_->table.Authenticate(key).status()));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_TRUE(replica_->table.Authenticate(key).ok());
}

TEST_F(IdentityTest, AKeyOutlivesTheChangeOfPeppers) {
  const std::string old_key = replica_->MakeKey("acme");
  std::ofstream(folder_ / "pepper", std::ios::app) << "2 " << std::string(64, 'c') << "\n";
  const auto restarted = NewReplica();
  EXPECT_TRUE(restarted->table.Authenticate(old_key).ok());
  const std::string new_key = restarted->MakeKey("acme");
  EXPECT_EQ((*restarted->table.Authenticate(new_key))->record.pepper_version, 2);
}

TEST_F(IdentityTest, NobodyMakesAKeyThatMayDoMoreThanItself) {
  const auto make = [&](Role who, options::v1::Role role) {
    v1::CreateApiKeyRequest request;
    request.set_parent("tenants/acme");
    request.mutable_api_key()->set_role(role);
    return replica_->service.CreateApiKey(Who("acme", who), request).status();
  };
  EXPECT_TRUE(make(Role::kOwner, options::v1::ROLE_OWNER).ok());
  EXPECT_TRUE(make(Role::kOperator, options::v1::ROLE_OWNER).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(make(Role::kDeveloper, options::v1::ROLE_OWNER)));
  for (const auto role : {options::v1::ROLE_OPERATOR, options::v1::ROLE_ANY,
                          options::v1::ROLE_UNSPECIFIED, static_cast<options::v1::Role>(77)}) {
    EXPECT_EQ(FieldOf(make(Role::kOperator, role)), "role");
  }
}

TEST_F(IdentityTest, ATenantIsMadeOncePerRequest) {
  v1::CreateTenantRequest request;
  request.set_tenant_id("globex");
  request.set_request_id("r-1");
  const auto first = replica_->service.CreateTenant(request);
  clock_.Advance(absl::Hours(1));
  const auto again = replica_->service.CreateTenant(request);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->create_time().seconds(), again->create_time().seconds());

  request.set_tenant_id("initech");
  EXPECT_TRUE(absl::IsAlreadyExists(replica_->service.CreateTenant(request).status()));
  request.set_tenant_id("globex");
  request.set_request_id("r-2");
  EXPECT_TRUE(absl::IsAlreadyExists(replica_->service.CreateTenant(request).status()));
  request.set_tenant_id("-");
  EXPECT_EQ(FieldOf(replica_->service.CreateTenant(request).status()), "tenantId");
}

TEST_F(IdentityTest, AnAbsentTenantsKeysAreNotFound) {
  v1::CreateApiKeyRequest request;
  request.set_parent("tenants/nobody");
  request.mutable_api_key()->set_role(options::v1::ROLE_OWNER);
  EXPECT_EQ(replica_->service.CreateApiKey(Who("", Role::kOperator), request).status(),
            NotFound("tenants/nobody"));
}

TEST_F(IdentityTest, AnotherTenantsKeyIsAsAbsentAsNone) {
  MakeTenant("globex");
  const std::string key = replica_->MakeKey("acme");
  const std::string id(*KeyIdOf(key));
  v1::GetApiKeyRequest request;
  request.set_name("tenants/globex/keys/" + id);
  EXPECT_EQ(replica_->service.GetApiKey(request).status(), NotFound(request.name()));
  EXPECT_EQ(replica_->Revoke("globex", key).status(), NotFound(request.name()));
  EXPECT_TRUE(replica_->table.Authenticate(key).ok());
}

TEST_F(IdentityTest, ListsInPages) {
  for (int i = 0; i < 5; ++i) replica_->MakeKey("acme");
  v1::ListApiKeysRequest request;
  request.set_parent("tenants/acme");
  request.set_page_size(2);
  std::set<std::string> names;
  int pages = 0;
  do {
    const auto page = replica_->service.ListApiKeys(request);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const auto& key : page->api_keys()) {
      EXPECT_EQ(key.secret(), "");
      names.insert(key.name());
    }
    request.set_page_token(page->next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(names.size(), 5u);
  EXPECT_EQ(pages, 3);
  request.set_page_token("***");
  EXPECT_EQ(FieldOf(replica_->service.ListApiKeys(request).status()), "pageToken");
}

TEST_F(IdentityTest, NoFileOfTheDatabaseHoldsASecret) {
  const std::string key = replica_->MakeKey("acme");
  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  const std::string secret = key.substr(key.size() - 38, 32);
  database_.reset();
  for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_THAT(*ReadFile(file.path().string()), Not(HasSubstr(secret))) << file.path();
  }
}

TEST_F(IdentityTest, TheFirstOperatorKeyIsHandedOverOnceInAFileForItsUserOnly) {
  // A database of its own: this one has tenants, and so had an operator.
  auto database = sql::Database::Open("sqlite:" + (folder_ / "fresh.db")).value();
  ASSERT_TRUE(database->Migrate(Schema()).ok());
  Replica fresh(*database, folder_ / "pepper", clock_);
  const std::string file = folder_ / "admin-key";
  const auto create = [&] {
    return CreateFirstOperatorKey(fresh.store, fresh.table.peppers(), "test", file, clock_.Now());
  };
  ASSERT_TRUE(*create());
  struct stat info;
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const std::string key = *ReadFile(file);
  ASSERT_TRUE(fresh.feed.Refresh().ok());
  const auto known = fresh.table.Authenticate(key);
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ((*known)->principal.role, Role::kOperator);
  EXPECT_EQ((*known)->principal.tenant, "");

  std::filesystem::remove(file);
  EXPECT_FALSE(*create());
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(std::filesystem::exists(file + ".new"));
}

}  // namespace
}  // namespace slipway::gateway
