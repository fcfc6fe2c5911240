#include "services/gateway/oip/infer_message.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;
using pb::internal::WireFormatLite;

constexpr uint32_t kRawInputTag =
    WireFormatLite::MakeTag(inference::ModelInferRequest::kRawInputContentsFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kRawOutputTag =
    WireFormatLite::MakeTag(inference::ModelInferResponse::kRawOutputContentsFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
// Smaller contents are cheaper to copy than to refer to.
constexpr size_t kCopyBytes = 4096;

void AppendTagAndSize(uint32_t tag, size_t size, std::string& out) {
  uint8_t bytes[15];
  uint8_t* end = pb::io::CodedOutputStream::WriteTagToArray(tag, bytes);
  end = pb::io::CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), end);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(end - bytes));
}

// A cord's chunks as protobuf reads them.
class CordInput final : public pb::io::ZeroCopyInputStream {
 public:
  explicit CordInput(const absl::Cord& cord) : at_(cord.chunk_begin()), end_(cord.chunk_end()) {}

  bool Next(const void** data, int* size) override {
    if (chunk_.empty()) {
      if (at_ == end_) return false;
      chunk_ = *at_;
      ++at_;
    }
    *data = chunk_.data();
    *size = static_cast<int>(chunk_.size());
    last_ = std::exchange(chunk_, {});
    read_ += *size;
    return true;
  }
  void BackUp(int count) override {
    chunk_ = last_.substr(last_.size() - static_cast<size_t>(count));
    read_ -= count;
  }
  bool Skip(int count) override {
    const void* data;
    int size;
    while (count > 0) {
      if (!Next(&data, &size)) return false;
      if (size > count) BackUp(size - count);
      count -= std::min(size, count);
    }
    return true;
  }
  int64_t ByteCount() const override { return read_; }

 private:
  absl::Cord::ChunkIterator at_;
  const absl::Cord::ChunkIterator end_;
  absl::string_view chunk_;  // not yet given out
  absl::string_view last_;
  int64_t read_ = 0;
};

absl::Status NotUnderstood() {
  return absl::InternalError("the worker's answer could not be understood");
}

// `message` without its raw contents, and these. False where it is no message.
bool TakeApart(const absl::Cord& message, uint32_t raw_tag, std::string& head,
               std::vector<absl::Cord>& contents) {
  CordInput input(message);
  pb::io::CodedInputStream in(&input);
  pb::io::StringOutputStream output(&head);
  pb::io::CodedOutputStream out(&output);
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != raw_tag) {
      if (!WireFormatLite::SkipField(&in, tag, &out)) return false;
      continue;
    }
    uint32_t size = 0;
    if (!in.ReadVarint32(&size)) return false;
    const auto at = static_cast<size_t>(in.CurrentPosition());
    if (size > message.size() - at || !in.Skip(static_cast<int>(size))) return false;
    contents.push_back(message.Subcord(at, size));
  }
  return in.ConsumedEntireMessage();
}

}  // namespace

absl::Cord Serialize(const InferRequest& request) {
  absl::Cord message;
  std::string bytes;
  size_t small = request.head.ByteSizeLong();
  for (const absl::Cord& content : request.contents) {
    small += 8 + (content.size() <= kCopyBytes ? content.size() : 0);
  }
  bytes.reserve(small);
  request.head.AppendToString(&bytes);
  for (const absl::Cord& content : request.contents) {
    AppendTagAndSize(kRawInputTag, content.size(), bytes);
    if (content.size() <= kCopyBytes) {
      for (const absl::string_view chunk : content.Chunks())
        bytes.append(chunk.data(), chunk.size());
    } else {
      message.Append(std::exchange(bytes, {}));
      message.Append(content);
    }
  }
  if (!bytes.empty()) message.Append(std::move(bytes));
  return message;
}

SequenceHead ReadSequenceHead(
    const google::protobuf::Map<std::string, inference::InferParameter>& parameters) {
  SequenceHead sequence;
  const auto id = parameters.find("sequence_id");
  if (id == parameters.end()) return sequence;
  if (id->second.has_string_param()) {
    if (!id->second.string_param().empty()) {
      sequence.id = fmt::format("\"{}\"", id->second.string_param());
    }
  } else if (id->second.int64_param() != 0) {
    sequence.id = std::to_string(id->second.int64_param());
  } else if (id->second.uint64_param() != 0) {
    sequence.id = std::to_string(id->second.uint64_param());
  }
  const auto start = parameters.find("sequence_start");
  sequence.start = start != parameters.end() && start->second.bool_param();
  return sequence;
}

bool IsLessUrgent(const google::protobuf::Map<std::string, inference::InferParameter>& parameters) {
  const auto priority = parameters.find("priority");
  return priority != parameters.end() &&
         (priority->second.int64_param() > 1 || priority->second.uint64_param() > 1);
}

int64_t RowsOf(int64_t first_dimension) {
  // Far above what anybody can send, and far below what sums of them overflow.
  return std::clamp<int64_t>(first_dimension, 1, 1'000'000'000'000);
}

int64_t RowsOf(const inference::ModelInferRequest& request) {
  if (request.inputs_size() == 0 || request.inputs(0).shape_size() == 0) return 1;
  return RowsOf(request.inputs(0).shape(0));
}

absl::StatusOr<InferAnswer> ParseInferAnswer(const absl::Cord& message) {
  InferAnswer answer;
  if (message.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return NotUnderstood();
  std::string head;
  if (!TakeApart(message, kRawOutputTag, head, answer.contents) ||
      !answer.head.ParseFromString(head)) {
    return NotUnderstood();
  }
  if (answer.contents.size() != static_cast<size_t>(answer.head.outputs_size())) {
    return absl::InternalError("the worker's answer has no raw content for each output");
  }
  auto& parameters = *answer.head.mutable_parameters();
  if (const auto compute = parameters.find(std::string(kComputeMicrosParameter));
      compute != parameters.end()) {
    answer.compute_micros = compute->second.int64_param();
    parameters.erase(compute);
  }
  return answer;
}

}  // namespace slipway::gateway
