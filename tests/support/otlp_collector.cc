#include "tests/support/otlp_collector.h"

#include <utility>

#include "gtest/gtest.h"

namespace slipway {

using nlohmann::json;

OtlpCollector::OtlpCollector() {
  auto server = http::Server::Start({}, *this);
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

void OtlpCollector::Handle(std::shared_ptr<http::Exchange> exchange) {
  http::Exchange& asked = *exchange;
  asked.ReadBody(16 << 20, [this, exchange](absl::StatusOr<std::string> body) {
    if (!body.ok()) return;
    const http::RequestHead& head = exchange->head();
    EXPECT_EQ(head.method, "POST");
    EXPECT_EQ(head.target, "/v1/traces");
    EXPECT_EQ(head.headers.Get("content-type"), "application/json");
    Keep(json::parse(*body, nullptr, false));
    exchange->Respond({.headers = {{"content-type", "application/json"}}, .body = "{}"});
  });
}

void OtlpCollector::Keep(const json& request) {
  MutexLock lock(mutex_);
  for (const json& source : request["resourceSpans"]) {
    const json& service = source["resource"]["attributes"][0];
    EXPECT_EQ(service["key"], "service.name");
    for (const json& scope : source["scopeSpans"]) {
      for (const json& span : scope["spans"]) {
        spans_.push_back(span);
        spans_.back()["service"] = service["value"]["stringValue"];
      }
    }
  }
}

std::vector<json> OtlpCollector::Spans(const std::string& name) const {
  MutexLock lock(mutex_);
  std::vector<json> found;
  for (const json& span : spans_) {
    if (span["name"] == name) found.push_back(span);
  }
  return found;
}

std::map<std::string, std::string> AttributesOf(const json& span) {
  std::map<std::string, std::string> attributes;
  for (const json& attribute : span["attributes"]) {
    const json& value = attribute["value"];
    attributes[attribute["key"]] =
        value.contains("intValue") ? value["intValue"] : value["stringValue"];
  }
  return attributes;
}

}  // namespace slipway
