#include "services/gateway/identity/key_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"
#include "fmt/format.h"
#include "services/gateway/identity/api_key.h"

namespace slipway::gateway {
namespace {

// The table's look-ups take Abseil's own string_view.
absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

absl::Status NotNow() {
  return absl::UnavailableError("keys cannot be checked at the moment; try again");
}

absl::Status Unknown() { return absl::UnauthenticatedError("the API key is not known"); }

absl::Status Suspended(std::string_view tenant) {
  return absl::PermissionDeniedError(fmt::format("tenants/{} is suspended", tenant));
}

std::shared_ptr<const KnownKey> Known(const KeyRecord& record) {
  auto key = std::make_shared<KnownKey>();
  key->record = record;
  key->principal.tenant = record.tenant;
  key->principal.key_id = record.id;
  key->principal.role = record.role;
  // What is stored was checked. Were it not, the key would have to be good for no network at all.
  auto networks = Networks::Parse(record.allowed_networks, "allowed_networks");
  if (networks.ok()) {
    key->networks = *std::move(networks);
  } else {
    key->record.revoke_time = record.create_time;
  }
  return key;
}

}  // namespace

bool KnownKey::MayCall(std::string_view endpoint) const {
  const auto& allowed = record.allowed_models;
  return allowed.empty() || std::binary_search(allowed.begin(), allowed.end(), endpoint);
}

KeyTable::KeyTable(Peppers peppers, Limits limits, const Clock& clock)
    : peppers_(std::move(peppers)), limits_(limits), clock_(clock) {}

void KeyTable::Apply(const std::vector<TenantRecord>& tenants, const std::vector<KeyRecord>& keys,
                     absl::Duration as_of) {
  std::vector<std::shared_ptr<const KnownKey>> known;
  known.reserve(keys.size());
  for (const KeyRecord& record : keys) known.push_back(Known(record));
  MutexLock lock(mutex_);
  for (const TenantRecord& tenant : tenants) {
    tenants_[tenant.id] = tenant.state;
    if (tenant.state == TenantState::kDeleted) {
      absl::erase_if(keys_,
                     [&](const auto& entry) { return entry.second->record.tenant == tenant.id; });
    }
  }
  for (auto& key : known) keys_[key->record.id] = std::move(key);
  as_of_ = std::max(as_of_, as_of);
}

bool KeyTable::Opens(const KeyRecord& record, std::string_view key_text) const {
  const auto fits = [&](const SecretCode& code) {
    const auto mac = peppers_.Mac(code.pepper_version, key_text);
    return mac && ConstantTimeEqual(*mac, code.mac);
  };
  if (fits(record.code)) return true;
  return record.old_code && record.overlap_end && clock_.Now() < *record.overlap_end &&
         fits(*record.old_code);
}

absl::StatusOr<KeyTable::Entry> KeyTable::LookUp(std::string_view key_id) const {
  Entry entry;
  absl::Duration age;
  {
    MutexLock lock(mutex_);
    age = clock_.Monotonic() - as_of_;
    if (const auto found = keys_.find(Key(key_id)); found != keys_.end()) {
      entry.key = found->second;
      const auto tenant = tenants_.find(entry.key->record.tenant);
      if (tenant != tenants_.end()) entry.tenant = tenant->second;
    }
  }
  if (age > limits_.known || (entry.key == nullptr && age > limits_.unknown)) return NotNow();
  if (entry.key == nullptr) return Unknown();
  return entry;
}

absl::Status KeyTable::CheckAlive(const Entry& entry) const {
  const KeyRecord& record = entry.key->record;
  if (record.revoke_time || entry.tenant >= TenantState::kDeleting) {
    return absl::UnauthenticatedError("the API key was revoked");
  }
  if (record.expire_time && *record.expire_time <= clock_.Now()) {
    return absl::UnauthenticatedError("the API key has expired");
  }
  return entry.tenant == TenantState::kSuspended ? Suspended(record.tenant) : absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const KnownKey>> KeyTable::Authenticate(
    std::string_view key_text, std::string_view address) const {
  const auto id = KeyIdOf(key_text);
  if (!id) return absl::UnauthenticatedError("the API key is malformed: was it cut or mistyped?");
  ASSIGN_OR_RETURN(Entry entry, LookUp(*id));
  // Who has not got the secret learns nothing else of the key.
  if (!Opens(entry.key->record, key_text)) return Unknown();
  RETURN_IF_ERROR(CheckAlive(entry));
  if (!entry.key->networks.empty() && !entry.key->networks.Contain(address)) {
    return absl::PermissionDeniedError(
        fmt::format("allowedNetworks of the API key {} does not have this address", *id));
  }
  return std::move(entry.key);
}

absl::StatusOr<std::shared_ptr<const KnownKey>> KeyTable::Find(std::string_view key_id) const {
  ASSIGN_OR_RETURN(Entry entry, LookUp(key_id));
  RETURN_IF_ERROR(CheckAlive(entry));
  return std::move(entry.key);
}

absl::Status KeyTable::CheckTenant(std::string_view id) const {
  MutexLock lock(mutex_);
  if (clock_.Monotonic() - as_of_ > limits_.known) return NotNow();
  if (id.empty()) return absl::OkStatus();
  const auto tenant = tenants_.find(Key(id));
  if (tenant == tenants_.end() || tenant->second >= TenantState::kDeleting) {
    return absl::UnauthenticatedError("the tenant is not known");
  }
  return tenant->second == TenantState::kSuspended ? Suspended(id) : absl::OkStatus();
}

bool KeyTable::TenantExists(std::string_view id) const {
  MutexLock lock(mutex_);
  const auto tenant = tenants_.find(Key(id));
  return tenant != tenants_.end() && tenant->second < TenantState::kDeleting;
}

bool KeyTable::TenantKnown(std::string_view id) const {
  MutexLock lock(mutex_);
  return tenants_.contains(Key(id));
}

std::string KeyTable::ProjectOf(std::string_view key_id) const {
  MutexLock lock(mutex_);
  const auto key = keys_.find(Key(key_id));
  return key == keys_.end() ? "" : key->second->record.project;
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
