// The public clients of the inference protocol, unmodified, against the real gateway in front of a
// real worker, whose models answer what they get. The clients are Python programs beside this file.

#include <spawn.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "tests/conformance/served_gateway.h"
#include "tests/support/places.h"

namespace slipway {
namespace {

class ClientsTest : public ServedGatewayTest {
 protected:
  void SetUp() override {
    std::vector<TensorSpec> each_type;
    for (const DataType type : kAllDataTypes) {
      each_type.push_back({"in_" + std::string(DataTypeName(type)), type, {-1, 2}});
    }
    Serve({{"identity", each_type}, {"image", {{"pixels", DataType::kFp32, {-1, 3, 224, 224}}}}});
  }

  /// Runs one function of a Python program beside this file.
  void Run(const std::string& program, const std::string& function) {
    const std::string clients = BuildTree() / "clients";
    ASSERT_TRUE(std::filesystem::exists(clients)) << "run deploy/bootstrap clients";
    const std::vector<std::string> environment = {
        "PYTHONPATH=" + clients,
        "PATH=/usr/bin:/bin",
        "GRPC_ENABLE_FORK_SUPPORT=false",
        "GATEWAY=" + gateway_->address(),
        "KEY=" + key_,
        "OPERATOR=" + operator_key_,
        "WORKER=" + worker_.address(),
        "TOKEN=" + worker_.GatewayToken(),
    };
    const std::string script = SourceFile("tests/conformance/" + program);
    std::vector<char*> argv;
    for (const std::string* word : {&kPython, &script, &function}) {
      argv.push_back(const_cast<char*>(word->c_str()));
    }
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (const std::string& word : environment) envp.push_back(const_cast<char*>(word.c_str()));
    envp.push_back(nullptr);
    pid_t pid = 0;
    ASSERT_EQ(::posix_spawn(&pid, kPython.c_str(), nullptr, nullptr, argv.data(), envp.data()), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0) << "what went wrong is printed above";
  }

  const std::string kPython = "/usr/bin/python3";
};

class GrpcClientsTest : public ClientsTest, public testing::WithParamInterface<const char*> {};

TEST_P(GrpcClientsTest, Passes) { Run("grpc_clients.py", GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Functions, GrpcClientsTest,
    testing::Values("tells_of_itself_and_its_models", "infers_every_datatype",
                    "answers_only_the_outputs_that_are_asked_for", "takes_typed_contents",
                    "compresses", "names_what_is_wrong", "infers_asynchronously_with_keepalive",
                    "streams", "infers_by_asyncio", "counts_what_was_done",
                    "controls_models_as_the_operator", "keeps_to_the_callers_time_limit",
                    "reflects_itself_and_its_health", "shares_memory_with_a_worker",
                    "infers_at_the_worker"),
    [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace slipway
