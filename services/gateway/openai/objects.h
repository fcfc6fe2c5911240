#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_OBJECTS_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_OBJECTS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"
#include "services/gateway/routing/route_table.h"
#include "slipway/gateway/v1/batches.pb.h"
#include "slipway/registry/v1/registry.pb.h"

// The platform's objects as OpenAI's API shows them
// (https://platform.openai.com/docs/api-reference). Pure functions; any thread. Ids are the last
// parts of the platform's names.
namespace slipway::gateway::openai {

nlohmann::json ModelObject(const Endpoint& endpoint);
/// Of a dataset with a purpose.
nlohmann::json FileObject(const registry::v1::Dataset& dataset);
nlohmann::json BatchObject(const v1::Batch& batch);
nlohmann::json Deleted(std::string_view id, std::string_view object);
/// `data` is a list of objects with ids.
nlohmann::json ListObject(nlohmann::json data, bool has_more);

/// "file-1" of "tenants/acme/datasets/file-1".
std::string IdOf(std::string_view name);

/// The query of a list. Each parameter that is not taken there is refused.
struct ListQuery {
  std::string after;  ///< The id of the object that the page comes behind.
  int limit = 0;
  bool ascending = false;  ///< By time; the newest first otherwise.
  std::vector<std::pair<std::string, std::string>> others;

  /// `known`: parameters beside after, limit and order. Errors: InvalidField.
  static absl::StatusOr<ListQuery> Read(std::string_view query, int default_limit, int max_limit,
                                        const std::vector<std::string_view>& known);
  /// The value of one of the others; "" where it is not given.
  std::string Get(std::string_view name) const;
};

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_OBJECTS_H_
