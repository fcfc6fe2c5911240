#include "common/status/status.h"

#include <cerrno>
#include <system_error>

#include "absl/strings/cord.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr char kField[] = "slipway/field";
constexpr char kKind[] = "slipway/kind";
constexpr char kStorageFull[] = "storage-full";
constexpr char kTooLarge[] = "too-large";

bool IsKind(const absl::Status& status, const char* kind) {
  const auto payload = status.GetPayload(kKind);
  return payload.has_value() && *payload == kind;
}

}  // namespace

absl::Status InvalidField(std::string_view field, std::string_view problem) {
  absl::Status status = absl::InvalidArgumentError(fmt::format("{}: {}", field, problem));
  status.SetPayload(kField, absl::Cord(std::string(field)));
  return status;
}

std::string FieldOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kField);
  return payload.has_value() ? std::string(*payload) : std::string();
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(),
                         fmt::format("{}: {}", prefix, std::string(status.message())));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

absl::Status NotFound(std::string_view name) {
  return absl::NotFoundError(fmt::format("{} was not found", name));
}

absl::Status StorageFull(std::string_view volume) {
  absl::Status status = absl::ResourceExhaustedError(
      fmt::format("no space is left on {}; reads go on, free some space and try again", volume));
  status.SetPayload(kKind, absl::Cord(kStorageFull));
  return status;
}

bool IsStorageFull(const absl::Status& status) { return IsKind(status, kStorageFull); }

absl::Status TooLarge(std::string_view what, unsigned long long limit_bytes) {
  absl::Status status = absl::ResourceExhaustedError(
      fmt::format("{} is over the limit of {} bytes", what, limit_bytes));
  status.SetPayload(kKind, absl::Cord(kTooLarge));
  return status;
}

absl::Status FromErrno(int error, std::string_view what, std::string_view path) {
  if (error == ENOSPC || error == EDQUOT) return StorageFull(path);
  const std::string message =
      fmt::format("{} {}: {}", what, path, std::generic_category().message(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

int ToHttpCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      if (IsStorageFull(status)) return 507;
      if (IsKind(status, kTooLarge)) return 413;
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace slipway
