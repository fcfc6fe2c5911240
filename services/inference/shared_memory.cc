#include "services/inference/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

constexpr size_t kMaxNameBytes = 255;

absl::Status CheckKey(const std::string& tenant, const std::string& key) {
  const std::string prefix = fmt::format("/{}.", tenant);
  if (!key.starts_with(prefix) || key.size() > kMaxNameBytes ||
      key.find('/', 1) != std::string::npos || key.find('\0') != std::string::npos) {
    return InvalidField("key", fmt::format("must be {}<name>, at most {} characters and no further "
                                           "'/'",
                                           prefix, kMaxNameBytes));
  }
  return absl::OkStatus();
}

}  // namespace

struct SharedMemory::Open {
  MemoryRegion region;
  int fd = -1;

  Open() = default;
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() {
    if (fd >= 0) ::close(fd);
  }
};

absl::Status SharedMemory::Register(const std::string& tenant, MemoryRegion region) {
  if (region.name.empty() || region.name.size() > kMaxNameBytes) {
    return InvalidField("name", fmt::format("must have 1 to {} characters", kMaxNameBytes));
  }
  RETURN_IF_ERROR(CheckKey(tenant, region.key));
  if (region.size == 0) return InvalidField("byte_size", "must be > 0");
  auto open = std::make_shared<Open>();
  open->fd = ::shm_open(region.key.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (open->fd < 0) {
    return errno == ENOENT ? NotFound(fmt::format("shared memory object {}", region.key))
                           : FromErrno(errno, "shm_open", region.key);
  }
  struct stat info;
  if (::fstat(open->fd, &info) != 0) return FromErrno(errno, "fstat", region.key);
  if (!S_ISREG(info.st_mode)) return InvalidField("key", "is no shared memory object");
  const auto object_size = static_cast<uint64_t>(info.st_size);
  if (region.offset > object_size || region.size > object_size - region.offset) {
    return InvalidField(
        "byte_size", fmt::format("{} bytes from {} on do not fit into the object's {}", region.size,
                                 region.offset, object_size));
  }
  Name name = {tenant, region.name};
  open->region = std::move(region);

  MutexLock lock(mutex_);
  size_t own = 0;
  for (auto at = regions_.lower_bound({tenant, ""}); at != regions_.end(); ++at) {
    if (at->first.first != tenant) break;
    ++own;
  }
  if (own >= kMaxRegionsPerTenant) {
    return absl::ResourceExhaustedError(
        fmt::format("at most {} regions of shared memory a tenant", kMaxRegionsPerTenant));
  }
  const auto [at, added] = regions_.try_emplace(std::move(name), std::move(open));
  if (!added) {
    return absl::AlreadyExistsError(
        fmt::format("a region {} of shared memory is registered already", at->first.second));
  }
  return absl::OkStatus();
}

void SharedMemory::Unregister(const std::string& tenant, const std::string& name) {
  MutexLock lock(mutex_);
  std::erase_if(regions_, [&](const auto& region) {
    return region.first.first == tenant && (name.empty() || region.first.second == name);
  });
}

absl::StatusOr<std::vector<MemoryRegion>> SharedMemory::List(const std::string& tenant,
                                                             const std::string& name) const {
  std::vector<MemoryRegion> found;
  MutexLock lock(mutex_);
  for (const auto& [key, open] : regions_) {
    if (key.first == tenant && (name.empty() || key.second == name)) found.push_back(open->region);
  }
  if (found.empty() && !name.empty()) {
    return NotFound(fmt::format("shared memory region {}", name.substr(0, kMaxNameBytes)));
  }
  return found;
}

absl::StatusOr<std::shared_ptr<const SharedMemory::Open>> SharedMemory::Find(
    const std::string& tenant, const MemorySlice& slice, std::string_view field) const {
  std::shared_ptr<const Open> open;
  {
    MutexLock lock(mutex_);
    const auto region = regions_.find({tenant, slice.region});
    if (region != regions_.end()) open = region->second;
  }
  if (open == nullptr) {
    return InvalidField(fmt::format("{}.parameters.shared_memory_region", field),
                        fmt::format("{} is not registered", slice.region.substr(0, kMaxNameBytes)));
  }
  const uint64_t size = open->region.size;
  if (slice.offset > size || slice.size > size - slice.offset) {
    return InvalidField(fmt::format("{}.parameters.shared_memory_byte_size", field),
                        fmt::format("{} bytes from {} on do not fit into the region's {}",
                                    slice.size, slice.offset, size));
  }
  if (slice.size > kMaxSliceBytes) {
    return InvalidField(fmt::format("{}.parameters.shared_memory_byte_size", field),
                        fmt::format("must be at most {}, got {}", kMaxSliceBytes, slice.size));
  }
  return open;
}

absl::StatusOr<Buffer> SharedMemory::Read(const std::string& tenant, const MemorySlice& slice,
                                          std::string_view field) const {
  ASSIGN_OR_RETURN(const auto open, Find(tenant, slice, field));
  std::string bytes(slice.size, '\0');
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = ::pread(open->fd, bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(open->region.offset + slice.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return InvalidField(field, "its shared memory has become shorter");
    done += static_cast<size_t>(got);
  }
  return Buffer::Own(std::move(bytes));
}

absl::Status SharedMemory::Write(const std::string& tenant, const MemorySlice& slice,
                                 std::string_view bytes, std::string_view field) const {
  ASSIGN_OR_RETURN(const auto open, Find(tenant, slice, field));
  if (bytes.size() > slice.size) {
    return InvalidField(fmt::format("{}.parameters.shared_memory_byte_size", field),
                        fmt::format("must be at least {}, got {}", bytes.size(), slice.size));
  }
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t put = ::pwrite(open->fd, bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(open->region.offset + slice.offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return InvalidField(field, "its shared memory cannot be written");
    done += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

}  // namespace slipway::worker
