// What it costs to know a caller, and how long a revoked key lives: three replicas' tables of keys,
// fed as in gateways (every 250 ms) from one PostgreSQL.
//
//   identity_bench [revocations, default 100]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "common/sql/database.h"
#include "common/time/clock.h"
#include "nlohmann/json.hpp"
#include "services/gateway/identity/api_key.h"
#include "services/gateway/identity/identity_service.h"
#include "services/gateway/identity/oidc_tokens.h"
#include "services/gateway/schema.h"
#include "tests/bench/bench.h"
#include "tests/support/gateway/test_issuer.h"
#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(250);  // GatewayConfig::keys_poll
constexpr double kTargetSeconds = 1.0;
constexpr int kKeys = 500;
constexpr int kChecks = 200'000;

struct Replica {
  Replica(const std::string& url, const std::string& pepper)
      : database(sql::Database::Open(url).value()),
        store(*database),
        table(Peppers::Load(pepper).value(), {}, Clock::Real()),
        feed(store, table, kPoll, Clock::Real()),
        service(store, feed, table.peppers(), "bench", Clock::Real()) {}

  std::unique_ptr<sql::Database> database;
  SqlIdentityStore store;
  KeyTable table;
  KeyFeed feed;
  IdentityService service;
};

std::string MakeKey(IdentityService& service, bool restricted) {
  Principal owner;
  owner.role = Role::kOwner;
  v1::CreateApiKeyRequest request;
  request.set_parent("tenants/acme");
  request.mutable_api_key()->set_role(options::v1::ROLE_CALLER);
  for (int i = 0; restricted && i < 10; ++i) {
    request.mutable_api_key()->add_allowed_networks("10.0." + std::to_string(i) + ".0/24");
  }
  return service.CreateApiKey(owner, request)->secret();
}

template <class Check>
void TimeChecks(const char* what, const Check& check) {
  const absl::Duration begin = Clock::Real().Monotonic();
  for (int i = 0; i < kChecks; ++i) {
    if (!check().ok()) std::abort();
  }
  const absl::Duration took = Clock::Real().Monotonic() - begin;
  std::printf("%-40s %6.0f ns\n", what, absl::ToDoubleNanoseconds(took) / kChecks);
}

void TimeAllChecks(Replica& replica) {
  const std::string plain = MakeKey(replica.service, false);
  const std::string restricted = MakeKey(replica.service, true);
  TimeChecks("a key", [&] { return replica.table.Authenticate(plain, "10.0.9.77"); });
  TimeChecks("a key for 10 networks",
             [&] { return replica.table.Authenticate(restricted, "10.0.9.77"); });

  TestIssuer issuer;
  issuer.signer().NewKey("k", "RS256");
  OidcIssuerConfig config;
  config.name = "bench";
  config.issuer = issuer.url();
  config.audience = "slipway";
  config.rules.resize(1);
  config.rules[0].value = "alice";
  config.rules[0].tenant = "acme";
  OidcTokens tokens({config}, replica.table, Clock::Real());
  tokens.ReadKeys();
  const std::string token =
      issuer.signer().Sign(issuer.Claims("alice", absl::ToUnixSeconds(Clock::Real().Now())), "k");
  TimeChecks("a token that was seen before", [&] { return tokens.Authenticate(token); });
}

// From the call of RevokeApiKey to the last replica's first refusal.
absl::Duration TimeRevocation(std::vector<std::unique_ptr<Replica>>& replicas) {
  const Clock& clock = Clock::Real();
  const std::string key = MakeKey(replicas[0]->service, false);
  for (const auto& replica : replicas) {
    while (!replica->table.Authenticate(key, "127.0.0.1").ok()) {
      clock.SleepFor(absl::Milliseconds(1));
    }
  }
  // At any moment of the replicas' rounds.
  clock.SleepFor(absl::Microseconds(static_cast<int64_t>(RandomUint64() % 250'000)));
  v1::RevokeApiKeyRequest request;
  request.set_name("tenants/acme/keys/" + std::string(*KeyIdOf(key)));
  const absl::Duration begin = clock.Monotonic();
  if (!replicas[0]->service.RevokeApiKey(request).ok()) std::abort();
  for (const auto& replica : replicas) {
    while (replica->table.Authenticate(key, "127.0.0.1").ok()) {
      clock.SleepFor(absl::Milliseconds(1));
    }
  }
  return clock.Monotonic() - begin;
}

int Run(int revocations) {
  TempDir folder;
  TestPostgres postgres;
  const std::string url = postgres.NewDatabase();
  const std::string pepper = folder / "pepper";
  if (!Peppers::Create(pepper).ok()) return 1;
  if (!sql::Database::Open(url).value()->Migrate(Schema()).ok()) return 1;
  std::vector<std::unique_ptr<Replica>> replicas;
  for (int i = 0; i < 3; ++i) replicas.push_back(std::make_unique<Replica>(url, pepper));
  v1::CreateTenantRequest tenant;
  tenant.set_tenant_id("acme");
  if (!replicas[0]->service.CreateTenant(tenant).ok()) return 1;
  for (int i = 0; i < kKeys; ++i) MakeKey(replicas[0]->service, i % 2 == 0);
  for (const auto& replica : replicas) {
    if (!replica->feed.Refresh().ok()) return 1;
    replica->feed.Start();
  }
  TimeAllChecks(*replicas[0]);

  std::vector<double> seconds;
  for (int i = 0; i < revocations; ++i) {
    seconds.push_back(absl::ToDoubleSeconds(TimeRevocation(replicas)));
  }
  const double worst = *std::max_element(seconds.begin(), seconds.end());
  std::printf(
      "%d revocations, dead on 3 replicas: median %.3f s, worst %.3f s; target %.1f s: %s\n",
      revocations, Median(seconds), worst, kTargetSeconds,
      worst < kTargetSeconds ? "met" : "MISSED");
  return worst < kTargetSeconds ? 0 : 1;
}

}  // namespace
}  // namespace slipway::gateway

int main(int argc, char** argv) {
  if (!slipway::BeginBench("identity_bench").ok()) return 1;
  return slipway::gateway::Run(argc > 1 ? std::atoi(argv[1]) : 100);
}
