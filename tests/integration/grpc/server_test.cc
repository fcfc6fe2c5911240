#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>

#include "common/files/files.h"
#include "common/grpc/client.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/integration/grpc/any_server.h"
#include "tests/integration/grpc/test_controller.h"
#include "tests/integration/grpc/wire.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

class ServerTest : public ::testing::TestWithParam<Library> {
 protected:
  static absl::StatusOr<std::unique_ptr<AnyServer>> Start(const std::string& path) {
    return StartAny(GetParam(), "unix:" + path);
  }
  std::string ErrorOf(const std::string& path, absl::StatusCode code) {
    const auto server = Start(path);
    EXPECT_EQ(server.status().code(), code) << server.status();
    return std::string(server.status().message());
  }
  // A socket with nobody behind it, as a killed process leaves it.
  static void LeaveSocket(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
  }

  const TempDir dir_;
};

class ServerWithCallsTest : public ControllerFixture,
                            public ::testing::WithParamInterface<Library> {
 protected:
  ServerWithCallsTest() : ControllerFixture(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(BothLibraries, ServerTest, kBothLibraries,
                         ::testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(BothLibraries, ServerWithCallsTest, kBothLibraries,
                         ::testing::PrintToStringParamName());

TEST_P(ServerTest, AnswersHealthAsItIsTold) {
  const auto server = Start(dir_ / "a.sock");
  ASSERT_TRUE(server.ok()) << server.status();
  const auto channel = *OpenChannel({.address = (*server)->address()});
  EXPECT_EQ(HealthOf(channel), "NOT_SERVING");
  (*server)->SetServing(true);
  EXPECT_EQ(HealthOf(channel), "SERVING");
  (*server)->SetServing(false);
  EXPECT_EQ(HealthOf(channel), "NOT_SERVING");
}

TEST_P(ServerWithCallsTest, TellsItsServicesByReflection) {
  // ServerReflectionRequest{list_services = 7}
  const auto services = CallWithBytes(
      channel_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*");
  ASSERT_TRUE(services.ok()) << services.status();
  EXPECT_THAT(*services, HasSubstr(kControllerService));
  // file_containing_symbol = 4
  const auto file =
      CallWithBytes(channel_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                    std::string("\x22") + static_cast<char>(std::strlen(kControllerService)) +
                        kControllerService);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(*file, HasSubstr("LoadedModel")) << "no file that it imports came along";
}

TEST_P(ServerTest, MakesTheSocketsFolderForItsUserOnly) {
  const std::string folder = dir_ / "run";
  const auto server = Start(folder + "/a.sock");
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat info {};
  ASSERT_EQ(::stat(folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_P(ServerTest, RefusesAFolderThatOthersMayEnter) {
  for (const mode_t mode : {0710, 0701, 0777}) {
    ASSERT_EQ(::chmod(dir_.path().c_str(), mode), 0);
    EXPECT_THAT(ErrorOf(dir_ / "a.sock", absl::StatusCode::kFailedPrecondition),
                HasSubstr("mode 0700"));
  }
}

TEST_P(ServerTest, ReplacesTheSocketOfADeadProcess) {
  LeaveSocket(dir_ / "a.sock");
  const auto server = Start(dir_ / "a.sock");
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(HealthOf(*OpenChannel({.address = (*server)->address()})), "NOT_SERVING");
}

TEST_P(ServerTest, LeavesALivingServerItsSocket) {
  const auto first = Start(dir_ / "a.sock");
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(ErrorOf(dir_ / "a.sock", absl::StatusCode::kAlreadyExists),
              HasSubstr("another process listens"));
  EXPECT_EQ(HealthOf(*OpenChannel({.address = (*first)->address()})), "NOT_SERVING");
}

TEST_P(ServerTest, RemovesNothingThatIsNoSocket) {
  ASSERT_TRUE(WriteFileAtomically(dir_ / "a.sock", "precious").ok());
  EXPECT_THAT(ErrorOf(dir_ / "a.sock", absl::StatusCode::kFailedPrecondition),
              HasSubstr("in the way"));
  EXPECT_EQ(*ReadFile(dir_ / "a.sock"), "precious");
}

TEST_P(ServerTest, RefusesBadAddresses) {
  EXPECT_THAT(ErrorOf(dir_ / std::string(120, 'x'), absl::StatusCode::kInvalidArgument),
              HasSubstr("at most 107 bytes"));
  EXPECT_EQ(StartAny(GetParam(), "nonsense").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(StartAny(GetParam(), "127.0.0.1:0").status().message()),
              HasSubstr("mutual TLS"));
}

TEST_P(ServerTest, TakesItsSocketAlongWhenItGoes) {
  { ASSERT_TRUE(Start(dir_ / "a.sock").ok()); }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "a.sock"));
  EXPECT_TRUE(Start(dir_ / "a.sock").ok());
}

TEST_P(ServerWithCallsTest, DrainingLetsCallsInFlightFinishAndTakesNoNewOnes) {
  std::latch started(1);
  std::latch go_on(1);
  Handle([&](const CallContext&) {
    started.count_down();
    go_on.wait();
    return absl::OkStatus();
  });
  absl::Status in_flight = absl::UnknownError("not finished");
  std::jthread caller([&] { in_flight = Get().status; });
  started.wait();
  std::jthread drain([&] { server_->Drain(absl::Seconds(20)); });
  // The drain is under way once nobody can connect any more.
  while (std::filesystem::exists(dir_ / "controller.sock")) std::this_thread::yield();
  // gRPC lets channels share a connection, so a fresh one may still get the old one's for the
  // moment until that has heard of the drain.
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) {
    const auto fresh = *OpenChannel({.address = server_->address()});
    refused = !WaitForReady(*fresh, absl::Milliseconds(100)).ok();
  }
  EXPECT_TRUE(refused);
  go_on.count_down();
  caller.join();
  drain.join();
  EXPECT_TRUE(in_flight.ok()) << in_flight;
}

TEST_P(ServerWithCallsTest, DrainingCancelsWhatOutlastsTheGrace) {
  std::latch started(1);
  // Also the handler's: it may see it last.
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  Handle([&started, stop](const CallContext&) {
    started.count_down();
    while (!*stop) std::this_thread::yield();
    return absl::OkStatus();
  });
  absl::Status in_flight;
  std::jthread caller([&] {
    in_flight = Get().status;
    *stop = true;  // the caller has its answer although the handler goes on
  });
  started.wait();
  server_->Drain(absl::Milliseconds(50));
  caller.join();
  EXPECT_FALSE(in_flight.ok());
}

}  // namespace
}  // namespace slipway
