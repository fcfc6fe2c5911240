#include "services/gateway/limits/limit_service.h"

#include <utility>

#include "common/names/names.h"
#include "fmt/format.h"
#include "services/gateway/api/pages.h"

namespace slipway::gateway {
namespace {

constexpr std::string_view kLimits = "/limits";
constexpr std::string_view kPrices = "prices/";
constexpr size_t kMaxMatch = 300;
// Of every amount: sums of thousands of them still fit into 64 bits.
constexpr int64_t kMost = 1'000'000'000'000'000;

absl::Status CheckAmount(std::string_view field, int64_t amount) {
  if (amount >= 0 && amount <= kMost) return absl::OkStatus();
  return InvalidField(field, fmt::format("must be from 0 to {}, got {}", kMost, amount));
}

v1::Limits ToProto(std::string name, const SqlLimitStore::LimitsNow& now) {
  const Amounts& most = now.limits.most;
  v1::Limits out;
  out.set_name(std::move(name));
  out.set_requests_per_minute(most[Quantity::kRequests]);
  out.set_tokens_per_minute(most[Quantity::kTokens]);
  out.set_concurrency(most[Quantity::kConcurrency]);
  if (most[Quantity::kBudget] == 0) return out;
  out.mutable_budget()->set_micro_units(most[Quantity::kBudget]);
  out.mutable_budget()->set_period(now.limits.period == Period::kDay ? v1::Budget::DAY
                                                                     : v1::Budget::MONTH);
  out.set_spent_micro_units(now.spent);
  return out;
}

absl::StatusOr<Limits> FromProto(const v1::Limits& wanted) {
  Limits limits;
  limits.most[Quantity::kRequests] = wanted.requests_per_minute();
  limits.most[Quantity::kTokens] = wanted.tokens_per_minute();
  limits.most[Quantity::kConcurrency] = wanted.concurrency();
  limits.most[Quantity::kBudget] = wanted.budget().micro_units();
  RETURN_IF_ERROR(CheckAmount("limits.requestsPerMinute", wanted.requests_per_minute()));
  RETURN_IF_ERROR(CheckAmount("limits.tokensPerMinute", wanted.tokens_per_minute()));
  RETURN_IF_ERROR(CheckAmount("limits.concurrency", wanted.concurrency()));
  RETURN_IF_ERROR(CheckAmount("limits.budget.microUnits", wanted.budget().micro_units()));
  if (wanted.budget().micro_units() == 0) return limits;
  switch (wanted.budget().period()) {
    case v1::Budget::DAY:
      limits.period = Period::kDay;
      return limits;
    case v1::Budget::MONTH:
      limits.period = Period::kMonth;
      return limits;
    default:
      return InvalidField("limits.budget.period", "must be DAY or MONTH");
  }
}

absl::StatusOr<std::string> PriceId(std::string_view field, std::string_view name) {
  if (!name.starts_with(kPrices)) return InvalidField(field, "must be prices/{price}");
  name.remove_prefix(kPrices.size());
  RETURN_IF_ERROR(CheckSlug(field, name));
  return std::string(name);
}

v1::Price ToProto(const Price& price) {
  v1::Price out;
  out.set_name(std::string(kPrices) + price.id);
  out.set_match(price.match);
  out.set_request_micro_units(price.request);
  out.set_compute_second_micro_units(price.compute_second);
  out.set_input_million_micro_units(price.input_million);
  out.set_output_million_micro_units(price.output_million);
  return out;
}

}  // namespace

void LimitService::AddTo(LocalMethods& methods) {
  for (const char* of : {"Tenant", "Key"}) {
    methods.Add<v1::GetLimitsRequest, v1::Limits>(
        fmt::format("slipway.gateway.v1.LimitService/Get{}Limits", of),
        [this](const Principal&, const auto& request) { return GetLimits(request); });
    methods.Add<v1::SetLimitsRequest, v1::Limits>(
        fmt::format("slipway.gateway.v1.LimitService/Set{}Limits", of),
        [this](const Principal&, const auto& request) { return SetLimits(request); });
  }
  const std::string prices = "slipway.gateway.v1.PriceService/";
  methods.Add<v1::ListPricesRequest, v1::ListPricesResponse>(
      prices + "ListPrices",
      [this](const Principal&, const auto& request) { return ListPrices(request); });
  methods.Add<v1::SetPriceRequest, v1::Price>(
      prices + "SetPrice",
      [this](const Principal&, const auto& request) { return SetPrice(request); });
  methods.Add<v1::DeletePriceRequest, google::protobuf::Empty>(
      prices + "DeletePrice",
      [this](const Principal&, const auto& request) { return DeletePrice(request); });
}

absl::StatusOr<LimitService::Subject> LimitService::FindSubject(std::string_view field,
                                                                const std::string& name) {
  if (!std::string_view(name).ends_with(kLimits)) {
    return InvalidField(field, "must end with /limits");
  }
  Subject subject{.name = name.substr(0, name.size() - kLimits.size()), .tenant = ""};
  if (const auto tenant = TenantName::Parse(field, subject.name); tenant.ok()) {
    ASSIGN_OR_RETURN(const TenantRecord record, identity_.GetTenant(tenant->tenant));
    // What is set while it goes would stay.
    const bool goes =
        record.state == TenantState::kDeleting || record.state == TenantState::kDeleted;
    if (goes) return NotFound(subject.name);
    return subject;
  }
  ASSIGN_OR_RETURN(const KeyName key, KeyName::Parse(field, subject.name));
  RETURN_IF_ERROR(identity_.GetKey(key.tenant, key.id).status());
  subject.tenant = TenantName{key.tenant}.ToString();
  return subject;
}

absl::StatusOr<v1::Limits> LimitService::GetLimits(const v1::GetLimitsRequest& request) {
  ASSIGN_OR_RETURN(const Subject subject, FindSubject("name", request.name()));
  ASSIGN_OR_RETURN(const auto now, store_.GetLimits(subject.name));
  return ToProto(request.name(), now);
}

absl::StatusOr<v1::Limits> LimitService::SetLimits(const v1::SetLimitsRequest& request) {
  const std::string& name = request.limits().name();
  ASSIGN_OR_RETURN(const Subject subject, FindSubject("limits.name", name));
  ASSIGN_OR_RETURN(const Limits limits, FromProto(request.limits()));
  RETURN_IF_ERROR(store_.SetLimits({.subject = subject.name, .limits = limits}, subject.tenant));
  RETURN_IF_ERROR(keeper_.Refresh());
  ASSIGN_OR_RETURN(const auto now, store_.GetLimits(subject.name));
  return ToProto(name, now);
}

absl::StatusOr<v1::ListPricesResponse> LimitService::ListPrices(
    const v1::ListPricesRequest& request) {
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(auto prices, store_.ListPrices(page.after, page.size + 1));
  v1::ListPricesResponse response;
  page.Fill(
      std::move(prices), response,
      [&](const Price& price) { *response.add_prices() = gateway::ToProto(price); },
      [](const Price& price) { return price.id; });
  return response;
}

absl::StatusOr<v1::Price> LimitService::SetPrice(const v1::SetPriceRequest& request) {
  const v1::Price& wanted = request.price();
  ASSIGN_OR_RETURN(std::string id, PriceId("price.name", wanted.name()));
  if (wanted.match().empty() || wanted.match().size() > kMaxMatch) {
    return InvalidField("price.match", fmt::format("must have 1 to {} bytes", kMaxMatch));
  }
  RETURN_IF_ERROR(CheckAmount("price.requestMicroUnits", wanted.request_micro_units()));
  RETURN_IF_ERROR(
      CheckAmount("price.computeSecondMicroUnits", wanted.compute_second_micro_units()));
  RETURN_IF_ERROR(CheckAmount("price.inputMillionMicroUnits", wanted.input_million_micro_units()));
  RETURN_IF_ERROR(
      CheckAmount("price.outputMillionMicroUnits", wanted.output_million_micro_units()));
  const Price price{.id = std::move(id),
                    .match = wanted.match(),
                    .request = wanted.request_micro_units(),
                    .compute_second = wanted.compute_second_micro_units(),
                    .input_million = wanted.input_million_micro_units(),
                    .output_million = wanted.output_million_micro_units()};
  RETURN_IF_ERROR(store_.SetPrice(price));
  RETURN_IF_ERROR(keeper_.Refresh());
  return gateway::ToProto(price);
}

absl::StatusOr<google::protobuf::Empty> LimitService::DeletePrice(
    const v1::DeletePriceRequest& request) {
  ASSIGN_OR_RETURN(const std::string id, PriceId("name", request.name()));
  RETURN_IF_ERROR(store_.DeletePrice(id));
  RETURN_IF_ERROR(keeper_.Refresh());
  return google::protobuf::Empty();
}

}  // namespace slipway::gateway
