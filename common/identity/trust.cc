#include "common/identity/trust.h"

#include <utility>

#include "common/files/files.h"
#include "common/identity/token.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr uint64_t kMaxKeyFileBytes = 64 << 10;

std::string PublicKeyPath(const std::string& folder, ServiceId service) {
  return fmt::format("{}/{}.pub", folder, ServiceName(service));
}

absl::StatusOr<std::vector<Ed25519PublicKey>> LoadPublicKeys(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, kMaxKeyFileBytes));
  return Ed25519PublicKey::AllFromPem(pem, path);
}

absl::StatusOr<Ed25519PrivateKey> LoadOrCreateKey(const std::string& path) {
  absl::StatusOr<Ed25519PrivateKey> key = Ed25519PrivateKey::Load(path);
  if (!absl::IsNotFound(key.status())) return key;
  Ed25519PrivateKey fresh = Ed25519PrivateKey::Generate();
  const absl::Status saved = fresh.Save(path);
  // Another process made one in the meantime.
  if (absl::IsAlreadyExists(saved)) return Ed25519PrivateKey::Load(path);
  RETURN_IF_ERROR(saved);
  return fresh;
}

}  // namespace

absl::StatusOr<TrustedKeys> LoadTrustedKeys(const std::string& folder) {
  TrustedKeys trusted;
  for (const ServiceId issuer :
       {ServiceId::kGateway, ServiceId::kTraining, ServiceId::kController}) {
    absl::StatusOr<std::vector<Ed25519PublicKey>> keys =
        LoadPublicKeys(PublicKeyPath(folder, issuer));
    if (absl::IsNotFound(keys.status())) continue;
    RETURN_IF_ERROR(keys.status());
    trusted[issuer] = *std::move(keys);
  }
  return trusted;
}

absl::StatusOr<Ed25519PrivateKey> LoadOrCreateIdentity(ServiceId service, const std::string& folder,
                                                       const std::string& trust_folder) {
  const std::string private_path = fmt::format("{}/{}.key", folder, ServiceName(service));
  ASSIGN_OR_RETURN(Ed25519PrivateKey key, LoadOrCreateKey(private_path));
  const std::string public_path = PublicKeyPath(trust_folder, service);
  const Ed25519PublicKey public_key = key.public_key();
  if (const auto published = LoadPublicKeys(public_path); published.ok()) {
    for (const Ed25519PublicKey& known : *published) {
      if (known.ToRaw() == public_key.ToRaw()) return key;
    }
  }
  RETURN_IF_ERROR(WriteFileAtomically(public_path, public_key.ToPem(), 0644));
  return key;
}

}  // namespace slipway
