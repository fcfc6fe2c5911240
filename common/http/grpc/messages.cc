#include "common/http/grpc/messages.h"

#include <limits>
#include <string_view>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"

namespace slipway::http::grpc {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

absl::Status ParseMessage(const Message& bytes, google::protobuf::MessageLite& message) {
  const std::string_view view = bytes.view();
  if (view.size() > std::numeric_limits<int>::max() ||
      !message.ParseFromArray(view.data(), static_cast<int>(view.size()))) {
    return absl::InvalidArgumentError("the request is no " + message.GetTypeName());
  }
  return absl::OkStatus();
}

std::string FrameOf(const google::protobuf::MessageLite& message) {
  std::string frame = BeginFrame(message.ByteSizeLong());
  message.AppendToString(&frame);
  EndFrame(frame);
  return frame;
}

void AppendFieldPrefix(int number, size_t size, std::string& out) {
  uint8_t bytes[10];
  uint8_t* end = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), bytes);
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), end);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(end - bytes));
}

size_t FieldPrefixSize(size_t size) {
  return 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(size));
}

}  // namespace slipway::http::grpc
