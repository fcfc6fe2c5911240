#ifndef SLIPWAY_COMMON_TENSOR_SAFETENSORS_H_
#define SLIPWAY_COMMON_TENSOR_SAFETENSORS_H_

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway {

/// A file of named tensors in the safetensors format (https://github.com/huggingface/safetensors,
/// "Format"): a uint64 header length, a JSON header, then the tensors' bytes without gaps.
///
/// Reading trusts nothing: the header is at most 100 MB and within the file, each offset is
/// checked in 64 bits, the tensors must tile the rest of the file exactly, duplicate or unknown
/// keys and unknown types are refused, all before anything of the file's choosing is allocated.
/// Errors: kInvalidArgument that starts with the file's name, and kNotFound.
class SafetensorsFile {
 public:
  static constexpr uint64_t kMaxHeaderBytes = 100'000'000;

  enum class Access {
    kMap,   // no copy; the file must not shrink while a tensor of it lives (blobs never do)
    kRead,  // read into memory
  };

  static absl::StatusOr<SafetensorsFile> Open(const std::string& path, Access access);

  /// From bytes; `name` is what errors call them.
  static absl::StatusOr<SafetensorsFile> Parse(Buffer bytes, std::string_view name);

  /// Sorted by name. Each keeps the file's bytes alive. Data need not be aligned.
  const std::vector<Tensor>& tensors() const { return tensors_; }

  /// Null where there is none of that name. Lives as long as this object.
  const Tensor* Find(std::string_view name) const;

  /// The header's `__metadata__`.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::vector<Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// A file of these tensors as pieces of bytes, to be written one after another: the header, then
/// the tensors' data, which is shared and not copied. The order in the file depends on types and
/// names only, and is the reference implementation's: equal contents give equal bytes.
/// Errors: kInvalidArgument for two tensors of one name, for names that are not UTF-8, and for
/// BYTES, which the format does not have.
absl::StatusOr<std::vector<Buffer>> LayOutSafetensors(
    std::span<const Tensor> tensors, const std::map<std::string, std::string>& metadata = {});

/// Writes them as an AtomicFile. Errors: as LayOutSafetensors; StorageFull.
absl::Status WriteSafetensors(const std::string& path, std::span<const Tensor> tensors,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TENSOR_SAFETENSORS_H_
