#include "services/inference/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "common/crypto/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::HasSubstr;

// A POSIX shared memory object of a tenant, until the test's end.
class Object {
 public:
  explicit Object(off_t size, const std::string& tenant = "acme")
      : key("/" + tenant + "." + RandomHex(8)) {
    fd_ = ::shm_open(key.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_GE(fd_, 0);
    Resize(size);
  }
  ~Object() {
    ::close(fd_);
    ::shm_unlink(key.c_str());
  }
  void Resize(off_t size) { EXPECT_EQ(::ftruncate(fd_, size), 0); }
  void Put(off_t at, const std::string& bytes) {
    EXPECT_EQ(::pwrite(fd_, bytes.data(), bytes.size(), at), ssize_t(bytes.size()));
  }
  std::string Get(off_t at, size_t size) {
    std::string bytes(size, '\0');
    EXPECT_EQ(::pread(fd_, bytes.data(), size, at), ssize_t(size));
    return bytes;
  }

  const std::string key;

 private:
  int fd_;
};

class SharedMemoryTest : public testing::Test {
 protected:
  absl::Status Register(uint64_t offset, uint64_t size, const std::string& name = "r") {
    return memory_.Register("acme", {name, object_.key, offset, size});
  }
  absl::Status Read(uint64_t offset, uint64_t size, const std::string& tenant = "acme") {
    return memory_.Read(tenant, {"r", offset, size}, "inputs.x").status();
  }

  Object object_{64};
  SharedMemory memory_;
};

TEST_F(SharedMemoryTest, ReadsAndWritesWithinARegion) {
  object_.Put(16, "0123456789");
  ASSERT_TRUE(Register(16, 32).ok());
  EXPECT_EQ(memory_.Read("acme", {"r", 2, 4}, "x")->view(), "2345");
  ASSERT_TRUE(memory_.Write("acme", {"r", 8, 4}, "abc", "x").ok());
  EXPECT_EQ(object_.Get(16, 12), std::string("01234567abc\0", 12));
}

TEST_F(SharedMemoryTest, RefusesARegionThatIsNotInsideItsObject) {
  for (const auto& [offset, size] :
       {std::pair<uint64_t, uint64_t>{0, 65}, {65, 1}, {64, 1}, {1, 64}, {~0ULL, 2}, {2, ~0ULL}}) {
    EXPECT_EQ(FieldOf(Register(offset, size)), "byte_size") << offset << "+" << size;
  }
  EXPECT_EQ(FieldOf(Register(0, 0)), "byte_size");
  EXPECT_TRUE(Register(0, 64).ok());
}

TEST_F(SharedMemoryTest, RefusesASliceThatIsNotInsideItsRegion) {
  ASSERT_TRUE(Register(16, 32).ok());
  EXPECT_TRUE(Read(0, 32).ok());
  for (const auto& [offset, size] :
       {std::pair<uint64_t, uint64_t>{0, 33}, {33, 0}, {32, 1}, {~0ULL, 2}, {2, ~0ULL}}) {
    EXPECT_EQ(FieldOf(Read(offset, size)), "inputs.x.parameters.shared_memory_byte_size");
  }
  EXPECT_EQ(FieldOf(memory_.Write("acme", {"r", 0, 2}, "abc", "outputs.y")),
            "outputs.y.parameters.shared_memory_byte_size");
}

TEST_F(SharedMemoryTest, TakesNoMoreMemoryThanAMessageWould) {
  object_.Resize(off_t{1} << 40);
  ASSERT_TRUE(Register(0, uint64_t{1} << 40).ok());
  EXPECT_THAT(std::string(Read(0, uint64_t{1} << 40).message()), HasSubstr("at most"));
}

TEST_F(SharedMemoryTest, SurvivesAnObjectThatBecomesShorter) {
  ASSERT_TRUE(Register(0, 64).ok());
  object_.Resize(8);
  EXPECT_TRUE(absl::IsInvalidArgument(Read(0, 64)));
  EXPECT_TRUE(Read(0, 8).ok());
}

TEST_F(SharedMemoryTest, ATenantReachesNeitherAnothersRegionsNorItsObjects) {
  ASSERT_TRUE(Register(0, 64).ok());
  EXPECT_EQ(FieldOf(Read(0, 8, "other")), "inputs.x.parameters.shared_memory_region");
  EXPECT_TRUE(absl::IsNotFound(memory_.List("other", "r").status()));
  EXPECT_TRUE(memory_.List("other", "")->empty());
  EXPECT_EQ(FieldOf(memory_.Register("other", {"r", object_.key, 0, 64})), "key");
  memory_.Unregister("other", "");
  EXPECT_TRUE(Read(0, 8).ok());
}

TEST_F(SharedMemoryTest, RefusesKeysThatAreNone) {
  for (const std::string& key :
       {std::string(), std::string("/"), std::string("acme.x"), std::string("/acme"),
        std::string("/acme./../other.x"), std::string("/acme.") + std::string(300, 'x'),
        std::string("/acme.x\0y", 9)}) {
    EXPECT_EQ(FieldOf(memory_.Register("acme", {"r", key, 0, 1})), "key") << key;
  }
  EXPECT_TRUE(absl::IsNotFound(memory_.Register("acme", {"r", "/acme.there-is-none", 0, 1})));
  EXPECT_EQ(FieldOf(memory_.Register("acme", {"", object_.key, 0, 1})), "name");
}

TEST_F(SharedMemoryTest, ANameIsTakenUntilItIsUnregistered) {
  ASSERT_TRUE(Register(0, 8).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Register(0, 8)));
  memory_.Unregister("acme", "r");
  memory_.Unregister("acme", "never there");
  EXPECT_TRUE(Register(8, 8).ok());
  ASSERT_TRUE(Register(0, 8, "s").ok());
  EXPECT_EQ(memory_.List("acme", "")->size(), 2u);
  EXPECT_EQ(memory_.List("acme", "r")->front().offset, 8u);
  memory_.Unregister("acme", "");
  EXPECT_TRUE(memory_.List("acme", "")->empty());
}

TEST_F(SharedMemoryTest, BoundsHowManyATenantHas) {
  for (size_t i = 0; i < SharedMemory::kMaxRegionsPerTenant; ++i) {
    ASSERT_TRUE(Register(0, 1, std::to_string(i)).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Register(0, 1, "one more")));
}

}  // namespace
}  // namespace slipway::worker
