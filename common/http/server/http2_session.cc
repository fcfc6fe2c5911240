#include "common/http/server/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "common/http/server/response_writer.h"
#include "common/text/text.h"

namespace slipway::http {
namespace {

constexpr size_t kPrefaceBytes = 24;
// A connection's window follows what comes, as each stream's bounds what may wait.
constexpr int32_t kConnectionWindow = 16 << 20;
// Larger frames than the protocol's 16 KB spare both sides work on large bodies.
constexpr uint32_t kMaxFrame = 64 << 10;
// What a field of a header list costs beside its bytes (RFC 9113, 10.5.1).
constexpr size_t kFieldOverhead = 32;
// A header up to so many times the limit is answered; beyond it the session ends.
constexpr size_t kBlockFactor = 4;
// Pieces up to this size are copied into one string with the frames around them.
constexpr size_t kSmallPiece = 4 << 10;
// A frame of an answer that the peer's window made smaller than this earns the peer nothing.
constexpr uint64_t kDribble = 1 << 10;

std::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The fields of an answer in the form that nghttp2 takes. Its memory is kept for the next one of
// the thread.
class FieldList {
 public:
  static FieldList& Cleared() {
    static thread_local FieldList list;
    list.text_.clear();
    list.spans_.clear();
    return list;
  }

  void Add(std::string_view name, std::string_view value, uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
    const size_t start = text_.size();
    for (const char c : name) {
      text_.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
    }
    AppendFieldValue(text_, value);
    spans_.push_back({start, name.size(), text_.size() - start - name.size(), flags});
  }

  void AddAll(const Headers& headers) {
    for (const Headers::Field field : headers) {
      if (MaySendField(field.name)) Add(field.name, field.value);
    }
  }

  /// Lasts until the next change.
  const std::vector<nghttp2_nv>& fields() {
    fields_.clear();
    auto* const text = reinterpret_cast<uint8_t*>(text_.data());
    for (const Span& span : spans_) {
      fields_.push_back({text + span.start, text + span.start + span.name_size, span.name_size,
                         span.value_size, span.flags});
    }
    return fields_;
  }

 private:
  struct Span {
    size_t start, name_size, value_size;
    uint8_t flags;
  };
  std::string text_;
  std::vector<Span> spans_;
  std::vector<nghttp2_nv> fields_;
};

// What nghttp2 resets a stream or ends a session with where the peer broke the protocol.
bool IsFault(uint32_t error) {
  switch (error) {
    case NGHTTP2_PROTOCOL_ERROR:
    case NGHTTP2_FLOW_CONTROL_ERROR:
    case NGHTTP2_STREAM_CLOSED:
    case NGHTTP2_FRAME_SIZE_ERROR:
    case NGHTTP2_COMPRESSION_ERROR:
      return true;
    default:
      return false;
  }
}

std::string_view Decimal(uint64_t number, char (&digits)[20]) {
  const char* const end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  return {digits, static_cast<size_t>(end - digits)};
}

}  // namespace

// ---- What nghttp2 calls ------------------------------------------------------------------------

struct Http2Session::Callbacks {
  static Http2Session& Self(void* self) { return *static_cast<Http2Session*>(self); }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) Self(self).BeginHead();
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* self) {
    // Trailers are of no use to anyone here.
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Self(self).TakeField(View(name, name_size), View(value, value_size));
    }
    return 0;
  }

  static int OnFrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Http2Session& session = Self(self);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
          session.FinishHead(frame->hd.stream_id, ends);
          break;
        }
        [[fallthrough]];
      case NGHTTP2_DATA:
        if (Stream* const stream = ends ? session.Find(frame->hd.stream_id) : nullptr) {
          session.EndBody(*stream);
        }
        break;
      case NGHTTP2_RST_STREAM:
        session.reset_by_peer_ = frame->hd.stream_id;
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size,
                    void* self) {
    // The streams' windows bound what may wait; a stream must not wait for what others have read.
    nghttp2_session_consume_connection(session, size);
    Stream* const stream = Self(self).Find(id);
    if (stream != nullptr) Self(self).owner_.OnBody(*stream, View(data, size));
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t, void* self) {
    Http2Session& session = Self(self);
    Stream* const stream = session.Find(id);
    const bool fault = id != session.reset_by_peer_ &&
                       (stream == nullptr || (!stream->answered_ && !stream->reset_));
    if (fault && !session.meter_.SpendReset(session.now_)) {
      session.EndWith(Refusal::kTooManyResets);
    }
    if (stream != nullptr) {
      session.pending_ -= stream->pending_;
      session.owner_.OnClose(*stream);
    }
    return 0;
  }

  static ssize_t ReadPiece(nghttp2_session* session, int32_t id, uint8_t*, size_t size,
                           uint32_t* flags, nghttp2_data_source* source, void* self) {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const uint64_t bytes = std::min<uint64_t>(size, stream.pending_);
    if (stream.complete_ && bytes == stream.pending_) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      FieldList& list = FieldList::Cleared();
      list.AddAll(stream.trailers_);
      const std::vector<nghttp2_nv>& fields = list.fields();
      if (!fields.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, fields.data(), fields.size()) != 0) {
          return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
      }
    } else if (bytes == 0) {
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes >= std::min(stream.pending_, kDribble)) Self(self).meter_.EarnFrames();
    return static_cast<ssize_t>(bytes);
  }

  static int SendPiece(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                       nghttp2_data_source* source, void* self) {
    Http2Session& session = Self(self);
    if (session.output_.size() >= session.enough_) return NGHTTP2_ERR_WOULDBLOCK;
    constexpr size_t kHeaderBytes = 9;
    session.output_.Append(View(header, kHeaderBytes));
    session.Pack(*static_cast<Stream*>(source->ptr), size);
    return 0;
  }

  static ssize_t FrameSize(nghttp2_session*, uint8_t, int32_t, int32_t session_window,
                           int32_t stream_window, uint32_t max_frame, void*) {
    return std::min(
        {session_window, stream_window, static_cast<int32_t>(std::min(max_frame, kMaxFrame))});
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        break;
      case NGHTTP2_RST_STREAM:
        if (IsFault(frame->rst_stream.error_code)) Self(self).owner_.OnMalformed();
        return 0;
      case NGHTTP2_GOAWAY:
        if (IsFault(frame->goaway.error_code)) Self(self).owner_.OnMalformed();
        return 0;
      default:
        return 0;
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Stream* const stream = Self(self).Find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->answered_ = true;
    Self(self).meter_.EarnAnswer();
    Self(self).meter_.EarnFrames();
    if (!stream->body_ended_) {
      // What is left of the body is of no use any more (RFC 9113, 8.1).
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
    }
    Self(self).owner_.OnAnswered(*stream);
    return 0;
  }

  static nghttp2_session* NewSession(Http2Session& self) {
    struct Shared {
      Shared() {
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrameReceived);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, SendPiece);
        nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, FrameSize);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
        nghttp2_option_new(&option);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        // gRPC's clients send the blanks that a user's value has. TakeField() drops them.
        nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
        // The meter counts resets, by all that a peer may cause them with.
        nghttp2_option_set_stream_reset_rate_limit(option, 1 << 30, 1 << 30);
      }
      nghttp2_session_callbacks* callbacks = nullptr;
      nghttp2_option* option = nullptr;
    };
    static const Shared& shared = *new Shared;
    nghttp2_session* session = nullptr;
    if (nghttp2_session_server_new2(&session, shared.callbacks, &self, shared.option) != 0) {
      std::abort();  // no memory
    }
    return session;
  }
};

// ---- Bytes in ----------------------------------------------------------------------------------

Http2Session::Http2Session(const Limits& limits, Owner& owner, OutputQueue& output)
    : limits_(limits),
      owner_(owner),
      output_(output),
      session_(Callbacks::NewSession(*this)),
      preface_left_(kPrefaceBytes),
      meter_(kBlockFactor * limits.header_bytes) {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrame},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.header_bytes)}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

Http2Session::~Http2Session() { nghttp2_session_del(session_); }

bool Http2Session::Receive(std::string_view bytes, int64_t now) {
  if (refusal_.has_value() || failed_) return false;
  now_ = now;
  const size_t preface = std::min(preface_left_, bytes.size());
  preface_left_ -= preface;
  switch (meter_.Take(bytes.substr(preface), now)) {
    case Http2FrameMeter::Verdict::kOk:
      break;
    case Http2FrameMeter::Verdict::kHeaderTooLarge:
      EndWith(Refusal::kHeaderTooLarge);
      return false;
    case Http2FrameMeter::Verdict::kTooManyResets:
      EndWith(Refusal::kTooManyResets);
      return false;
    case Http2FrameMeter::Verdict::kFlood:
      EndWith(Refusal::kFlood);
      return false;
  }
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) {
    failed_ = true;
    const bool flood = taken == NGHTTP2_ERR_FLOODED || taken == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS;
    EndWith(flood ? Refusal::kFlood : Refusal::kMalformed);
  }
  return !refusal_.has_value();
}

void Http2Session::EndWith(Refusal why) {
  if (!refusal_.has_value()) refusal_ = why;
}

Http2Session::Stream* Http2Session::Find(int32_t id) const {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
}

void Http2Session::BeginHead() {
  head_ = RequestHead();
  head_.http_version = 20;
  head_bytes_ = 0;
  has_authority_ = false;
  head_error_.reset();
}

void Http2Session::TakeField(std::string_view name, std::string_view value) {
  if (head_error_.has_value()) return;
  const auto malformed = [this](std::string_view message) {
    head_error_ = ParseError{.message = message};
  };
  head_bytes_ += name.size() + value.size() + kFieldOverhead;
  if (head_bytes_ > limits_.header_bytes || head_.headers.size() == kMaxHeaderFields) {
    head_error_ = kHeaderTooLarge;
  } else if (name == ":method") {
    head_.method = value;
  } else if (name == ":path") {
    if (value.find('#') != std::string_view::npos) malformed("the request target holds a fragment");
    head_.target = value;
  } else if (name == ":authority") {
    if (!IsHost(value)) malformed(":authority is not a name and a port");
    has_authority_ = true;
    head_.headers.Add("host", value);
  } else if (name[0] == ':') {
    // :scheme; one origin is served here whatever it says.
  } else if (name == "host") {
    if (!IsHost(value)) malformed("Host is not a name and a port");
    if (!has_authority_) {
      head_.headers.Add(name, value);
    } else if (value != head_.headers.Get("host")) {
      malformed("Host and :authority differ");
    }
  } else {
    value = WithoutBlanks(value);
    if (name == "expect" && !EqualsIgnoringCase(value, "100-continue")) {
      head_error_ = kBadExpectation;
    }
    head_.headers.Add(name, value);
  }
}

void Http2Session::FinishHead(int32_t id, bool ends) {
  if (refusal_.has_value()) return;
  if (!head_error_.has_value() && head_.target.empty()) {
    head_error_ = ParseError{.message = "CONNECT is not served here"};
  }
  // nghttp2 looks at this where the scheme is one that it knows.
  const bool asterisk = head_.target == "*" && head_.method == "OPTIONS";
  if (!head_error_.has_value() && head_.target[0] != '/' && !asterisk) {
    head_error_ = ParseError{.message = "the request target must start with '/'"};
  }
  Stream* const stream = head_error_.has_value() ? owner_.OnBadRequest(id, *head_error_)
                                                 : owner_.OnRequest(id, std::move(head_));
  if (stream == nullptr) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return;
  }
  nghttp2_session_set_stream_user_data(session_, id, stream);
  if (ends) EndBody(*stream);
}

void Http2Session::EndBody(Stream& stream) {
  stream.body_ended_ = true;
  owner_.OnBodyEnd(stream);
}

void Http2Session::Consume(Stream& stream, size_t bytes) {
  if (!stream.body_ended_) nghttp2_session_consume_stream(session_, stream.id_, bytes);
}

// ---- Answers out -------------------------------------------------------------------------------

bool Http2Session::Send(uint64_t enough) {
  enough_ = enough;
  while (!failed_ && output_.size() < enough) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size == 0) break;
    if (size < 0) {
      failed_ = true;
    } else {
      output_.Append(View(bytes, static_cast<size_t>(size)));
    }
  }
  return !failed_;
}

bool Http2Session::ended() const {
  return failed_ ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void Http2Session::Continue(Stream& stream) {
  FieldList& list = FieldList::Cleared();
  list.Add(":status", "100");
  const std::vector<nghttp2_nv>& fields = list.fields();
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, fields.data(),
                         fields.size(), nullptr);
}

void Http2Session::StartAnswer(Stream& stream, const AnswerHead& head, bool ends) {
  char digits[20];
  FieldList& list = FieldList::Cleared();
  list.Add(":status", Decimal(static_cast<uint64_t>(head.status), digits));
  list.AddAll(head.headers);
  if (!head.request_id.empty() && !head.headers.Has("x-request-id")) {
    // It never comes again: of no use in the peer's table of fields.
    list.Add("x-request-id", head.request_id, NGHTTP2_NV_FLAG_NO_INDEX);
  }
  if (head.content_length.has_value()) {
    list.Add("content-length", Decimal(*head.content_length, digits));
  }
  list.Add("date", head.date);
  const std::vector<nghttp2_nv>& fields = list.fields();
  nghttp2_data_provider pieces = {.source = {.ptr = &stream},
                                  .read_callback = Callbacks::ReadPiece};
  nghttp2_submit_response(session_, stream.id_, fields.data(), fields.size(),
                          ends ? nullptr : &pieces);
  stream.complete_ = ends;
}

void Http2Session::AddPiece(Stream& stream, std::string piece, Exchange::DoneCallback done) {
  stream.pending_ += piece.size();
  pending_ += piece.size();
  stream.pieces_.push_back(
      {std::make_shared<const std::string>(std::move(piece)), std::move(done)});
  Resume(stream);
}

void Http2Session::EndAnswer(Stream& stream, Headers trailers) {
  stream.complete_ = true;
  stream.trailers_ = std::move(trailers);
  Resume(stream);
}

void Http2Session::Resume(Stream& stream) {
  if (!std::exchange(stream.deferred_, false)) return;
  nghttp2_session_resume_data(session_, stream.id_);
}

// Moves `bytes` of the answer's body into the output.
void Http2Session::Pack(Stream& stream, size_t bytes) {
  stream.pending_ -= bytes;
  pending_ -= bytes;
  stream.packed_ += bytes;
  while (bytes > 0) {
    Stream::Piece& piece = stream.pieces_[stream.at_];
    const size_t here = std::min(bytes, piece.bytes->size() - stream.offset_);
    const auto bytes_here = std::string_view(*piece.bytes).substr(stream.offset_, here);
    if (here <= kSmallPiece) {
      output_.Append(bytes_here);
    } else {
      output_.Add(piece.bytes, bytes_here);
    }
    bytes -= here;
    stream.offset_ += here;
    if (stream.offset_ < piece.bytes->size()) break;
    if (piece.done) output_.Mark(std::move(piece.done));
    piece.bytes.reset();
    stream.offset_ = 0;
    ++stream.at_;
  }
  if (stream.at_ == stream.pieces_.size()) {
    stream.pieces_.clear();
    stream.at_ = 0;
  }
}

std::vector<Exchange::DoneCallback> Http2Session::TakeCallbacks(Stream& stream) {
  std::vector<Exchange::DoneCallback> callbacks;
  for (size_t i = stream.at_; i < stream.pieces_.size(); ++i) {
    if (stream.pieces_[i].done) callbacks.push_back(std::move(stream.pieces_[i].done));
  }
  return callbacks;
}

void Http2Session::ResetStream(Stream& stream, Reset why) {
  stream.reset_ = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_,
                            why == Reset::kCancel ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
}

void Http2Session::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void Http2Session::AnnounceEnd() { nghttp2_submit_shutdown_notice(session_); }

void Http2Session::GoAway(std::string_view why, bool calm_down) {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_),
                        calm_down ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR,
                        reinterpret_cast<const uint8_t*>(why.data()), why.size());
}

}  // namespace slipway::http
