#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_CONFIG_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_CONFIG_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"

namespace slipway::gateway {

/// Gives the tokens that carry a claim a tenant and a role.
struct OidcRuleConfig {
  std::string claim = "sub";
  std::string value;
  std::string tenant;
  std::string role = "viewer";
  std::string project;

  template <class V>
  void Describe(V& v) {
    v.Field("claim", claim,
            "The claim to look at: a name, or a path of names such as /kubernetes.io/namespace");
    v.Field("value", value,
            "What it must be, or one of its list; with a * at its end: what it must begin with");
    v.Field("tenant", tenant, "The tenant that the token then speaks for; empty for operators");
    v.Choice("role", role, {"viewer", "caller", "developer", "owner", "operator"},
             "What it may do");
    v.Field("project", project, "The project that its usage is counted for; empty: default");
  }
};

/// An OpenID Connect issuer whose tokens are taken beside API keys.
struct OidcIssuerConfig {
  std::string name;
  std::string issuer;
  std::string audience;
  std::string jwks_url;
  std::string ca_file;
  std::string token_file;
  std::vector<std::string> algorithms = {"RS256", "ES256"};
  absl::Duration clock_skew = absl::Seconds(30);
  absl::Duration refresh = absl::Minutes(15);
  absl::Duration min_refresh = absl::Seconds(10);
  absl::Duration stale = absl::Hours(24);
  std::vector<OidcRuleConfig> rules;

  template <class V>
  void Describe(V& v) {
    v.Field("name", name, "Short name; usage and audit rows show who called as <name>:<subject>");
    v.Field("issuer", issuer, "What the claim iss must be; https, or http on this machine");
    v.Field("audience", audience, "What the claim aud must be, or hold");
    v.Field("jwks_url", jwks_url,
            "Where its public keys are; empty: where its discovery document says");
    v.Field("ca_file", ca_file,
            "PEM file of authorities that may vouch for it besides the system's");
    v.Field(
        "token_file", token_file,
        "A bearer token to show when reading its keys, as Kubernetes wants a service account's; "
        "read each time");
    v.Field("algorithms", algorithms, "Signatures that are taken: RS256, PS256, ES256, ...");
    v.Field("clock_skew", clock_skew, "How far its clock may be from this one's",
            {.max = absl::Minutes(5)});
    v.Field("refresh", refresh, "How often its keys are read", {.min = absl::Seconds(1)});
    v.Field("min_refresh", min_refresh,
            "At least this lies between two reads because of a token with an unknown key",
            {.min = absl::Milliseconds(10)});
    v.Field("stale", stale, "How long its keys are good while it cannot be reached",
            {.min = absl::Seconds(1)});
    v.Field("rules", rules, "Who may do what; the first that fits holds, and without one none may");
  }

  /// Errors name the field.
  absl::Status Check() const;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_CONFIG_H_
