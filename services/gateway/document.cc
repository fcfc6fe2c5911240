#include "services/gateway/document.h"

#include <cstddef>
#include <utility>

namespace slipway::gateway {
namespace {

constexpr size_t kPiece = 16 << 10;

void SendFrom(std::shared_ptr<http::Exchange> exchange, std::shared_ptr<const std::string> text,
              size_t begin) {
  if (begin >= text->size()) return exchange->Finish();
  http::Exchange& stream = *exchange;
  std::string piece = text->substr(begin, kPiece);
  stream.Write(std::move(piece), [exchange = std::move(exchange), text = std::move(text),
                                  begin](const absl::Status& sent) mutable {
    if (sent.ok()) SendFrom(std::move(exchange), std::move(text), begin + kPiece);
  });
}

}  // namespace

void SendDocument(std::shared_ptr<http::Exchange> exchange, std::string content_type,
                  std::shared_ptr<const std::string> text) {
  exchange->StartResponse(200, {{"content-type", std::move(content_type)},
                                {"content-length", std::to_string(text->size())}});
  SendFrom(std::move(exchange), std::move(text), 0);
}

}  // namespace slipway::gateway
