#ifndef SLIPWAY_SERVICES_GATEWAY_DOCUMENT_H_
#define SLIPWAY_SERVICES_GATEWAY_DOCUMENT_H_

#include <memory>
#include <string>

#include "common/http/server/server.h"

namespace slipway::gateway {

/// Answers with `text`, in pieces as the peer takes them: callers that take nothing cost a piece
/// each, however long the document is.
void SendDocument(std::shared_ptr<http::Exchange> exchange, std::string content_type,
                  std::shared_ptr<const std::string> text);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_DOCUMENT_H_
