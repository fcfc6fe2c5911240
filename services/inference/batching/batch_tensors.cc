#include "services/inference/batching/batch_tensors.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

using Dims = std::span<const int64_t>;

int64_t Product(Dims dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

// What two blocks of memory have in common, from one into the other: in each dimension the first
// elements of both.
void CopyCommon(const char* from, Dims from_dims, char* to, Dims to_dims, size_t element) {
  if (from_dims.empty()) {
    std::memcpy(to, from, element);
    return;
  }
  const Dims from_rest = from_dims.subspan(1);
  const Dims to_rest = to_dims.subspan(1);
  const auto count = static_cast<size_t>(std::min(from_dims[0], to_dims[0]));
  const size_t from_step = static_cast<size_t>(Product(from_rest)) * element;
  const size_t to_step = static_cast<size_t>(Product(to_rest)) * element;
  if (std::ranges::equal(from_rest, to_rest)) {
    // An empty tensor may have no address.
    if (count * to_step > 0) std::memcpy(to, from, count * to_step);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    CopyCommon(from + i * from_step, from_rest, to + i * to_step, to_rest, element);
  }
}

void Fill(char* begin, size_t bytes, std::string_view element) {
  for (size_t at = 0; at < bytes; at += element.size()) {
    std::memcpy(begin + at, element.data(), element.size());
  }
}

absl::StatusOr<Tensor> GatherOne(std::span<const TensorBatch* const> calls, size_t place) {
  int64_t rows = 0;
  size_t bytes = 0;
  for (const TensorBatch* call : calls) {
    rows += (*call)[place].shape()[0];
    bytes += (*call)[place].data().size();
  }
  const auto data = std::make_shared_for_overwrite<char[]>(bytes);
  char* end = data.get();
  for (const TensorBatch* call : calls) {
    const Buffer& part = (*call)[place].data();
    // An empty tensor may have no address.
    if (part.size() > 0) std::memcpy(end, part.data(), part.size());
    end += part.size();
  }
  const Tensor& first = (*calls[0])[place];
  Shape shape = first.shape();
  shape[0] = rows;
  return Tensor::Make(first.name(), first.dtype(), std::move(shape),
                      Buffer::Share({data.get(), bytes}, data), first.name());
}

// `row`: the shape of one row, to which all are filled up.
absl::StatusOr<Tensor> GatherPadded(std::span<const TensorBatch* const> calls, size_t place,
                                    Shape row, std::string_view fill) {
  const Tensor& first = (*calls[0])[place];
  Shape shape = std::move(row);
  shape[0] = 0;
  for (const TensorBatch* call : calls) shape[0] += (*call)[place].shape()[0];
  ASSIGN_OR_RETURN(const int64_t bytes, shape.ByteCount(first.dtype(), first.name()));
  const auto size = static_cast<size_t>(bytes);
  const auto data = std::make_shared_for_overwrite<char[]>(size);
  char* end = data.get();
  Shape part = shape;
  for (const TensorBatch* call : calls) {
    const Tensor& tensor = (*call)[place];
    part[0] = tensor.shape()[0];
    const size_t part_bytes = static_cast<size_t>(part.Product()) * fill.size();
    if (part != tensor.shape()) Fill(end, part_bytes, fill);
    CopyCommon(tensor.data().data(), tensor.shape().dims(), end, part.dims(), fill.size());
    end += part_bytes;
  }
  return Tensor::Make(first.name(), first.dtype(), std::move(shape),
                      Buffer::Share({data.get(), size}, data), first.name());
}

// Where each row of a BYTES tensor ends, whose elements differ in length.
std::vector<size_t> EndsOfTexts(const Tensor& tensor) {
  std::vector<size_t> ends;
  const int64_t each = tensor.shape().Product(1);
  size_t at = 0;
  int64_t count = 0;
  for (const std::string_view text : tensor.Texts()) {
    at += sizeof(uint32_t) + text.size();
    if (++count % each == 0) ends.push_back(at);
  }
  return ends;
}

// Where each row of a tensor ends.
std::vector<size_t> EndsOfRows(const Tensor& tensor) {
  if (tensor.dtype() == DataType::kBytes) return EndsOfTexts(tensor);
  std::vector<size_t> ends(static_cast<size_t>(tensor.shape()[0]));
  for (size_t i = 0; i < ends.size(); ++i) ends[i] = tensor.data().size() / ends.size() * (i + 1);
  return ends;
}

absl::Status ScatterOne(const Tensor& tensor, std::span<const int64_t> rows, int64_t all_rows,
                        std::vector<TensorBatch>& calls) {
  if (tensor.shape().rank() == 0 || tensor.shape()[0] != all_rows) {
    return absl::InternalError(fmt::format("the model gave {} {} for {} rows", tensor.name(),
                                           tensor.shape().ToString(), all_rows));
  }
  const bool texts = tensor.dtype() == DataType::kBytes;
  const std::vector<size_t> ends = texts ? EndsOfTexts(tensor) : std::vector<size_t>();
  const size_t row_bytes = all_rows == 0 ? 0 : tensor.data().size() / static_cast<size_t>(all_rows);
  int64_t row = 0;
  size_t begin = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    row += rows[i];
    const auto last = static_cast<size_t>(row);
    const size_t end = !texts ? last * row_bytes : last == 0 ? 0 : ends[last - 1];
    Shape shape = tensor.shape();
    shape[0] = rows[i];
    ASSIGN_OR_RETURN(Tensor part,
                     Tensor::Make(tensor.name(), tensor.dtype(), std::move(shape),
                                  tensor.data().Slice(begin, end - begin), tensor.name()));
    calls[i].push_back(std::move(part));
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorBatch> Gather(std::span<const TensorBatch* const> calls) {
  TensorBatch batch;
  batch.reserve(calls[0]->size());
  for (size_t place = 0; place < calls[0]->size(); ++place) {
    ASSIGN_OR_RETURN(Tensor tensor, GatherOne(calls, place));
    batch.push_back(std::move(tensor));
  }
  return batch;
}

absl::StatusOr<TensorBatch> Gather(std::span<const TensorBatch* const> calls,
                                   const Padding& padding, std::span<const int64_t> lengths) {
  if (lengths.empty()) return Gather(calls);
  TensorBatch batch;
  batch.reserve(calls[0]->size());
  for (size_t tensor = 0; tensor < calls[0]->size(); ++tensor) {
    Shape row = (*calls[0])[tensor].shape();
    std::string_view fill;
    for (const Padding::Place& place : padding.inputs()) {
      if (place.tensor != tensor) continue;
      row[place.axis] = lengths[place.dimension];
      fill = place.fill;
    }
    ASSIGN_OR_RETURN(Tensor together, fill.empty()
                                          ? GatherOne(calls, tensor)
                                          : GatherPadded(calls, tensor, std::move(row), fill));
    batch.push_back(std::move(together));
  }
  return batch;
}

absl::Status CutBack(TensorBatch& outputs, const Padding& padding, std::span<const int64_t> lengths,
                     std::span<const int64_t> own) {
  if (lengths.empty()) return absl::OkStatus();
  for (size_t i = 0; i < outputs.size(); ++i) {
    Shape shape = outputs[i].shape();
    for (const Padding::Place& place : padding.outputs()) {
      if (place.tensor != i) continue;
      if (shape.rank() <= place.axis || shape[place.axis] != lengths[place.dimension]) {
        return absl::InternalError(
            fmt::format("the model gave {} {}, and what it was given is {} long in what should be "
                        "axis {} of it",
                        outputs[i].name(), outputs[i].shape().ToString(), lengths[place.dimension],
                        place.axis));
      }
      shape[place.axis] = own[place.dimension];
    }
    if (shape == outputs[i].shape()) continue;
    const size_t element = ElementSize(outputs[i].dtype());
    std::string bytes(static_cast<size_t>(shape.Product()) * element, '\0');
    CopyCommon(outputs[i].data().data(), outputs[i].shape().dims(), bytes.data(), shape.dims(),
               element);
    ASSIGN_OR_RETURN(outputs[i],
                     Tensor::Make(outputs[i].name(), outputs[i].dtype(), std::move(shape),
                                  Buffer::Own(std::move(bytes)), outputs[i].name()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TensorBatch>> Scatter(const TensorBatch& batch,
                                                 std::span<const int64_t> rows) {
  std::vector<TensorBatch> calls(rows.size());
  const int64_t all_rows = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  for (const Tensor& tensor : batch) {
    RETURN_IF_ERROR(ScatterOne(tensor, rows, all_rows, calls));
  }
  return calls;
}

Tensor Copy(const Tensor& tensor) {
  return *Tensor::Make(tensor.name(), tensor.dtype(), tensor.shape(),
                       Buffer::Own(std::string(tensor.data().view())), tensor.name());
}

TensorBatch Copy(const TensorBatch& batch) {
  TensorBatch copies;
  copies.reserve(batch.size());
  for (const Tensor& tensor : batch) copies.push_back(Copy(tensor));
  return copies;
}

absl::StatusOr<Tensor> TakeRows(const std::string& name, std::span<const SomeRows> parts,
                                std::span<const int64_t> wanted) {
  const Tensor& first = parts[0].tensor;
  if (std::ranges::equal(parts[0].rows, wanted)) return first.Renamed(name);
  Shape shape = first.shape();
  shape[0] = std::ssize(wanted);
  // Of each part, where its rows end and how many of them were passed.
  struct Cursor {
    std::vector<size_t> ends;
    size_t next = 0;
  };
  std::vector<Cursor> cursors;
  for (const SomeRows& part : parts) {
    const Tensor& tensor = part.tensor;
    if (tensor.dtype() != first.dtype() ||
        !std::ranges::equal(tensor.shape().dims() | std::views::drop(1),
                            shape.dims() | std::views::drop(1))) {
      return InvalidField(name,
                          fmt::format("its rows are {} {} and {} {}, which do not make one tensor",
                                      DataTypeName(first.dtype()), first.shape().ToString(),
                                      DataTypeName(tensor.dtype()), tensor.shape().ToString()));
    }
    cursors.push_back({EndsOfRows(tensor)});
  }
  std::string data;
  for (const int64_t row : wanted) {
    for (size_t i = 0; i < parts.size(); ++i) {
      const SomeRows& part = parts[i];
      Cursor& at = cursors[i];
      while (at.next < part.rows.size() && part.rows[at.next] < row) ++at.next;
      if (at.next == part.rows.size() || part.rows[at.next] != row) continue;
      const size_t begin = at.next == 0 ? 0 : at.ends[at.next - 1];
      data.append(part.tensor.data().view().substr(begin, at.ends[at.next] - begin));
      break;
    }
  }
  return Tensor::Make(name, first.dtype(), std::move(shape), Buffer::Own(std::move(data)), name);
}

}  // namespace slipway::worker
