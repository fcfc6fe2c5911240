#include "services/inference/batching/batch_tensors.h"

#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

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

absl::StatusOr<std::vector<TensorBatch>> Scatter(const TensorBatch& batch,
                                                 std::span<const int64_t> rows) {
  std::vector<TensorBatch> calls(rows.size());
  const int64_t all_rows = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  for (const Tensor& tensor : batch) {
    RETURN_IF_ERROR(ScatterOne(tensor, rows, all_rows, calls));
  }
  return calls;
}

TensorBatch Copy(const TensorBatch& batch) {
  TensorBatch copies;
  copies.reserve(batch.size());
  for (const Tensor& tensor : batch) {
    copies.push_back(*Tensor::Make(tensor.name(), tensor.dtype(), tensor.shape(),
                                   Buffer::Own(std::string(tensor.data().view())), tensor.name()));
  }
  return copies;
}

}  // namespace slipway::worker
