#include "common/http/client/client.h"

// cpprest would define a macro U, which other libraries use as a name.
#define _TURN_OFF_PLATFORM_STRING
#include <boost/asio/ssl/context.hpp>
#include <cpprest/http_client.h>
#include <cpprest/interopstream.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <system_error>
#include <utility>

#include "common/http/client/sink_buffer.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"

namespace slipway::http {
namespace {

namespace rest = web::http;

constexpr size_t kMaxErrorBody = 1 << 20;
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

// Where an answer's body goes once its status is known: pieces wait for that.
class BodyGate {
 public:
  explicit BodyGate(const Client::Sink& sink) : sink_(sink) {}

  void SetStatus(int status) {
    MutexLock lock(mutex_);
    status_ = status;
    known_.SignalAll();
  }

  // On a thread of cpprest's.
  absl::Status Take(std::string_view piece) {
    MutexLock lock(mutex_);
    while (status_ == 0) known_.Wait(mutex_);
    if (!error_.ok()) return error_;
    if (status_ >= 200 && status_ < 300) {
      error_ = sink_(piece);
    } else if (failure_.size() < kMaxErrorBody) {
      failure_.append(piece.substr(0, kMaxErrorBody - failure_.size()));
    }
    return error_;
  }

  absl::Status error() {
    MutexLock lock(mutex_);
    return error_;
  }
  std::string failure() {
    MutexLock lock(mutex_);
    return std::move(failure_);
  }

 private:
  const Client::Sink& sink_;
  Mutex mutex_;
  CondVar known_;
  int status_ GUARDED_BY(mutex_) = 0;
  absl::Status error_ GUARDED_BY(mutex_);
  std::string failure_ GUARDED_BY(mutex_);
};

}  // namespace

struct Client::Impl {
  Impl(const std::string& url, ClientOptions client_options)
      : base_url(url),
        options(std::move(client_options)),
        client(url, Config(options.timeout)),
        patient_client(url, Config(kSilence)) {}

  rest::client::http_client_config Config(absl::Duration timeout) const {
    rest::client::http_client_config config;
    config.set_timeout(std::chrono::duration_cast<std::chrono::milliseconds>(
        absl::ToChronoNanoseconds(timeout)));
    config.set_chunksize(256 << 10);
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

  // Sends `made`, hands the body of a 2xx answer to `sink`; another answer's body is in the
  // result. With `stop` the answer may be silent for ever once it has begun.
  absl::StatusOr<Response> Exchange(const Request& request, rest::http_request made,
                                    const Sink& sink, const std::stop_token* stop) const {
    BodyGate gate(sink);
    const auto buffer =
        std::make_shared<SinkBuffer>([&gate](std::string_view piece) { return gate.Take(piece); });
    made.set_response_stream(
        concurrency::streams::ostream(concurrency::streams::streambuf<uint8_t>(buffer)));
    pplx::cancellation_token_source cancel;
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
    if (stop != nullptr) on_stop.emplace(*stop, [&cancel] { cancel.cancel(); });

    // The head comes first; only then may the sink be called.
    auto promise = std::make_shared<std::promise<rest::http_response>>();
    std::future<rest::http_response> head = promise->get_future();
    const rest::client::http_client& chosen = stop == nullptr ? client : patient_client;
    const auto task =
        const_cast<rest::client::http_client&>(chosen)
            .request(made, cancel.get_token())
            .then([promise, &gate](pplx::task<rest::http_response> got) {
              try {
                rest::http_response response = got.get();
                gate.SetStatus(response.status_code());
                promise->set_value(std::move(response));
              } catch (...) {
                gate.SetStatus(rest::status_codes::InternalError);
                promise->set_exception(std::current_exception());
              }
            });
    bool late = false;
    if (stop != nullptr && head.wait_for(std::chrono::duration_cast<std::chrono::milliseconds>(
                               absl::ToChronoNanoseconds(options.timeout))) ==
                               std::future_status::timeout) {
      late = true;
      cancel.cancel();
    }
    Response response;
    try {
      task.wait();
      const rest::http_response got = head.get();
      response.status = got.status_code();
      for (const auto& [name, value] : got.headers()) response.headers.Add(name, value);
      got.content_ready().wait();
    } catch (...) {
      RETURN_IF_ERROR(gate.error());
      if (late) return absl::DeadlineExceededError(What(request) + ": no answer in time");
      if (stop != nullptr && stop->stop_requested()) {
        return absl::CancelledError(What(request) + ": was stopped");
      }
      return FromException(std::current_exception(), What(request));
    }
    RETURN_IF_ERROR(gate.error());
    response.body = gate.failure();
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
  std::string body;
  const Sink collect = [&](std::string_view piece) -> absl::Status {
    if (body.size() + piece.size() > max_bytes) {
      return TooLarge("the answer of " + impl_->What(request), max_bytes);
    }
    body.append(piece);
    return absl::OkStatus();
  };
  try {
    rest::http_request made = impl_->MakeRequest(request);
    if (!request.body.empty()) {
      const auto type = request.headers.Find("Content-Type");
      made.set_body(request.body,
                    type ? std::string(*type) : std::string("application/octet-stream"));
    }
    ASSIGN_OR_RETURN(Response response, impl_->Exchange(request, made, collect, nullptr));
    if (response.body.empty()) response.body = std::move(body);
    return response;
  } catch (...) {
    return FromException(std::current_exception(), impl_->What(request));
  }
}

absl::StatusOr<Response> Client::Upload(const Request& request, std::istream& body,
                                        std::optional<uint64_t> length,
                                        const Progress& progress) const {
  std::string answer;
  const Sink collect = [&](std::string_view piece) -> absl::Status {
    answer.append(piece.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, answer.size())));
    return absl::OkStatus();
  };
  try {
    rest::http_request made = impl_->MakeRequest(request);
    const concurrency::streams::stdio_istream<uint8_t> stream(body);
    const auto type = request.headers.Find("Content-Type");
    const std::string content_type =
        type ? std::string(*type) : std::string("application/octet-stream");
    if (length) {
      made.set_body(stream, *length, content_type);
    } else {
      made.set_body(stream, content_type);
    }
    if (progress) {
      made.set_progress_handler([progress](rest::message_direction::direction direction,
                                           utility::size64_t bytes) {
        if (direction == rest::message_direction::upload) progress(bytes);
      });
    }
    ASSIGN_OR_RETURN(Response response, impl_->Exchange(request, made, collect, nullptr));
    if (response.body.empty()) response.body = std::move(answer);
    return response;
  } catch (...) {
    return FromException(std::current_exception(), impl_->What(request));
  }
}

absl::StatusOr<Response> Client::Download(const Request& request, const Sink& sink) const {
  try {
    return impl_->Exchange(request, impl_->MakeRequest(request), sink, nullptr);
  } catch (...) {
    return FromException(std::current_exception(), impl_->What(request));
  }
}

absl::StatusOr<Response> Client::ReadLines(const Request& request, const Sink& line,
                                           std::stop_token cancel) const {
  std::string rest_of_line;
  const Sink split = [&](std::string_view piece) -> absl::Status {
    for (size_t end; (end = piece.find('\n')) != std::string_view::npos;
         piece.remove_prefix(end + 1)) {
      rest_of_line.append(piece.substr(0, end));
      RETURN_IF_ERROR(line(rest_of_line));
      rest_of_line.clear();
    }
    rest_of_line.append(piece);
    return absl::OkStatus();
  };
  try {
    ASSIGN_OR_RETURN(Response response,
                     impl_->Exchange(request, impl_->MakeRequest(request), split, &cancel));
    if (!rest_of_line.empty()) RETURN_IF_ERROR(line(rest_of_line));
    return response;
  } catch (...) {
    return FromException(std::current_exception(), impl_->What(request));
  }
}

}  // namespace slipway::http
