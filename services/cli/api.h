#ifndef SLIPWAY_SERVICES_CLI_API_H_
#define SLIPWAY_SERVICES_CLI_API_H_

#include <cstdint>
#include <functional>
#include <istream>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/http/client/client.h"
#include "common/status/status.h"
#include "nlohmann/json.hpp"
#include "services/cli/contexts.h"

namespace slipway::cli {

using Query = std::vector<std::pair<std::string, std::string>>;

/// The platform's REST API. Blocking; any thread.
///
/// An answer that is no success becomes a status: its code by the HTTP code, its message the
/// platform's, with the request id. Transport errors are those of http::Client.
class Api {
 public:
  static absl::StatusOr<Api> Connect(const Context& context);

  absl::StatusOr<nlohmann::json> Get(const std::string& path, const Query& query = {}) const;
  absl::StatusOr<nlohmann::json> Post(const std::string& path, const nlohmann::json& body,
                                      const Query& query = {}) const;
  absl::StatusOr<nlohmann::json> Call(const std::string& method, const std::string& path,
                                      const nlohmann::json& body, const Query& query = {}) const;
  /// Every page of a list: the items under `key`.
  absl::StatusOr<nlohmann::json> List(const std::string& path, const std::string& key,
                                      int64_t limit = INT64_MAX, const Query& query = {}) const;

  /// Sends `length` bytes of `body`; memory stays flat.
  absl::StatusOr<nlohmann::json> Upload(const std::string& path, const Query& query,
                                        std::istream& body, uint64_t length,
                                        const http::Client::Progress& progress) const;
  /// Hands the body to `sink` piece by piece. `path` may have a query.
  absl::Status Download(const std::string& path, const http::Client::Sink& sink) const;
  /// Calls `each` for every JSON line until the stream ends, `each` fails or `stop` is asked.
  absl::Status Watch(const std::string& path, const Query& query, std::stop_token stop,
                     const std::function<absl::Status(const nlohmann::json&)>& each) const;

 private:
  explicit Api(http::Client client) : client_(std::move(client)) {}

  http::Client client_;
};

/// A path and its query, percent-encoded.
std::string Target(const std::string& path, const Query& query);

/// OK for 2xx, else the status that the answer tells (see Api).
absl::Status ToStatus(const http::Response& response);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_API_H_
