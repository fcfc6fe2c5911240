#include "services/gateway/identity/key_table.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "fmt/format.h"
#include "services/gateway/identity/api_key.h"

namespace slipway::gateway {
namespace {

// The table's look-ups take Abseil's own string_view.
absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

KeyTable::KeyTable(Peppers peppers, Limits limits, const Clock& clock)
    : peppers_(std::move(peppers)), limits_(limits), clock_(clock) {}

void KeyTable::Apply(const std::vector<TenantRecord>& tenants, const std::vector<KeyRecord>& keys,
                     absl::Duration as_of) {
  std::vector<std::shared_ptr<const KnownKey>> known;
  known.reserve(keys.size());
  for (const KeyRecord& record : keys) {
    auto key = std::make_shared<KnownKey>();
    key->record = record;
    key->principal.tenant = record.tenant;
    key->principal.key_id = record.id;
    key->principal.role = record.role;
    known.push_back(std::move(key));
  }
  MutexLock lock(mutex_);
  for (const TenantRecord& tenant : tenants) suspended_[tenant.id] = tenant.suspended;
  for (auto& key : known) keys_[key->record.id] = std::move(key);
  as_of_ = std::max(as_of_, as_of);
}

absl::StatusOr<std::shared_ptr<const KnownKey>> KeyTable::Authenticate(
    std::string_view key_text) const {
  const auto id = KeyIdOf(key_text);
  if (!id) return absl::UnauthenticatedError("the API key is malformed: was it cut or mistyped?");
  std::shared_ptr<const KnownKey> key;
  bool suspended = false;
  absl::Duration age;
  {
    MutexLock lock(mutex_);
    age = clock_.Monotonic() - as_of_;
    if (const auto found = keys_.find(Key(*id)); found != keys_.end()) {
      key = found->second;
      const auto tenant = suspended_.find(key->record.tenant);
      suspended = tenant != suspended_.end() && tenant->second;
    }
  }
  if (age > limits_.known || (key == nullptr && age > limits_.unknown)) {
    return absl::UnavailableError("keys cannot be checked at the moment; try again");
  }
  constexpr char kUnknown[] = "the API key is not known";
  if (key == nullptr) return absl::UnauthenticatedError(kUnknown);
  const auto mac = peppers_.Mac(key->record.pepper_version, key_text);
  if (!mac || !ConstantTimeEqual(*mac, key->record.mac)) {
    return absl::UnauthenticatedError(kUnknown);
  }
  if (key->record.revoke_time) return absl::UnauthenticatedError("the API key was revoked");
  if (key->record.expire_time && *key->record.expire_time <= clock_.Now()) {
    return absl::UnauthenticatedError("the API key has expired");
  }
  if (suspended) {
    return absl::PermissionDeniedError(fmt::format("tenants/{} is suspended", key->record.tenant));
  }
  return key;
}

bool KeyTable::TenantExists(std::string_view id) const {
  MutexLock lock(mutex_);
  return suspended_.contains(Key(id));
}

size_t KeyTable::key_count() const {
  MutexLock lock(mutex_);
  return keys_.size();
}

absl::Duration KeyTable::age() const {
  MutexLock lock(mutex_);
  return clock_.Monotonic() - as_of_;
}

}  // namespace slipway::gateway
