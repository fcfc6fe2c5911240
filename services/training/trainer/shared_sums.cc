#include "services/training/trainer/shared_sums.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "fmt/format.h"

namespace slipway::trainer {
namespace {

// Addresses, which cost nothing: so the memory may grow and stay where it is.
constexpr size_t kAddresses = size_t{1} << 38;
// The barrier is in front.
constexpr size_t kData = 4096;
constexpr size_t kAlignment = 64;

[[noreturn]] void Throw(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

at::Tensor At(std::byte* bytes, const at::Tensor& like) {
  return at::from_blob(bytes, like.sizes(), like.options().requires_grad(false));
}

}  // namespace

SharedMemory::SharedMemory(int file) : file_(file) {
  if (file_ < 0) Throw("cannot open memory to share");
  void* const mapped =
      ::mmap(nullptr, kAddresses, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0);
  if (mapped == MAP_FAILED) {
    ::close(file_);
    Throw("cannot map memory to share");
  }
  bytes_ = static_cast<std::byte*>(mapped);
}
SharedMemory::~SharedMemory() {
  ::munmap(bytes_, kAddresses);
  ::close(file_);
}
std::unique_ptr<SharedMemory> SharedMemory::Make() {
  return std::unique_ptr<SharedMemory>(
      new SharedMemory(::memfd_create("slipway-trainer", MFD_CLOEXEC)));
}
std::unique_ptr<SharedMemory> SharedMemory::Open(const std::string& path) {
  return std::unique_ptr<SharedMemory>(new SharedMemory(::open(path.c_str(), O_RDWR | O_CLOEXEC)));
}
std::string SharedMemory::path() const { return fmt::format("/proc/{}/fd/{}", ::getpid(), file_); }

void SharedMemory::Grow(size_t size) {
  if (size <= size_) return;
  // Now, and not as a signal when it is first written.
  const int error = size > kAddresses ? ENOMEM : ::posix_fallocate(file_, 0, size);
  if (error != 0) {
    errno = error;
    Throw("cannot share memory");
  }
  size_ = size;
}

SharedSums::SharedSums(std::unique_ptr<SharedMemory> memory, int rank, int processes)
    : memory_(std::move(memory)),
      rank_(rank),
      processes_(processes),
      barrier_((memory_->Grow(kData), memory_->bytes()), rank, processes) {
  if (ProcessBarrier::Bytes(processes) > kData) throw std::length_error("too many processes");
}

void SharedSums::Wait(absl::Duration patience) {
  if (!barrier_.Wait(patience)) throw std::runtime_error("a process is late");
}

void SharedSums::Share(const at::Tensor& tensor, absl::Duration patience) {
  memory_->Grow(kData + tensor.nbytes());
  at::Tensor shared = At(memory_->bytes() + kData, tensor);
  if (rank_ == 0) shared.copy_(tensor);
  Wait(patience);
  if (rank_ != 0) tensor.copy_(shared);
  Wait(patience);
}

void SharedSums::Sum(std::span<const at::Tensor> tensors, absl::Duration patience) {
  size_t stride = 0;  // from one process's numbers to those of the next; the sums come last
  for (const at::Tensor& tensor : tensors) stride += Aligned(tensor.nbytes());
  memory_->Grow(kData + (processes_ + 1) * stride);
  const auto of = [&](int rank, size_t offset, const at::Tensor& tensor) {
    return At(memory_->bytes() + kData + rank * stride + offset, tensor).flatten();
  };
  const auto for_each = [&](const auto& visit) {
    size_t offset = 0;
    for (const at::Tensor& tensor : tensors) {
      visit(tensor, offset);
      offset += Aligned(tensor.nbytes());
    }
  };

  for_each([&](const at::Tensor& tensor, size_t offset) {
    of(rank_, offset, tensor).copy_(tensor.flatten());
  });
  Wait(patience);
  for_each([&](const at::Tensor& tensor, size_t offset) {
    const int64_t first = tensor.numel() * rank_ / processes_;
    const int64_t end = tensor.numel() * (rank_ + 1) / processes_;
    at::Tensor sum = of(processes_, offset, tensor).slice(0, first, end);
    at::add_out(sum, of(0, offset, tensor).slice(0, first, end),
                of(1, offset, tensor).slice(0, first, end));
    for (int rank = 2; rank < processes_; ++rank) {
      sum.add_(of(rank, offset, tensor).slice(0, first, end));
    }
  });
  Wait(patience);
  for_each([&](const at::Tensor& tensor, size_t offset) {
    tensor.flatten().copy_(of(processes_, offset, tensor));
  });
  Wait(patience);
}

}  // namespace slipway::trainer
