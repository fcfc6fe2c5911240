#include "services/inference/isolation.h"

#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using Version = slipway::registry::v1::ModelVersion;

absl::Status Check(const Isolation& isolation, Version::Origin origin) {
  Version version;
  version.set_name("tenants/acme/models/cnn/versions/1");
  version.set_origin(origin);
  return CheckIsolation(isolation, "acme", version);
}

TEST(IsolationTest, ASharedWorkerLoadsOnlyWhatIsVouchedFor) {
  EXPECT_TRUE(Check({}, Version::TRAINED).ok());
  EXPECT_TRUE(Check({}, Version::IMPORTED).ok());
  for (const auto origin : {Version::UPLOADED, Version::ORIGIN_UNSPECIFIED}) {
    const absl::Status status = Check({}, origin);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_TRUE(Check({.share_uploaded = true}, origin).ok());
  }
}

TEST(IsolationTest, ATenantsWorkerLoadsAllOfItsModelsAndNobodyElses) {
  for (const auto origin : {Version::UPLOADED, Version::TRAINED}) {
    EXPECT_TRUE(Check({.tenant = "acme"}, origin).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(Check({.tenant = "globex"}, origin)));
    EXPECT_TRUE(
        absl::IsFailedPrecondition(Check({.tenant = "globex", .share_uploaded = true}, origin)));
  }
}

TEST(IsolationTest, CodeIsLoadedWhereNothingElseIs) {
  Version code;
  code.set_name("tenants/acme/models/script/versions/2");
  code.mutable_artifact()->set_format("torchscript");
  Version other = code;
  other.set_name("tenants/acme/models/script/versions/3");
  for (const auto origin : {Version::UPLOADED, Version::TRAINED, Version::IMPORTED}) {
    code.set_origin(origin);
    EXPECT_TRUE(absl::IsFailedPrecondition(CheckIsolation({.share_uploaded = true}, "acme", code)));
    EXPECT_TRUE(absl::IsFailedPrecondition(CheckIsolation({.tenant = "acme"}, "acme", code)));
    const Isolation own = {.tenant = "acme", .model_version = code.name()};
    EXPECT_TRUE(CheckIsolation(own, "acme", code).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(CheckIsolation(own, "acme", other)));
    EXPECT_TRUE(absl::IsFailedPrecondition(CheckIsolation(own, "globex", code)));
  }
}

}  // namespace
}  // namespace slipway::worker
