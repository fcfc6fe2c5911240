#ifndef SLIPWAY_SERVICES_GATEWAY_API_PATH_TEMPLATE_H_
#define SLIPWAY_SERVICES_GATEWAY_API_PATH_TEMPLATE_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status/status.h"

namespace slipway::gateway {

/// A request's path, cut into segments once and matched against many templates.
class RequestPath {
 public:
  /// kInvalidArgument for a path that is not "/" and decodable segments, or is unreasonably long.
  /// Encoded slashes stay inside their segment, which then matches no variable.
  static absl::StatusOr<RequestPath> Parse(std::string_view path);

  size_t size() const { return segments_.size(); }

 private:
  friend class PathTemplate;
  struct Segment {
    std::string raw;
    std::string text;  // decoded
  };
  std::vector<Segment> segments_;
};

/// A path template of google.api.http:
///   "/api/v1/{name=tenants/*/models/*}", "/{alias.name=tenants/*/aliases/*}",
///   "/{name=jobs/*}:stop"
/// "**" is not supported. Immutable; any thread.
class PathTemplate {
 public:
  /// The field (dotted) and the text that the path has for it.
  using Variables = std::vector<std::pair<std::string, std::string>>;

  static absl::StatusOr<PathTemplate> Parse(std::string_view text);

  /// The variables where `path` fits, otherwise nothing. A template with a verb takes precedence:
  /// match those first.
  std::optional<Variables> Match(const RequestPath& path) const;

  /// The same for two templates that match the same paths: variables without their names.
  std::string Shape() const;

  /// As OpenAPI writes it: "/api/v1/tenants/{tenant}/models/{model}", each '*' named after the
  /// collection before it; and those names in their order.
  std::string OpenApiPath() const;
  std::vector<std::string> OpenApiNames() const;

  /// Could `text` stand in a path as the variable at that place of variables()?
  bool Fits(size_t variable, std::string_view text) const;
  /// What it must look like: "tenants/*/models/*".
  std::string Form(size_t variable) const;

  const std::string& verb() const { return verb_; }

  struct Variable {
    std::string field;
    size_t begin = 0;  // segments [begin, end)
    size_t end = 0;
  };
  const std::vector<Variable>& variables() const { return variables_; }

 private:
  std::vector<std::string> segments_;  // a literal, or "*"
  std::vector<Variable> variables_;
  std::string verb_;  // without ':'
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_PATH_TEMPLATE_H_
