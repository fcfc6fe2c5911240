#include "common/http/client/client.h"

#include <cpprest/http_client.h>
#include <pplx/threadpool.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/asio/ssl/context.hpp>

#include "absl/cleanup/cleanup.h"
#include "common/http/client/sink_buffer.h"
#include "common/http/client/source_buffer.h"
#include "common/http/client/transfer.h"
#include "fmt/format.h"

namespace slipway::http {
namespace {

namespace rest = web::http;

constexpr size_t kThreads = 8;
constexpr size_t kChunk = 256 << 10;
constexpr uint64_t kMaxUploadAnswer = 16 << 20;
constexpr uint64_t kMaxLine = 16 << 20;
// cpprest has no "never"; an event stream may be silent this long.
constexpr absl::Duration kSilence = absl::Hours(24 * 30);

absl::Status FromException(const std::exception_ptr& error, const std::string& what) {
  try {
    std::rethrow_exception(error);
  } catch (const rest::http_exception& e) {
    const std::string message = fmt::format("{}: {}", what, e.what());
    if (e.error_code() == std::errc::timed_out) return absl::DeadlineExceededError(message);
    if (e.error_code() == std::errc::operation_canceled) return absl::CancelledError(message);
    return absl::UnavailableError(message);
  } catch (const web::uri_exception& e) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", what, e.what()));
  } catch (const pplx::task_canceled&) {
    return absl::CancelledError(fmt::format("{}: was cancelled", what));
  } catch (const std::exception& e) {
    return absl::UnavailableError(fmt::format("{}: {}", what, e.what()));
  }
}

// cpprest starts 40 threads by default; all that they do here is to move bytes.
void StartThreads() {
  static const bool once = [] {
    try {
      crossplat::threadpool::initialize_with_threads(kThreads);
    } catch (const std::exception&) {
      // Someone in this program was first; then it is theirs to say how many.
    }
    return true;
  }();
  static_cast<void>(once);
}

// Every exception of cpprest's ends here.
template <typename Call>
absl::StatusOr<Response> Guard(const std::string& what, Call call) {
  try {
    return call();
  } catch (...) {
    return FromException(std::current_exception(), what);
  }
}

std::string ContentType(const Request& request) {
  const auto type = request.headers.Find("Content-Type");
  return type ? std::string(*type) : std::string("application/octet-stream");
}

}  // namespace

struct Client::Impl {
  Impl(const std::string& url, ClientOptions client_options)
      : base_url(url),
        options(std::move(client_options)),
        client(url, Config(options.timeout)),
        patient_client(url, Config(kSilence)) {}

  rest::client::http_client_config Config(absl::Duration timeout) const {
    rest::client::http_client_config config;
    config.set_timeout(
        std::chrono::duration_cast<std::chrono::milliseconds>(absl::ToChronoNanoseconds(timeout)));
    config.set_chunksize(kChunk);
    // An answer that points elsewhere is the caller's to follow: it would take the key along.
    config.set_max_redirects(0);
    if (!options.ca_file.empty()) {
      config.set_ssl_context_callback([file = options.ca_file](boost::asio::ssl::context& context) {
        context.set_default_verify_paths();
        context.load_verify_file(file);
      });
    }
    return config;
  }

  rest::http_request MakeRequest(const Request& request) const {
    rest::http_request made(request.method);
    made.set_request_uri(web::uri(request.target));
    for (const Headers* headers : {&options.headers, &request.headers}) {
      for (const Headers::Field field : *headers) {
        made.headers()[std::string(field.name)] = std::string(field.value);
      }
    }
    return made;
  }

  std::string What(const Request& request) const {
    return fmt::format("{} {}{}", request.method, base_url,
                       request.target.substr(0, request.target.find('?')));
  }

  // Sends `made`, hands the body of a 2xx answer to the transfer's sink; another answer's body is
  // in the result. With `stop` the answer may be silent for as long as it likes once it has begun.
  absl::StatusOr<Response> Exchange(const Request& request, rest::http_request made,
                                    const std::shared_ptr<Transfer>& transfer,
                                    const std::stop_token* stop) const {
    const auto buffer = std::make_shared<SinkBuffer>(
        [transfer](std::string_view piece) { return transfer->TakePiece(piece); });
    made.set_response_stream(
        concurrency::streams::ostream(concurrency::streams::streambuf<uint8_t>(buffer)));
    pplx::cancellation_token_source cancel;
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
    if (stop != nullptr) on_stop.emplace(*stop, [&cancel] { cancel.cancel(); });
    // Whatever the end, from then on nothing of the caller's is touched.
    const absl::Cleanup close = [&transfer] { transfer->Close(); };

    rest::client::http_client to = stop == nullptr ? client : patient_client;
    bool late = false;
    Response response;
    try {
      to.request(made, cancel.get_token()).then([transfer](pplx::task<rest::http_response> head) {
        try {
          transfer->Begin(head.get());
        } catch (...) {
          transfer->Fail(std::current_exception());
        }
      });
      // cpprest keeps the time itself, but for the client that is patient.
      std::optional<rest::http_response> got =
          transfer->WaitForHead(stop == nullptr ? absl::InfiniteDuration() : options.timeout);
      if (!got.has_value()) {
        late = true;
        cancel.cancel();
        got = transfer->WaitForHead(absl::InfiniteDuration());
      }
      got->content_ready().wait();
      response.status = got->status_code();
      for (const auto& [name, value] : got->headers()) response.headers.Add(name, value);
    } catch (...) {
      if (const absl::Status error = transfer->error(); !error.ok()) {
        return error;
      }
      if (late) return absl::DeadlineExceededError(What(request) + ": no answer in time");
      if (stop != nullptr && stop->stop_requested()) {
        return absl::CancelledError(What(request) + ": was stopped");
      }
      return FromException(std::current_exception(), What(request));
    }
    RETURN_IF_ERROR(transfer->error());
    response.body = transfer->TakeFailure();
    return response;
  }

  const std::string base_url;
  const ClientOptions options;
  rest::client::http_client client;
  rest::client::http_client patient_client;
};

absl::StatusOr<Client> Client::Create(std::string_view base_url, ClientOptions options) {
  const std::string url(base_url);
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    return InvalidField("url", fmt::format("must start with http:// or https://, got \"{}\"", url));
  }
  if (!options.ca_file.empty() && ::access(options.ca_file.c_str(), R_OK) != 0) {
    return InvalidField("ca_file", fmt::format("\"{}\" cannot be read", options.ca_file));
  }
  StartThreads();
  try {
    return Client(std::make_unique<Impl>(url, std::move(options)));
  } catch (const std::exception& e) {
    return InvalidField("url", fmt::format("\"{}\" is no URL: {}", url, e.what()));
  }
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Response> Client::Send(const Request& request, uint64_t max_bytes) const {
  const std::string what = impl_->What(request);
  return Guard(what, [&]() -> absl::StatusOr<Response> {
    std::string body;
    const Sink collect = [&](std::string_view piece) -> absl::Status {
      if (piece.size() > max_bytes - body.size())
        return TooLarge("the answer of " + what, max_bytes);
      body.append(piece);
      return absl::OkStatus();
    };
    rest::http_request made = impl_->MakeRequest(request);
    if (!request.body.empty()) {
      // Not as a string, whose stream cpprest casts to one of another type.
      made.set_body(std::vector<unsigned char>(request.body.begin(), request.body.end()));
      made.headers().set_content_type(ContentType(request));
    }
    ASSIGN_OR_RETURN(Response response,
                     impl_->Exchange(request, std::move(made), std::make_shared<Transfer>(collect),
                                     /*stop=*/nullptr));
    if (response.body.empty()) response.body = std::move(body);
    return response;
  });
}

absl::StatusOr<Response> Client::Upload(const Request& request, std::istream& body,
                                        std::optional<uint64_t> length,
                                        const Progress& progress) const {
  const std::string what = impl_->What(request);
  return Guard(what, [&]() -> absl::StatusOr<Response> {
    std::string answer;
    const Sink collect = [&](std::string_view piece) -> absl::Status {
      if (piece.size() > kMaxUploadAnswer - answer.size()) {
        return TooLarge("the answer of " + what, kMaxUploadAnswer);
      }
      answer.append(piece);
      return absl::OkStatus();
    };
    const auto transfer = std::make_shared<Transfer>(collect);
    transfer->SetSource(body, length, progress);
    const auto source = std::make_shared<SourceBuffer>(
        [transfer](char* into, size_t most) { return transfer->ReadSource(into, most); });
    const concurrency::streams::istream stream{concurrency::streams::streambuf<uint8_t>(source)};
    rest::http_request made = impl_->MakeRequest(request);
    if (length.has_value()) {
      made.set_body(stream, *length, ContentType(request));
    } else {
      made.set_body(stream, ContentType(request));
    }
    ASSIGN_OR_RETURN(Response response, impl_->Exchange(request, std::move(made), transfer,
                                                        /*stop=*/nullptr));
    if (progress) progress(transfer->sent());
    if (response.body.empty()) response.body = std::move(answer);
    return response;
  });
}

absl::StatusOr<Response> Client::Download(const Request& request, const Sink& sink) const {
  return Guard(impl_->What(request), [&] {
    return impl_->Exchange(request, impl_->MakeRequest(request), std::make_shared<Transfer>(sink),
                           /*stop=*/nullptr);
  });
}

absl::StatusOr<Response> Client::ReadLines(const Request& request, const Sink& line,
                                           std::stop_token cancel) const {
  const std::string what = impl_->What(request);
  return Guard(what, [&]() -> absl::StatusOr<Response> {
    std::string begun;  // a line whose end has not come
    const Sink split = [&](std::string_view piece) -> absl::Status {
      for (size_t end; (end = piece.find('\n')) != std::string_view::npos;
           piece.remove_prefix(end + 1)) {
        begun.append(piece.substr(0, end));
        RETURN_IF_ERROR(line(begun));
        begun.clear();
      }
      if (begun.size() + piece.size() > kMaxLine) return TooLarge("a line of " + what, kMaxLine);
      begun.append(piece);
      return absl::OkStatus();
    };
    ASSIGN_OR_RETURN(Response response,
                     impl_->Exchange(request, impl_->MakeRequest(request),
                                     std::make_shared<Transfer>(split), &cancel));
    if (!begun.empty()) RETURN_IF_ERROR(line(begun));
    return response;
  });
}

}  // namespace slipway::http
