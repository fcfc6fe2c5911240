#ifndef SLIPWAY_COMMON_STATUS_STATUS_H_
#define SLIPWAY_COMMON_STATUS_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slipway {

/// kInvalidArgument whose message starts with the field's path, as the caller wrote it:
/// "spec.optimizer.learning_rate: must be > 0, got -1". The path is kept as a payload too
/// (see FieldOf), so that an edge can put it into the error body's `param`.
absl::Status InvalidField(std::string_view field, std::string_view problem);

/// The field that InvalidField named, or "" where the status names none.
std::string FieldOf(const absl::Status& status);

/// The same status with `prefix` put before its message ("datasets/x: ..."); payloads stay.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

/// The one answer for an object that is absent or belongs to someone else.
/// `name` is the resource name as the caller gave it.
absl::Status NotFound(std::string_view name);

/// kResourceExhausted that says a volume is full; edges answer 507. `volume` is the path or
/// database that ran out. Reads go on.
absl::Status StorageFull(std::string_view volume);
bool IsStorageFull(const absl::Status& status);

/// A status from errno of a failed system call: ENOSPC and EDQUOT become StorageFull(path).
absl::Status FromErrno(int error, std::string_view what, std::string_view path);

/// The one mapping to HTTP: kInvalidArgument 400, kUnauthenticated 401, kPermissionDenied 403,
/// kNotFound 404, kAlreadyExists and kAborted 409, kFailedPrecondition and kOutOfRange 400,
/// kResourceExhausted 429 (507 when StorageFull, 413 when TooLarge), kCancelled 499,
/// kUnimplemented 501, kUnavailable 503, kDeadlineExceeded 504, else 500.
int ToHttpCode(const absl::Status& status);

/// kResourceExhausted for a body or message over its limit; edges answer 413.
absl::Status TooLarge(std::string_view what, unsigned long long limit_bytes);

}  // namespace slipway

#define SLIPWAY_STATUS_CONCAT_INNER(a, b) a##b
#define SLIPWAY_STATUS_CONCAT(a, b) SLIPWAY_STATUS_CONCAT_INNER(a, b)

/// Returns from the function when `expr` (an absl::Status) is not OK.
#define RETURN_IF_ERROR(expr)                           \
  do {                                                  \
    if (absl::Status status_ = (expr); !status_.ok()) { \
      return status_;                                   \
    }                                                   \
  } while (false)

/// `ASSIGN_OR_RETURN(auto x, F())`: x gets F()'s value, or its error is returned.
#define ASSIGN_OR_RETURN(lhs, expr) \
  SLIPWAY_ASSIGN_OR_RETURN_IMPL(SLIPWAY_STATUS_CONCAT(status_or_, __LINE__), lhs, expr)
#define SLIPWAY_ASSIGN_OR_RETURN_IMPL(value, lhs, expr) \
  auto value = (expr);                                  \
  if (!value.ok()) {                                    \
    return std::move(value).status();                   \
  }                                                     \
  lhs = *std::move(value)

#endif  // SLIPWAY_COMMON_STATUS_STATUS_H_
