#include "services/registry/blob_catalog.h"

#include <utility>
#include <vector>

#include "common/identity/tenant_content.h"
#include "fmt/format.h"
#include "services/registry/checks.h"

namespace slipway::registry {
namespace {

constexpr int kGarbageBatch = 100;

v1::Blob ToProto(const StoredBlob& blob) {
  v1::Blob proto;
  proto.set_name(BlobName{blob.tenant, blob.digest}.ToString());
  proto.set_digest(blob.digest.ToString());
  proto.set_size_bytes(blob.size_bytes);
  return proto;
}

/// Trainers and workers see what their token names; the others, all of their tenant.
bool IsScoped(const Principal& who) {
  return who.caller == ServiceId::kTrainer || who.caller == ServiceId::kWorker ||
         !who.scopes.empty();
}

absl::StatusOr<bool> IsInScope(RegistryTransaction& tx, const Principal& who,
                               const BlobName& name) {
  for (const std::string& scope : who.scopes) {
    if (scope == name.ToString()) return true;
    ASSIGN_OR_RETURN(const bool is_file, tx.IsFileOf(name.tenant, name.digest, scope));
    if (is_file) return true;
  }
  return false;
}

}  // namespace

BlobCatalog::Upload::Upload(BlobCatalog& catalog, std::string tenant,
                            std::optional<Digest> expected, std::unique_ptr<BlobWriter> writer)
    : catalog_(catalog),
      tenant_(std::move(tenant)),
      expected_(std::move(expected)),
      writer_(std::move(writer)) {}

absl::Status BlobCatalog::Upload::Append(std::string_view bytes) {
  const int64_t limit = catalog_.options_.max_blob_bytes;
  if (static_cast<int64_t>(bytes.size()) > limit - writer_->size_bytes()) {
    return TooLarge("the blob", static_cast<unsigned long long>(limit));
  }
  return writer_->Append(bytes);
}

absl::StatusOr<v1::Blob> BlobCatalog::Upload::Finish() {
  ASSIGN_OR_RETURN(const BlobInfo info, writer_->Commit(expected_));
  const StoredBlob blob{tenant_, info.digest, info.size_bytes};
  RETURN_IF_ERROR(catalog_.Register(blob));
  return ToProto(blob);
}

absl::StatusOr<std::unique_ptr<BlobCatalog::Upload>> BlobCatalog::NewUpload(
    const Principal& who, const TenantName& parent, const std::optional<Digest>& expected) {
  if (!who.MayAccess(parent.tenant)) return NotFound(parent.ToString());
  ASSIGN_OR_RETURN(std::unique_ptr<BlobWriter> writer, blobs_.NewWriter(parent.tenant));
  return std::unique_ptr<Upload>(new Upload(*this, parent.tenant, expected, std::move(writer)));
}

absl::Status BlobCatalog::Register(const StoredBlob& blob) {
  MutexLock lock(mutex_);
  // The collector may have deleted the same blob between its bytes' arrival and here.
  if (absl::IsNotFound(blobs_.Stat(blob.tenant, blob.digest).status())) {
    return absl::UnavailableError("the blob was being removed; upload it again");
  }
  const absl::Status kept = store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(CheckOpen(tx, blob.tenant));
    return tx.PutBlob(blob, clock_.Now());
  });
  // Its tenant was closed while the bytes came.
  if (absl::IsNotFound(kept)) RETURN_IF_ERROR(blobs_.Delete(blob.tenant, blob.digest));
  return kept;
}

absl::StatusOr<int64_t> BlobCatalog::Find(const Principal& who, const BlobName& name) {
  if (!who.MayAccess(name.tenant)) return NotFound(name.ToString());
  std::optional<int64_t> size;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(size, tx.FindBlobSize(name.tenant, name.digest));
    if (!size.has_value() || !IsScoped(who)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const bool in_scope, IsInScope(tx, who, name));
    if (!in_scope) size.reset();
    return absl::OkStatus();
  }));
  if (!size.has_value()) return NotFound(name.ToString());
  return *size;
}

absl::StatusOr<v1::Blob> BlobCatalog::Get(const Principal& who, const BlobName& name) {
  ASSIGN_OR_RETURN(const int64_t size, Find(who, name));
  return ToProto({name.tenant, name.digest, size});
}

absl::StatusOr<std::unique_ptr<BlobReader>> BlobCatalog::Open(const Principal& who,
                                                              const BlobName& name,
                                                              int64_t offset_bytes) {
  ASSIGN_OR_RETURN(const int64_t size, Find(who, name));
  // Against the row, not against the file, which may have been cut.
  if (offset_bytes < 0 || offset_bytes > size) {
    return InvalidField("offset_bytes",
                        fmt::format("must be 0 to the blob's size {}, got {}", size, offset_bytes));
  }
  absl::StatusOr<std::unique_ptr<BlobReader>> reader =
      blobs_.OpenReader(name.tenant, name.digest, offset_bytes);
  if (absl::IsNotFound(reader.status()) || absl::IsInvalidArgument(reader.status())) {
    return absl::DataLossError(fmt::format("{} is registered with {} bytes, but {}",
                                           name.ToString(), size,
                                           std::string(reader.status().message())));
  }
  RETURN_IF_ERROR(reader.status());
  if ((*reader)->size_bytes() != size) {
    return absl::DataLossError(fmt::format("{} has {} bytes instead of {}", name.ToString(),
                                           (*reader)->size_bytes(), size));
  }
  return *std::move(reader);
}

absl::StatusOr<BlobCatalog::Garbage> BlobCatalog::CollectGarbage() {
  const absl::Time now = clock_.Now();
  const absl::Time unused_since = now - options_.unused_ttl;
  Garbage garbage;
  for (;;) {
    std::vector<StoredBlob> unused;
    RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(unused, tx.ListUnusedBlobs(unused_since, kGarbageBatch));
      return absl::OkStatus();
    }));
    if (unused.empty()) break;
    for (const StoredBlob& blob : unused) {
      MutexLock lock(mutex_);
      bool deleted = false;
      RETURN_IF_ERROR(store_.Write([&](RegistryTransaction& tx) -> absl::Status {
        ASSIGN_OR_RETURN(deleted, tx.DeleteUnusedBlob(blob.tenant, blob.digest, unused_since));
        return absl::OkStatus();
      }));
      if (!deleted) continue;  // used again since it was listed
      RETURN_IF_ERROR(blobs_.Delete(blob.tenant, blob.digest));
      ++garbage.blobs;
      garbage.bytes += blob.size_bytes;
    }
  }
  std::vector<std::string> closed;
  RETURN_IF_ERROR(store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(closed, tx.ListClosedTenants());
    return tx.DeleteRequestsBefore(now - options_.request_ttl);
  }));
  MutexLock lock(mutex_);
  for (const std::string& tenant : closed) RETURN_IF_ERROR(SweepClosed(tenant));
  return garbage;
}

absl::Status BlobCatalog::SweepClosed(const std::string& tenant) {
  bool empty = false;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const TenantNames names, tx.ListNames(tenant));
    empty = names.blobs.empty();
    return absl::OkStatus();
  }));
  return empty ? blobs_.DeleteTenant(tenant) : absl::OkStatus();
}

absl::StatusOr<identity::v1::PurgeTenantResponse> BlobCatalog::PurgeTenant(const Principal& who,
                                                                           const TenantName& tenant,
                                                                           bool remove) {
  if (who.role != Role::kOperator) return NotFound(tenant.ToString());
  MutexLock lock(mutex_);
  TenantNames names;
  // Rows go before their bytes, as with every blob.
  RETURN_IF_ERROR(store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.CloseTenant(tenant.tenant));
    if (remove) RETURN_IF_ERROR(tx.RemoveTenant(tenant.tenant));
    ASSIGN_OR_RETURN(names, tx.ListNames(tenant.tenant));
    return absl::OkStatus();
  }));
  if (remove) RETURN_IF_ERROR(blobs_.DeleteTenant(tenant.tenant));
  identity::v1::PurgeTenantResponse content;
  AddKind("models", std::move(names.models), content);
  AddKind("versions", std::move(names.versions), content);
  AddKind("aliases", std::move(names.aliases), content);
  AddKind("datasets", std::move(names.datasets), content);
  AddKind("blobs", std::move(names.blobs), content);
  content.set_done(remove);
  return content;
}

}  // namespace slipway::registry
