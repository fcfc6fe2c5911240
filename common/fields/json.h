#ifndef SLIPWAY_COMMON_FIELDS_JSON_H_
#define SLIPWAY_COMMON_FIELDS_JSON_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway {

/// What an untrusted document may cost before it is refused.
struct DocumentLimits {
  size_t bytes = size_t{16} << 20;
  int depth = 32;             // of objects and arrays in one another
  size_t values = 1'000'000;  // scalars, objects and arrays together
};

/// Parses one strict JSON document (RFC 8259, UTF-8, no comments). Besides syntax errors it
/// refuses duplicate keys, numbers outside a double ("1e999") and what passes `limits`; each
/// error is an InvalidField that names the place below `path`, or the byte where the syntax
/// breaks. Any thread.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view path,
                                         const DocumentLimits& limits = {});

/// The same for one YAML document (1.2, core schema): plain scalars become null, booleans,
/// integers and numbers, quoted ones text. Refuses also tags, keys that are no text, `.nan` and
/// `.inf`. Aliases count as often as they are used. Errors name the line.
absl::StatusOr<nlohmann::json> ParseYaml(std::string_view text, std::string_view path,
                                         const DocumentLimits& limits = {});

/// The document as YAML that ParseYaml reads as the same, in its own order: lists of scalars, and
/// objects of scalars within lists, on one line.
std::string PrintYaml(const nlohmann::ordered_json& document);

/// `path` extended by a key: "spec" and "hidden" give "spec.hidden"; "" and "hidden", "hidden".
std::string JoinPath(std::string_view path, std::string_view key);

/// `path` extended by a place in a list: "spec.hidden[2]".
std::string JoinPath(std::string_view path, size_t index);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_FIELDS_JSON_H_
