#include "common/grpc/address.h"

#include <string>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

TEST(AddressTest, TakesUnixPathsAndPorts) {
  EXPECT_EQ(Address::Parse("unix:/run/x.sock")->unix_path, "/run/x.sock");
  EXPECT_EQ(Address::Parse("localhost:80")->host, "localhost");
  EXPECT_EQ(Address::Parse("localhost:80")->port, 80);
  EXPECT_EQ(Address::Parse("[::1]:0")->host, "[::1]");
  for (const char* text : {"unix:/run/x.sock", "localhost:80", "[::]:65535"}) {
    EXPECT_EQ(Address::Parse(text)->ToString(), text);
  }
}

TEST(AddressTest, RefusesEverythingElse) {
  for (const char* text : {"", "unix:", "unix:/run/", "localhost", "localhost:", ":80",
                           "localhost:x", "localhost:-1", "localhost:65536", "localhost:80 "}) {
    EXPECT_EQ(Address::Parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(AddressTest, SaysThatAPathIsTooLongForASocket) {
  const std::string longest = "/" + std::string(106, 'x');
  EXPECT_TRUE(Address::Parse("unix:" + longest).ok());
  EXPECT_THAT(std::string(Address::Parse("unix:" + longest + "x").status().message()),
              HasSubstr("at most 107 bytes, this one 108"));
}

TEST(TransportTest, NeedsTlsOverTheNetworkOnly) {
  EXPECT_TRUE(CheckTransport(*Address::Parse("unix:/run/x.sock"), {}).ok());
  EXPECT_THAT(std::string(CheckTransport(*Address::Parse("127.0.0.1:0"), {}).message()),
              HasSubstr("mutual TLS"));
}

TEST(TransportTest, WantsAllThreeFilesAndCanReadThem) {
  const TempDir dir;
  TlsFiles tls{.certificate_file = dir / "cert", .key_file = dir / "key", .ca_file = dir / "ca"};
  for (const std::string& file : {tls.certificate_file, tls.key_file}) {
    ASSERT_TRUE(WriteFileAtomically(file, "x").ok());
  }
  EXPECT_THAT(std::string(tls.Check().message()), HasSubstr("tls.ca_file: cannot read"));
  ASSERT_TRUE(WriteFileAtomically(tls.ca_file, "x").ok());
  EXPECT_TRUE(tls.Check().ok());
  tls.key_file.clear();
  EXPECT_THAT(std::string(tls.Check().message()), HasSubstr("tls.key_file: is missing"));
  EXPECT_TRUE(TlsFiles().Check().ok());
}

}  // namespace
}  // namespace slipway
