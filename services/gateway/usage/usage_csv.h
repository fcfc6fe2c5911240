#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_CSV_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_CSV_H_

#include <string>

namespace slipway::gateway {

namespace v1 {
class UsageRecord;
}  // namespace v1

/// The columns' names, and one row (RFC 4180). A text that a spreadsheet would take for a formula
/// gets an apostrophe before it.
std::string UsageCsvHead();
std::string UsageCsvLine(const v1::UsageRecord& record);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_CSV_H_
