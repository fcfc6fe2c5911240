#include "common/tensor/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "common/files/files.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;

constexpr char kMetadata[] = "__metadata__";
constexpr size_t kLengthBytes = sizeof(uint64_t);

struct FormatType {
  std::string_view name;
  DataType dtype;
};

// The format's types that the Open Inference Protocol has too, in the reference implementation's
// order (the writer sorts by it, last first).
constexpr FormatType kFormatTypes[] = {
    {"BOOL", DataType::kBool},  {"U8", DataType::kUint8},   {"I8", DataType::kInt8},
    {"I16", DataType::kInt16},  {"U16", DataType::kUint16}, {"F16", DataType::kFp16},
    {"BF16", DataType::kBf16},  {"I32", DataType::kInt32},  {"U32", DataType::kUint32},
    {"F32", DataType::kFp32},   {"F64", DataType::kFp64},   {"I64", DataType::kInt64},
    {"U64", DataType::kUint64},
};

std::optional<size_t> FormatRank(DataType dtype) {
  for (size_t i = 0; i < std::size(kFormatTypes); ++i) {
    if (kFormatTypes[i].dtype == dtype) return i;
  }
  return std::nullopt;
}

struct Entry {
  std::string name;
  DataType dtype = DataType::kFp32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Reads the header straight into entries: a tree of JSON values would cost many times the
// header's size, and would let the second of two equal keys win silently.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::string problem;

  bool null() override { return Fail("holds a null"); }
  bool boolean(bool) override { return Fail("holds a boolean"); }
  bool number_integer(number_integer_t) override { return Fail("holds a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Fail("holds a fraction"); }
  bool binary(binary_t&) override { return Fail("holds binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (entry_.shape.size() == Shape::kMaxRank) return Fail("has too many dimensions");
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Fail("has a dimension of more than 63 bits");
      }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (offsets_ == 2) return Fail("has more than two data_offsets");
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return Fail("holds a number where none belongs");
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      metadata[key_] = std::move(value);
      return true;
    }
    if (place_ == Place::kTensor && key_ == "dtype") {
      for (const FormatType& type : kFormatTypes) {
        if (type.name != value) continue;
        entry_.dtype = type.dtype;
        return true;
      }
      return Fail(fmt::format("has the unknown dtype {}", Quote(value)));
    }
    return Fail("holds text where none belongs");
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        if (key_ == kMetadata) {
          place_ = Place::kMetadata;
          return true;
        }
        place_ = Place::kTensor;
        entry_ = Entry();
        entry_.name = key_;
        seen_ = {};
        offsets_ = 0;
        return true;
      default:
        return Fail("holds an object where none belongs");
    }
  }

  bool key(string_t& name) override {
    switch (place_) {
      case Place::kTop:
        if (!names_.insert(name).second) return FailName(name, "is given twice");
        break;
      case Place::kMetadata:
        if (metadata.contains(name)) return FailName(kMetadata, "gives a key twice");
        break;
      default:
        if (name != "dtype" && name != "shape" && name != "data_offsets") {
          return Fail(fmt::format("has the unknown key {}", Quote(name)));
        }
        if (!seen_.insert(name).second) return Fail(fmt::format("gives {} twice", name));
    }
    key_ = name;
    return true;
  }

  bool end_object() override {
    switch (place_) {
      case Place::kTensor:
        if (seen_.size() != 3) return Fail("lacks one of dtype, shape, data_offsets");
        entries.push_back(std::move(entry_));
        place_ = Place::kTop;
        return true;
      case Place::kMetadata:
        place_ = Place::kTop;
        return true;
      default:
        place_ = Place::kOutside;
        return true;
    }
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && key_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && key_ == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      return Fail("holds a list where none belongs");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) return Fail("has fewer than two data_offsets");
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    problem = fmt::format("its header is not JSON: the syntax breaks at byte {}", position);
    return false;
  }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  static std::string Quote(std::string_view text) {
    return json(std::string(text.substr(0, 80)))
        .dump(-1, ' ', true, json::error_handler_t::replace);
  }
  bool FailName(std::string_view name, std::string_view what) {
    problem = fmt::format("its header entry {} {}", Quote(name), what);
    return false;
  }
  bool Fail(std::string_view what) {
    if (place_ == Place::kOutside) {
      problem = "its header is no JSON object";
      return false;
    }
    const bool in_tensor = place_ != Place::kTop && place_ != Place::kMetadata;
    return FailName(in_tensor ? entry_.name : key_, what);
  }

  Place place_ = Place::kOutside;
  std::string key_;
  Entry entry_;
  int offsets_ = 0;
  std::set<std::string> seen_;
  std::set<std::string> names_;
};

absl::Status Refuse(std::string_view file, std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format("{} is not a safetensors file: {}", file, problem));
}

// A read-only mapping of a whole file; the file may be removed meanwhile.
absl::StatusOr<Buffer> MapFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot open", path);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
    ::close(fd);
    return Refuse(path, "it is empty or no regular file");
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (address == MAP_FAILED) return FromErrno(error, "cannot map", path);
  return Buffer::Share(std::string_view(static_cast<const char*>(address), size),
                       std::shared_ptr<const void>(address, [size](const void* mapped) {
                         ::munmap(const_cast<void*>(mapped), size);
                       }));
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path, Access access) {
  if (access == Access::kMap) {
    ASSIGN_OR_RETURN(Buffer bytes, MapFile(path));
    return Parse(std::move(bytes), path);
  }
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, std::numeric_limits<int64_t>::max()));
  return Parse(Buffer::Own(std::move(bytes)), path);
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(Buffer bytes, std::string_view name) {
  if (bytes.size() < kLengthBytes) {
    return Refuse(name, fmt::format("it has {} bytes, and its header's length alone takes {}",
                                    bytes.size(), kLengthBytes));
  }
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), kLengthBytes);
  if (header_size > kMaxHeaderBytes) {
    return Refuse(name, fmt::format("its header of {} bytes passes the limit of {}", header_size,
                                    kMaxHeaderBytes));
  }
  if (header_size > bytes.size() - kLengthBytes) {
    return Refuse(name, fmt::format("its header of {} bytes passes the file's end", header_size));
  }
  const std::string_view header = bytes.view().substr(kLengthBytes, header_size);
  // nlohmann takes a NUL for the end and would overlook what follows it.
  if (!header.starts_with('{') || header.find('\0') != header.npos) {
    return Refuse(name, "its header is no JSON object");
  }
  HeaderReader reader;
  if (!json::sax_parse(header, &reader)) return Refuse(name, reader.problem);

  std::vector<Entry>& entries = reader.entries;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const Buffer data =
      bytes.Slice(kLengthBytes + header_size, bytes.size() - kLengthBytes - header_size);
  SafetensorsFile file;
  file.metadata_ = std::move(reader.metadata);
  file.tensors_.reserve(entries.size());
  uint64_t offset = 0;
  for (Entry& entry : entries) {
    if (entry.end < entry.begin || entry.end > data.size()) {
      return Refuse(name, fmt::format("tensor {}: data_offsets [{}, {}] pass its {} bytes of data",
                                      entry.name, entry.begin, entry.end, data.size()));
    }
    if (entry.begin != offset) {
      return Refuse(name, fmt::format("tensor {}: data_offsets begin at {}, the tensors before it "
                                      "end at {}",
                                      entry.name, entry.begin, offset));
    }
    offset = entry.end;
    auto tensor = Tensor::Make(entry.name, entry.dtype, Shape(std::move(entry.shape)),
                               data.Slice(entry.begin, entry.end - entry.begin),
                               fmt::format("tensor {}", entry.name));
    if (!tensor.ok()) return Refuse(name, std::string(tensor.status().message()));
    file.tensors_.push_back(*std::move(tensor));
  }
  if (offset != data.size()) {
    return Refuse(name, fmt::format("{} bytes follow its last tensor", data.size() - offset));
  }
  std::sort(file.tensors_.begin(), file.tensors_.end(),
            [](const Tensor& a, const Tensor& b) { return a.name() < b.name(); });
  return file;
}

const Tensor* SafetensorsFile::Find(std::string_view name) const {
  const auto it = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const Tensor& tensor, std::string_view wanted) { return tensor.name() < wanted; });
  return it != tensors_.end() && it->name() == name ? &*it : nullptr;
}

absl::StatusOr<std::vector<Buffer>> LayOutSafetensors(
    std::span<const Tensor> tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<const Tensor*> order;
  std::set<std::string_view> names;
  for (const Tensor& tensor : tensors) {
    if (!FormatRank(tensor.dtype())) {
      return absl::InvalidArgumentError(fmt::format("tensor {}: safetensors has no {}",
                                                    tensor.name(), DataTypeName(tensor.dtype())));
    }
    if (tensor.name() == kMetadata) {
      return absl::InvalidArgumentError(fmt::format("no tensor may be called {}", kMetadata));
    }
    if (!names.insert(tensor.name()).second) {
      return absl::InvalidArgumentError(fmt::format("two tensors are called {}", tensor.name()));
    }
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    const size_t rank_a = *FormatRank(a->dtype());
    const size_t rank_b = *FormatRank(b->dtype());
    return rank_a != rank_b ? rank_a > rank_b : a->name() < b->name();
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::vector<Buffer> pieces(1);
  uint64_t offset = 0;
  for (const Tensor* tensor : order) {
    const uint64_t end = offset + tensor->data().size();
    header[tensor->name()] = {{"dtype", kFormatTypes[*FormatRank(tensor->dtype())].name},
                              {"shape", tensor->shape().dims()},
                              {"data_offsets", {offset, end}}};
    pieces.push_back(tensor->data());
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    return absl::InvalidArgumentError("a tensor's name or the metadata is not UTF-8");
  }
  // Padded, so that the data is aligned.
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  const uint64_t size = text.size();
  pieces[0] = Buffer::Own(std::string(reinterpret_cast<const char*>(&size), kLengthBytes) + text);
  return pieces;
}

absl::Status WriteSafetensors(const std::string& path, std::span<const Tensor> tensors,
                              const std::map<std::string, std::string>& metadata) {
  ASSIGN_OR_RETURN(const std::vector<Buffer> pieces, LayOutSafetensors(tensors, metadata));
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  for (const Buffer& piece : pieces) RETURN_IF_ERROR(file.Append(piece.view()));
  return file.Commit();
}

}  // namespace slipway
