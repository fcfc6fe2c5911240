#include "common/http/channel/client_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "common/http/grpc/frames.h"

namespace slipway::http::grpc {
namespace {

// What the peer may send before it is read. An answer is wanted whole, and its size has a limit.
constexpr int32_t kStreamWindow = 16 << 20;
constexpr int32_t kConnectionWindow = 64 << 20;
// Larger frames than the protocol's 16 KB spare both sides work on large messages.
constexpr uint32_t kMaxFrame = 256 << 10;
// Pieces up to this size are copied into one string with the frames around them.
constexpr size_t kSmallPiece = 4 << 10;
std::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

nghttp2_nv Field(std::string_view name, std::string_view value,
                 uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

}  // namespace

// ---- What nghttp2 calls ------------------------------------------------------------------------

struct ClientSession::Callbacks {
  static ClientSession& Self(void* self) { return *static_cast<ClientSession*>(self); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* self) {
    Stream* const stream = Self(self).Find(frame->hd.stream_id);
    if (stream != nullptr) {
      stream->answer_.TakeField(View(name, name_size), View(value, value_size));
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size,
                    void* self) {
    Stream* const stream = Self(self).Find(id);
    if (stream != nullptr && !stream->answer_.TakeBody(View(data, size))) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
    return 0;
  }

  static int OnFrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    ClientSession& session = Self(self);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        if (Stream* const stream = session.Find(frame->hd.stream_id);
            stream != nullptr && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
          stream->answered_ = true;
        }
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !std::exchange(session.ready_, true)) {
          session.owner_.OnReady();
        }
        break;
      case NGHTTP2_GOAWAY:
        if (!std::exchange(session.going_away_, true)) session.owner_.OnGoAway();
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error, void* self) {
    if (Stream* const stream = Self(self).Find(id)) Self(self).End(*stream, error);
    return 0;
  }

  static ssize_t ReadMessage(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                             nghttp2_data_source* source, void*) {
    const Stream& stream = *static_cast<const Stream*>(source->ptr);
    const uint64_t bytes = std::min<uint64_t>(size, stream.left_);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes == stream.left_) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(bytes);
  }

  static int SendMessage(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                         nghttp2_data_source* source, void* self) {
    ClientSession& session = Self(self);
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

  static nghttp2_session* NewSession(ClientSession& self) {
    static nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* made = nullptr;
      nghttp2_session_callbacks_new(&made);
      nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnData);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrameReceived);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
      nghttp2_session_callbacks_set_send_data_callback(made, SendMessage);
      nghttp2_session_callbacks_set_data_source_read_length_callback(made, FrameSize);
      return made;
    }();
    nghttp2_session* session = nullptr;
    if (nghttp2_session_client_new(&session, callbacks, &self) != 0) std::abort();  // no memory
    return session;
  }
};

// ---- The session -------------------------------------------------------------------------------

ClientSession::ClientSession(bool tls, std::string authority, Owner& owner, OutputQueue& output)
    : tls_(tls),
      authority_(std::move(authority)),
      owner_(owner),
      output_(output),
      session_(Callbacks::NewSession(*this)) {
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
                                             {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrame}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

ClientSession::~ClientSession() { nghttp2_session_del(session_); }

ClientSession::Stream* ClientSession::Find(int32_t id) const {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
}

bool ClientSession::HasRoom() const {
  return ready_ && nghttp2_session_check_request_allowed(session_) != 0 &&
         streams_.size() <
             nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void ClientSession::Begin(std::shared_ptr<Stream> stream, const Request& request) {
  // Its memory is kept for the next one of the thread.
  static thread_local std::vector<nghttp2_nv> fields;
  fields.assign({Field(":method", "POST"), Field(":scheme", tls_ ? "https" : "http"),
                 Field(":path", request.method), Field(":authority", authority_),
                 Field("te", "trailers"), Field("content-type", "application/grpc")});
  // What is never the same twice is of no use in the peer's table of fields.
  if (!request.timeout.empty()) {
    fields.push_back(Field("grpc-timeout", request.timeout, NGHTTP2_NV_FLAG_NO_INDEX));
  }
  for (const Headers::Field field : request.metadata) {
    fields.push_back(
        Field(field.name, field.value,
              field.name == "x-request-id" ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE));
  }
  stream->chunk_ = stream->message_.chunk_begin();
  stream->left_ = kFrameHeaderBytes + stream->message_.size();
  const nghttp2_data_provider message = {.source = {.ptr = stream.get()},
                                         .read_callback = Callbacks::ReadMessage};
  stream->id_ = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &message,
                                       stream.get());
  if (stream->id_ < 0) std::abort();  // no memory
  ++begun_;
  Stream& begun = *stream;
  begun.place_ = streams_.insert(streams_.end(), std::move(stream));
}

void ClientSession::End(Stream& stream, uint32_t error) {
  const std::shared_ptr<Stream> held = std::move(*stream.place_);
  streams_.erase(stream.place_);
  if (stream.cancelled_) return;
  owner_.OnEnd(stream, stream.answer_.Finish(stream.answered_ ? std::nullopt
                                                              : std::optional<uint32_t>(error)));
}

void ClientSession::Cancel(Stream& stream) {
  stream.cancelled_ = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_CANCEL);
}

bool ClientSession::MayHaveSeen(const Stream& stream) const {
  return stream.answer_.begun() || (stream.left_ == 0 && output_.sent_bytes() >= stream.end_at_);
}

void ClientSession::GoAway() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
}

void ClientSession::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

bool ClientSession::Receive(std::string_view bytes) {
  return nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                  bytes.size()) >= 0;
}

bool ClientSession::Send(uint64_t enough) {
  enough_ = enough;
  while (output_.size() < enough) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return false;
    if (size == 0) break;
    output_.Append(View(bytes, static_cast<size_t>(size)));
  }
  return true;
}

bool ClientSession::wants_send() const { return nghttp2_session_want_write(session_) != 0; }

bool ClientSession::ended() const {
  return nghttp2_session_want_read(session_) == 0 && !wants_send();
}

// Moves `bytes` of the body into the output: the message behind its header.
void ClientSession::Pack(Stream& stream, size_t bytes) {
  const uint64_t packed = kFrameHeaderBytes + stream.message_.size() - stream.left_;
  stream.left_ -= bytes;
  if (packed < kFrameHeaderBytes) {
    const std::array<char, kFrameHeaderBytes> header = FrameHeader(stream.message_.size());
    const auto piece = std::string_view(header.data(), header.size()).substr(packed, bytes);
    output_.Append(piece);
    bytes -= piece.size();
  }
  while (bytes > 0) {
    const absl::string_view chunk = *stream.chunk_;
    const std::string_view piece =
        std::string_view(chunk.data(), chunk.size()).substr(stream.offset_, bytes);
    if (piece.size() <= kSmallPiece) {
      output_.Append(piece);
    } else {
      output_.Add(*stream.place_, piece);
    }
    bytes -= piece.size();
    stream.offset_ += piece.size();
    if (stream.offset_ == chunk.size()) {
      ++stream.chunk_;
      stream.offset_ = 0;
    }
  }
  if (stream.left_ == 0) stream.end_at_ = output_.added_bytes();
}

}  // namespace slipway::http::grpc
