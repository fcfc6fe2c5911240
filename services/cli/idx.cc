#include "services/cli/idx.h"

#include <zlib.h>

#include <memory>

#include "fmt/format.h"

namespace slipway::cli {
namespace {

constexpr int64_t kMaxItemBytes = 64 << 20;

struct CloseGz {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

absl::Status Truncated(const std::string& path) {
  return InvalidField(path, "is cut off: it holds less than its header says");
}

}  // namespace

absl::StatusOr<IdxItems> ReadIdx(const std::string& path, const std::vector<int64_t>& indices) {
  const std::unique_ptr<gzFile_s, CloseGz> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) return InvalidField(path, "cannot be read");
  uint8_t head[4];
  if (gzread(file.get(), head, 4) != 4) return Truncated(path);
  constexpr uint8_t kUnsignedByte = 0x08;
  if (head[0] != 0 || head[1] != 0 || head[2] != kUnsignedByte || head[3] < 1 || head[3] > 4) {
    return InvalidField(path, "is no IDX file of unsigned bytes");
  }
  IdxItems result;
  int64_t item_bytes = 1;
  for (int i = 0; i < head[3]; ++i) {
    uint8_t size[4];
    if (gzread(file.get(), size, 4) != 4) return Truncated(path);
    const int64_t count = int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3];
    result.shape.push_back(count);
    if (i > 0) item_bytes *= count;
    if (item_bytes > kMaxItemBytes) return InvalidField(path, "has items over 64 MB");
  }
  const z_off_t data = gztell(file.get());
  for (const int64_t index : indices) {
    if (index < 0 || index >= result.shape[0]) {
      return InvalidField("--index", fmt::format("{} is not in {}, which holds {} items", index,
                                                 path, result.shape[0]));
    }
    std::vector<uint8_t> item(static_cast<size_t>(item_bytes));
    if (gzseek(file.get(), data + static_cast<z_off_t>(index * item_bytes), SEEK_SET) < 0 ||
        gzread(file.get(), item.data(), static_cast<unsigned>(item.size())) !=
            static_cast<int>(item.size())) {
      return Truncated(path);
    }
    result.items.push_back(std::move(item));
  }
  return result;
}

}  // namespace slipway::cli
