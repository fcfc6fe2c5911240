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

using ::testing::ElementsAre;
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

  absl::StatusOr<std::shared_ptr<const KnownKey>> Authenticate(
      std::string_view key, std::string_view address = "127.0.0.1") const {
    return table.Authenticate(key, address);
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

  static v1::CreateApiKeyRequest KeyRequest(options::v1::Role role) {
    v1::CreateApiKeyRequest request;
    request.set_parent("tenants/acme");
    request.mutable_api_key()->set_role(role);
    return request;
  }

  static std::string NameOf(const std::string& key) {
    return "tenants/acme/keys/" + std::string(*KeyIdOf(key));
  }

  v1::ApiKey Rotate(const std::string& key, absl::Duration overlap) {
    v1::RotateApiKeyRequest request;
    request.set_name(NameOf(key));
    request.mutable_overlap()->set_seconds(absl::ToInt64Seconds(overlap));
    const auto rotated = replica_->service.RotateApiKey(request);
    EXPECT_TRUE(rotated.ok()) << rotated.status();
    return *rotated;
  }

  std::string Refusal(const std::string& key) {
    return replica_->Authenticate(key).status().ToString();
  }

  TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<Replica> replica_;
};

TEST_F(IdentityTest, AKeyIsItsTenantAndRole) {
  const std::string key = replica_->MakeKey("acme", options::v1::ROLE_CALLER);
  const auto known = replica_->Authenticate(key);
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
  KeyRecord forged = (*replica_->Authenticate(key))->record;
  const NewApiKey other = MakeApiKey("test");
  forged.id = other.id;
  replica_->table.Apply({}, {forged}, clock_.Monotonic());
  EXPECT_THAT(Refusal(std::string(other.text.Reveal())), HasSubstr("the API key is not known"));
}

TEST_F(IdentityTest, ARevokedKeyIsDeadAtOnceHereAndWithTheNextReadElsewhere) {
  const auto elsewhere = NewReplica();
  const std::string key = replica_->MakeKey("acme");
  ASSERT_TRUE(elsewhere->feed.Refresh().ok());
  ASSERT_TRUE(elsewhere->Authenticate(key).ok());

  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  EXPECT_THAT(Refusal(key), HasSubstr("was revoked"));
  EXPECT_TRUE(elsewhere->Authenticate(key).ok());
  ASSERT_TRUE(elsewhere->feed.Refresh().ok());
  EXPECT_TRUE(absl::IsUnauthenticated(elsewhere->Authenticate(key).status()));
}

TEST_F(IdentityTest, TheFeedCarriesARevocationByItself) {
  const auto elsewhere = NewReplica();
  const std::string key = replica_->MakeKey("acme");
  elsewhere->feed.Start();
  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  // Bounded by the test's own time-out; the feed reads every millisecond.
  while (elsewhere->Authenticate(key).status().message() != "the API key was revoked") {
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
  EXPECT_TRUE(replica_->Authenticate(key->secret()).ok());
  clock_.Advance(absl::Minutes(1));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_THAT(Refusal(key->secret()), HasSubstr("has expired"));
  v1::GetApiKeyRequest get;
  get.set_name(key->name());
  EXPECT_EQ(replica_->service.GetApiKey(get)->state(), v1::ApiKey::EXPIRED);
  EXPECT_EQ(FieldOf(replica_->service.CreateApiKey(Who("acme", Role::kOwner), request).status()),
            "expireTime");
}

TEST_F(IdentityTest, ASuspendedTenantsKeysAreRefusedUntilItIsResumed) {
  const std::string key = replica_->MakeKey("acme");
  v1::SuspendTenantRequest suspend;
  suspend.set_name("tenants/acme");
  EXPECT_EQ(replica_->service.SuspendTenant(suspend)->state(), v1::Tenant::SUSPENDED);
  EXPECT_TRUE(absl::IsPermissionDenied(replica_->Authenticate(key).status()));
  EXPECT_TRUE(replica_->table.TenantExists("acme"));
  v1::ResumeTenantRequest resume;
  resume.set_name("tenants/acme");
  EXPECT_EQ(replica_->service.ResumeTenant(resume)->state(), v1::Tenant::ACTIVE);
  EXPECT_TRUE(replica_->Authenticate(key).ok());
  resume.set_name("tenants/nobody");
  EXPECT_EQ(replica_->service.ResumeTenant(resume).status(), NotFound("tenants/nobody"));
}

TEST_F(IdentityTest, ATenantThatGoesHasNoKeysAndItsNameStaysTaken) {
  const std::string key = replica_->MakeKey("acme");
  TenantRecord acme = replica_->store.GetTenant("acme").value();
  acme.state = TenantState::kDeleting;
  replica_->table.Apply({acme}, {}, clock_.Monotonic());
  EXPECT_THAT(Refusal(key), HasSubstr("was revoked"));
  EXPECT_FALSE(replica_->table.TenantExists("acme"));
  EXPECT_TRUE(replica_->table.TenantKnown("acme"));
  acme.state = TenantState::kDeleted;
  replica_->table.Apply({acme}, {}, clock_.Monotonic());
  EXPECT_EQ(replica_->table.key_count(), 0u);
}

TEST_F(IdentityTest, ARotatedKeyHasBothSecretsUntilTheOverlapIsOver) {
  const std::string first = replica_->MakeKey("acme");
  const v1::ApiKey second = Rotate(first, absl::Hours(1));
  EXPECT_EQ(*KeyIdOf(second.secret()), *KeyIdOf(first));
  EXPECT_NE(second.secret(), first);
  EXPECT_TRUE(replica_->Authenticate(second.secret()).ok());
  clock_.Advance(absl::Minutes(59));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_TRUE(replica_->Authenticate(first).ok());
  clock_.Advance(absl::Minutes(1));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_THAT(Refusal(first), HasSubstr("is not known"));
  EXPECT_TRUE(replica_->Authenticate(second.secret()).ok());
}

TEST_F(IdentityTest, OfTheSecretsBeforeOnlyTheLastWorks) {
  const std::string first = replica_->MakeKey("acme");
  const std::string second = Rotate(first, absl::Hours(1)).secret();
  const std::string third = Rotate(first, absl::Hours(1)).secret();
  EXPECT_THAT(Refusal(first), HasSubstr("is not known"));
  EXPECT_TRUE(replica_->Authenticate(second).ok());
  EXPECT_TRUE(replica_->Authenticate(third).ok());
  const std::string fourth = Rotate(first, absl::ZeroDuration()).secret();
  EXPECT_THAT(Refusal(third), HasSubstr("is not known"));
  EXPECT_TRUE(replica_->Authenticate(fourth).ok());
}

TEST_F(IdentityTest, ADeadKeyIsNotRotatedAndNoOverlapIsWithoutBounds) {
  const std::string key = replica_->MakeKey("acme");
  v1::RotateApiKeyRequest request;
  request.set_name(NameOf(key));
  for (const int64_t seconds : {int64_t{-1}, int64_t{91} * 24 * 3600}) {
    request.mutable_overlap()->set_seconds(seconds);
    EXPECT_EQ(FieldOf(replica_->service.RotateApiKey(request).status()), "overlap");
  }
  request.clear_overlap();
  const auto rotated = replica_->service.RotateApiKey(request);
  ASSERT_TRUE(rotated.ok()) << rotated.status();
  EXPECT_EQ(rotated->overlap_end_time().seconds() - rotated->rotate_time().seconds(), 24 * 3600);
  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(replica_->service.RotateApiKey(request).status()));
}

TEST_F(IdentityTest, AKeyIsFoundByItsIdWhileItLives) {
  const std::string key = replica_->MakeKey("acme");
  const auto known = replica_->table.Find(*KeyIdOf(key));
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ((*known)->principal.tenant, "acme");
  EXPECT_TRUE(absl::IsUnauthenticated(replica_->table.Find("nothing").status()));
  ASSERT_TRUE(replica_->Revoke("acme", key).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(replica_->table.Find(*KeyIdOf(key)).status()));
}

TEST_F(IdentityTest, ARevokedKeyIsDeadWithAllItsSecrets) {
  const std::string first = replica_->MakeKey("acme");
  const std::string second = Rotate(first, absl::Hours(1)).secret();
  ASSERT_TRUE(replica_->Revoke("acme", first).ok());
  EXPECT_THAT(Refusal(first), HasSubstr("was revoked"));
  EXPECT_THAT(Refusal(second), HasSubstr("was revoked"));
}

TEST_F(IdentityTest, ARestrictedKeyCallsItsModelsOnly) {
  v1::CreateApiKeyRequest request = KeyRequest(options::v1::ROLE_CALLER);
  for (const char* model : {"shoes", "digits", "digits"}) {
    request.mutable_api_key()->add_allowed_models(model);
  }
  const auto key = replica_->service.CreateApiKey(Who("acme", Role::kOwner), request);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_THAT(key->allowed_models(), ElementsAre("digits", "shoes"));
  const auto known = *replica_->Authenticate(key->secret());
  EXPECT_TRUE(known->MayCall("digits"));
  EXPECT_TRUE(known->MayCall("shoes"));
  EXPECT_FALSE(known->MayCall("shoe"));
  EXPECT_FALSE(known->MayCall(""));
  EXPECT_TRUE((*replica_->Authenticate(replica_->MakeKey("acme")))->MayCall("anything"));

  const auto refused = [&] {
    return FieldOf(replica_->service.CreateApiKey(Who("acme", Role::kOwner), request).status());
  };
  request.mutable_api_key()->add_allowed_models("Not A Name,other");
  EXPECT_EQ(refused(), "allowedModels");
  request = KeyRequest(options::v1::ROLE_DEVELOPER);
  request.mutable_api_key()->add_allowed_models("digits");
  EXPECT_EQ(refused(), "allowedModels");
}

TEST_F(IdentityTest, AKeyIsTakenFromItsNetworksOnly) {
  v1::CreateApiKeyRequest request = KeyRequest(options::v1::ROLE_VIEWER);
  request.mutable_api_key()->add_allowed_networks("192.0.2.0/24");
  request.mutable_api_key()->add_allowed_networks("2001:db8::/32");
  const auto key = replica_->service.CreateApiKey(Who("acme", Role::kOwner), request);
  ASSERT_TRUE(key.ok()) << key.status();
  // As another replica reads it.
  const auto elsewhere = NewReplica();
  for (const Replica* replica : {replica_.get(), elsewhere.get()}) {
    for (const char* inside : {"192.0.2.77", "::ffff:192.0.2.77", "2001:db8:1::1"}) {
      EXPECT_TRUE(replica->Authenticate(key->secret(), inside).ok()) << inside;
    }
    for (const char* outside : {"192.0.3.1", "2001:db9::1", "127.0.0.1", "unix", ""}) {
      const absl::Status status = replica->Authenticate(key->secret(), outside).status();
      EXPECT_TRUE(absl::IsPermissionDenied(status)) << outside << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("allowedNetworks"));
      EXPECT_THAT(std::string(status.message()), Not(HasSubstr("192.0.2")));
    }
  }
  // Who has no secret learns nothing of the rule.
  const std::string stranger(MakeKeyText("test", *KeyIdOf(key->secret())).Reveal());
  EXPECT_TRUE(absl::IsUnauthenticated(replica_->Authenticate(stranger, "192.0.3.1").status()));

  request.mutable_api_key()->add_allowed_networks("192.0.2.1/24");
  EXPECT_EQ(FieldOf(replica_->service.CreateApiKey(Who("acme", Role::kOwner), request).status()),
            "allowedNetworks");
}

TEST_F(IdentityTest, AKeyBelongsToAProjectWhichEndsWithIt) {
  v1::CreateProjectRequest create;
  create.set_parent("tenants/acme");
  create.set_project_id("web");
  create.mutable_project()->set_display_name("Web shop");
  ASSERT_TRUE(replica_->service.CreateProject(create).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(replica_->service.CreateProject(create).status()));

  v1::CreateApiKeyRequest request = KeyRequest(options::v1::ROLE_CALLER);
  request.mutable_api_key()->set_project("tenants/acme/projects/web");
  const auto in_web = replica_->service.CreateApiKey(Who("acme", Role::kOwner), request);
  ASSERT_TRUE(in_web.ok()) << in_web.status();
  const std::string elsewhere = replica_->MakeKey("acme");
  EXPECT_EQ((*replica_->Authenticate(in_web->secret()))->project(), "web");
  EXPECT_EQ((*replica_->Authenticate(elsewhere))->project(), "default");
  EXPECT_EQ(replica_->table.ProjectOf(*KeyIdOf(in_web->secret())), "web");

  MakeTenant("globex");
  for (const char* wrong : {"tenants/acme/projects/none", "tenants/globex/projects/default"}) {
    request.mutable_api_key()->set_project(wrong);
    EXPECT_EQ(replica_->service.CreateApiKey(Who("acme", Role::kOwner), request).status(),
              InvalidField("project", "was not found"));
  }

  v1::ArchiveProjectRequest archive;
  archive.set_name("tenants/acme/projects/web");
  const auto archived = replica_->service.ArchiveProject(archive);
  ASSERT_TRUE(archived.ok()) << archived.status();
  EXPECT_EQ(archived->state(), v1::Project::ARCHIVED);
  EXPECT_THAT(Refusal(in_web->secret()), HasSubstr("was revoked"));
  EXPECT_TRUE(replica_->Authenticate(elsewhere).ok());
  request.mutable_api_key()->set_project(archive.name());
  EXPECT_EQ(FieldOf(replica_->service.CreateApiKey(Who("acme", Role::kOwner), request).status()),
            "project");
  archive.set_name("tenants/acme/projects/default");
  EXPECT_TRUE(absl::IsFailedPrecondition(replica_->service.ArchiveProject(archive).status()));

  v1::ListProjectsRequest list;
  list.set_parent("tenants/acme");
  const auto projects = replica_->service.ListProjects(list);
  ASSERT_EQ(projects->projects_size(), 2);
  EXPECT_EQ(projects->projects(0).name(), "tenants/acme/projects/default");
  EXPECT_EQ(projects->projects(1).display_name(), "Web shop");
}

TEST_F(IdentityTest, TheLastAdminKeyThatWorksStays) {
  const auto make = [&](bool expires) {
    v1::CreateAdminKeyRequest request;
    if (expires) {
      *request.mutable_admin_key()->mutable_expire_time() =
          google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
              absl::ToUnixMicros(clock_.Now() + absl::Hours(1)));
    }
    return replica_->service.CreateAdminKey(request).value();
  };
  const auto revoke = [&](const v1::ApiKey& key) {
    v1::RevokeAdminKeyRequest request;
    request.set_name(key.name());
    return replica_->service.RevokeAdminKey(request).status();
  };
  const v1::ApiKey first = make(false);
  EXPECT_EQ((*replica_->Authenticate(first.secret()))->principal.role, Role::kOperator);
  EXPECT_TRUE(absl::IsFailedPrecondition(revoke(first)));
  const v1::ApiKey second = make(true);
  EXPECT_TRUE(revoke(first).ok());
  EXPECT_TRUE(revoke(first).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(revoke(second)));
  EXPECT_TRUE(replica_->Authenticate(second.secret()).ok());

  // One that has expired is none that works.
  const v1::ApiKey third = make(false);
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(revoke(third)));

  v1::RotateAdminKeyRequest rotate;
  rotate.set_name(third.name());
  rotate.mutable_overlap();
  const auto rotated = replica_->service.RotateAdminKey(rotate);
  ASSERT_TRUE(rotated.ok()) << rotated.status();
  EXPECT_THAT(Refusal(third.secret()), HasSubstr("is not known"));
  EXPECT_TRUE(replica_->Authenticate(rotated->secret()).ok());

  v1::ListAdminKeysRequest list;
  EXPECT_EQ(replica_->service.ListAdminKeys(list)->admin_keys_size(), 3);
  v1::CreateAdminKeyRequest wrong;
  wrong.mutable_admin_key()->set_role(options::v1::ROLE_OWNER);
  EXPECT_EQ(FieldOf(replica_->service.CreateAdminKey(wrong).status()), "role");
}

TEST_F(IdentityTest, WithoutTheDatabaseKnownKeysGoOnForAWhileAndUnknownOnesAreNotJudged) {
  const std::string key = replica_->MakeKey("acme");
  const std::string stranger(MakeApiKey("test").text.Reveal());
  EXPECT_TRUE(absl::IsUnauthenticated(replica_->Authenticate(stranger).status()));
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(replica_->Authenticate(key).ok());
  EXPECT_TRUE(absl::IsUnavailable(replica_->Authenticate(stranger).status()));
  clock_.Advance(absl::Minutes(5));
  EXPECT_TRUE(absl::IsUnavailable(replica_->Authenticate(key).status()));
  ASSERT_TRUE(replica_->feed.Refresh().ok());
  EXPECT_TRUE(replica_->Authenticate(key).ok());
}

TEST_F(IdentityTest, AKeyOutlivesTheChangeOfPeppers) {
  const std::string old_key = replica_->MakeKey("acme");
  std::ofstream(folder_ / "pepper", std::ios::app) << "2 " << std::string(64, 'c') << "\n";
  const auto restarted = NewReplica();
  EXPECT_TRUE(restarted->Authenticate(old_key).ok());
  const std::string new_key = restarted->MakeKey("acme");
  EXPECT_EQ((*restarted->Authenticate(new_key))->record.code.pepper_version, 2);
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
  EXPECT_TRUE(replica_->Authenticate(key).ok());
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
  const auto known = fresh.Authenticate(key);
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
