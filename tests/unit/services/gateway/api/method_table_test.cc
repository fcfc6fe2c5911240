#include "services/gateway/api/method_table.h"

#include <functional>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "google/api/annotations.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "gtest/gtest.h"
#include "slipway/options/v1/options.pb.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::set<std::string> LocalMethods() {
  std::set<std::string> local;
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      if (method->options().GetExtension(options::v1::method).forward().empty()) {
        local.insert(service->full_name() + "/" + method->name());
      }
    }
  }
  return local;
}

const MethodTable& Table() {
  static const auto* table =
      new MethodTable(MethodTable::Build(PublicServices(), LocalMethods()).value());
  return *table;
}

std::string Find(std::string_view method, std::string_view path) {
  const auto lookup = Table().Find(method, RequestPath::Parse(path).value());
  return lookup.match ? lookup.match->method->label : "";
}

TEST(MethodTableTest, FindsEachMethodByItsBinding) {
  EXPECT_EQ(Find("POST", "/api/v1/tenants"), "TenantService/CreateTenant");
  EXPECT_EQ(Find("GET", "/api/v1/tenants/acme"), "TenantService/GetTenant");
  EXPECT_EQ(Find("GET", "/api/v1/platform"), "PlatformService/GetPlatform");
  EXPECT_EQ(Find("PUT", "/api/v1/tenants/a/models/m/aliases/stable"), "ModelService/SetAlias");
  EXPECT_EQ(Find("POST", "/api/v1/tenants/a/keys/k:revoke"), "ApiKeyService/RevokeApiKey");
  EXPECT_EQ(Find("GET", "/api/v1/tenants/a/blobs/sha256:00"), "BlobService/GetBlob");
  EXPECT_EQ(Find("GET", "/api/v1/tenants/a/blobs/sha256:00:download"), "BlobService/DownloadBlob");
  EXPECT_EQ(Find("GET", "/api/v1/tenants/a/jobs/j:watch"), "TrainingJobService/WatchTrainingJob");
  EXPECT_EQ(Find("POST", "/api/v1/tenants/a/jobs:plan"), "TrainingJobService/PlanTrainingJob");
  EXPECT_EQ(Find("GET", "/api/v1/nothing"), "");
}

TEST(MethodTableTest, SaysWhichHttpMethodsAPathKnows) {
  const auto lookup = Table().Find("PUT", RequestPath::Parse("/api/v1/tenants").value());
  EXPECT_FALSE(lookup.match.has_value());
  EXPECT_THAT(lookup.allowed, ElementsAre("GET", "POST"));
  const auto verb =
      Table().Find("GET", RequestPath::Parse("/api/v1/tenants/a/jobs/j:cancel").value());
  EXPECT_FALSE(verb.match.has_value()) << "a path with a verb is not the object without it";
  EXPECT_THAT(verb.allowed, ElementsAre("POST"));
}

TEST(MethodTableTest, ReadsWhatEachMethodDeclares) {
  for (const PublicMethod& method : Table().methods()) {
    EXPECT_FALSE(method.bindings.empty()) << method.name;
    EXPECT_EQ(method.forward.empty(), LocalMethods().count(method.name) == 1) << method.name;
    if (method.label == "BlobService/UploadBlob") {
      EXPECT_EQ(method.forward, "/slipway.registry.v1.RegistryService/UploadBlob");
      EXPECT_EQ(method.backend, "registry");
      EXPECT_EQ(method.role, Role::kDeveloper);
      EXPECT_TRUE(method.client_streaming());
      EXPECT_TRUE(method.mutates());
    }
    if (method.label == "PlatformService/GetPlatform") {
      EXPECT_FALSE(method.role.has_value());
    }
    if (method.label == "BlobService/DownloadBlob") {
      EXPECT_TRUE(method.answers_bytes());
      EXPECT_FALSE(method.mutates());
    }
  }
}

// A service with one sound method, which each test spoils.
class MethodTableRefusalTest : public ::testing::Test {
 protected:
  static constexpr char kMethod[] = "slipway.gateway.v1.TestService/GetTest";

  MethodTableRefusalTest() {
    file_.set_name("test.proto");
    file_.set_package("slipway.gateway.v1");
    file_.set_syntax("proto3");
    for (const char* dependency :
         {"google/api/annotations.proto", "slipway/options/v1/options.proto",
          "slipway/registry/v1/registry.proto", "slipway/gateway/v1/gateway.proto"}) {
      file_.add_dependency(dependency);
    }
    auto* service = file_.add_service();
    service->set_name("TestService");
    Fill(*service->add_method(), "GetTest");
  }

  static void Fill(pb::MethodDescriptorProto& method, const std::string& name) {
    method.set_name(name);
    method.set_input_type(".slipway.registry.v1.GetModelRequest");
    method.set_output_type(".slipway.registry.v1.Model");
    auto& option = *method.mutable_options()->MutableExtension(options::v1::method);
    option.set_role(options::v1::ROLE_VIEWER);
    option.set_cost(options::v1::COST_READ);
    option.set_idempotency(options::v1::IDEMPOTENT);
    option.set_forward("slipway.registry.v1.RegistryService/GetModel");
    method.mutable_options()->MutableExtension(google::api::http)->set_get("/t/{name=m/*}");
  }

  pb::MethodDescriptorProto& method() { return *file_.mutable_service(0)->mutable_method(0); }
  options::v1::PublicMethod& option() {
    return *method().mutable_options()->MutableExtension(options::v1::method);
  }
  google::api::HttpRule& http() {
    return *method().mutable_options()->MutableExtension(google::api::http);
  }

  // Why the table refuses, or "" where it does not.
  std::string Refusal(const std::set<std::string>& local = {}) {
    pb::DescriptorPool pool(pb::DescriptorPool::generated_pool());
    const pb::FileDescriptor* file = pool.BuildFile(file_);
    EXPECT_NE(file, nullptr);
    const auto table = MethodTable::Build({file->service(0)}, local);
    if (table.ok()) return "";
    EXPECT_EQ(table.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(table.status().message()), HasSubstr("TestService"));
    return std::string(table.status().message());
  }

  pb::FileDescriptorProto file_;
};

TEST_F(MethodTableRefusalTest, TakesTheSoundOne) { EXPECT_EQ(Refusal(), ""); }

TEST_F(MethodTableRefusalTest, NoOption) {
  method().mutable_options()->ClearExtension(options::v1::method);
  EXPECT_THAT(Refusal(), HasSubstr("declares no (slipway.options.v1.method)"));
}
TEST_F(MethodTableRefusalTest, NoRole) {
  option().clear_role();
  EXPECT_THAT(Refusal(), HasSubstr("declares no role"));
}
TEST_F(MethodTableRefusalTest, NoCost) {
  option().clear_cost();
  EXPECT_THAT(Refusal(), HasSubstr("declares no cost"));
}
TEST_F(MethodTableRefusalTest, NoIdempotency) {
  option().clear_idempotency();
  EXPECT_THAT(Refusal(), HasSubstr("declares no idempotency"));
}
TEST_F(MethodTableRefusalTest, IdempotentByARequestIdThatIsNotThere) {
  option().set_idempotency(options::v1::BY_REQUEST_ID);
  EXPECT_THAT(Refusal(), HasSubstr("request_id"));
}
TEST_F(MethodTableRefusalTest, NoBinding) {
  method().mutable_options()->ClearExtension(google::api::http);
  EXPECT_THAT(Refusal(), HasSubstr("declares no (google.api.http)"));
}
TEST_F(MethodTableRefusalTest, ForwardToNowhere) {
  option().set_forward("slipway.registry.v1.RegistryService/GetNothing");
  EXPECT_THAT(Refusal(), HasSubstr("which is unknown"));
}
TEST_F(MethodTableRefusalTest, ForwardWithOtherTypes) {
  option().set_forward("slipway.registry.v1.RegistryService/GetDataset");
  EXPECT_THAT(Refusal(), HasSubstr("whose types differ"));
}
TEST_F(MethodTableRefusalTest, ForwardThatIsNotForTheGateway) {
  method().set_input_type(".slipway.training.v1.FailAttemptRequest");
  method().set_output_type(".google.protobuf.Empty");
  file_.add_dependency("slipway/training/v1/training.proto");
  file_.add_dependency("google/protobuf/empty.proto");
  option().set_forward("slipway.training.v1.AttemptService/FailAttempt");
  EXPECT_THAT(Refusal(), HasSubstr("which the gateway may not call"));
}
TEST_F(MethodTableRefusalTest, NeitherForwardNorHandler) {
  option().clear_forward();
  EXPECT_THAT(Refusal(), HasSubstr("neither a forward nor a handler"));
  EXPECT_EQ(Refusal({kMethod}), "");
}
TEST_F(MethodTableRefusalTest, ForwardAndHandler) {
  EXPECT_THAT(Refusal({kMethod}), HasSubstr("both a forward and a handler"));
}
TEST_F(MethodTableRefusalTest, HandlerWithoutAMethod) {
  EXPECT_THAT(Refusal({"slipway.gateway.v1.TestService/Other"}), HasSubstr("is no public method"));
}
TEST_F(MethodTableRefusalTest, TwoMethodsWithOneBinding) {
  Fill(*file_.mutable_service(0)->add_method(), "GetOther");
  file_.mutable_service(0)
      ->mutable_method(1)
      ->mutable_options()
      ->MutableExtension(google::api::http)
      ->set_get("/t/m/{name}");
  EXPECT_THAT(Refusal(), HasSubstr("are both bound to GET /t/m/*"));
}
TEST_F(MethodTableRefusalTest, APathThatBindsWhatTheRequestDoesNotHave) {
  http().set_get("/t/{names=m/*}");
  EXPECT_THAT(Refusal(), HasSubstr("no text field of the request"));
}
TEST_F(MethodTableRefusalTest, ANameThatThePathDoesNotBind) {
  http().set_get("/t/m");
  EXPECT_THAT(Refusal(), HasSubstr("does not bind name"));
}
TEST_F(MethodTableRefusalTest, ABodyOfAGet) {
  http().set_body("*");
  EXPECT_THAT(Refusal(), HasSubstr("GET takes no body"));
}
TEST_F(MethodTableRefusalTest, ABodyThatTheRequestDoesNotHave) {
  http().set_post("/t/{name=m/*}");
  http().set_body("model");
  EXPECT_THAT(Refusal(), HasSubstr("no message field"));
}

}  // namespace
}  // namespace slipway::gateway
