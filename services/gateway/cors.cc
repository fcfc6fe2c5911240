#include "services/gateway/cors.h"

#include "fmt/format.h"

namespace slipway::gateway {
namespace {

bool IsOrigin(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!text.starts_with(scheme)) continue;
    const std::string_view host = text.substr(scheme.size());
    return !host.empty() && host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-:[]") ==
                                std::string_view::npos;
  }
  return false;
}

}  // namespace

absl::StatusOr<Cors> Cors::Parse(const std::vector<std::string>& origins, std::string_view field) {
  Cors cors;
  cors.any_ = origins == std::vector<std::string>{"*"};
  if (cors.any_) return cors;
  for (const std::string& origin : origins) {
    if (!IsOrigin(origin)) {
      return InvalidField(field, fmt::format("must be origins as https://app.example.com, in lower "
                                             "case and without a path, or * alone; got \"{}\"",
                                             origin));
    }
    cors.origins_.insert(origin);
  }
  return cors;
}

bool Cors::Allows(const http::RequestHead& head) const {
  return any_ || origins_.contains(head.headers.Get("origin"));
}

http::Response Cors::AnswerPreflight(const http::RequestHead& head) const {
  http::Response response;
  response.status = 204;
  if (!Allows(head)) return response;
  response.headers.Add("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE");
  // The star stands for all but this one.
  response.headers.Add("access-control-allow-headers", "authorization, *");
  response.headers.Add("access-control-max-age", "600");
  return response;
}

void Cors::AddTo(const http::RequestHead& head, http::Headers& answer) const {
  if (!any_) answer.Add("vary", "origin");
  if (!Allows(head)) return;
  answer.Add("access-control-allow-origin",
             any_ ? std::string_view("*") : head.headers.Get("origin"));
  answer.Add("access-control-expose-headers", "*");
}

}  // namespace slipway::gateway
