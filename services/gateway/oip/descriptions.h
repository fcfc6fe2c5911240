#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_DESCRIPTIONS_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_DESCRIPTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "inference/open_inference.pb.h"
#include "services/gateway/routing/route_table.h"

// What the gateway says of itself and of models by what it knows: no worker is asked. Any thread.
namespace slipway::gateway {

inference::ServerMetadataResponse DescribeServer(const std::string& name,
                                                 const std::string& version);

/// `version`: empty for all, else one that the endpoint has; the signature is that version's, or
/// that of the one that most calls go to.
inference::ModelMetadataResponse DescribeModel(const Endpoint& endpoint, std::string_view version);

/// Every version that is routed, by the deployment's full name, since names repeat over tenants.
/// `only_ready`: those that a worker can answer with.
inference::RepositoryIndexResponse DescribeRepository(const RouteTable& routes, bool only_ready);

/// One entry for each model and version, from what several workers say of them; names are made
/// those of endpoints.
inference::ModelStatisticsResponse MergeStatistics(
    const std::vector<inference::ModelStatisticsResponse>& answers);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_DESCRIPTIONS_H_
