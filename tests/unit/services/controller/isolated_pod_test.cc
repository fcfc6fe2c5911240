#include "services/controller/kubernetes/isolated_pod.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Template() {
  return json::parse(R"({
    "apiVersion": "v1", "kind": "PodTemplate",
    "metadata": {"name": "demo-worker-default-isolated", "uid": "u-1"},
    "template": {
      "metadata": {"labels": {"app.kubernetes.io/instance": "demo", "part": "isolated"},
                   "annotations": {"checksum/config": "1"}},
      "spec": {"subdomain": "demo-worker-default-isolated", "restartPolicy": "Never",
               "containers": [{"name": "worker", "args": ["--config", "/etc/slipway/config.yaml"],
                               "ports": [{"name": "admin", "containerPort": 7070},
                                         {"name": "grpc", "containerPort": 7000}]}]}}})");
}

PodTemplate Read() { return PodTemplate::Read(Template()).value(); }

json PodWith(const std::string& pointer, const json& value) {
  json pod = MakePod(Read(), 2, "tenants/acme", {});
  pod["metadata"]["uid"] = "u-2";
  pod[json::json_pointer(pointer)] = value;
  return pod;
}

TEST(PodTemplateTest, SaysHowItsWorkersAreFoundAndReached) {
  const PodTemplate read = Read();
  EXPECT_EQ(read.labels, "app.kubernetes.io/instance=demo,part=isolated");
  EXPECT_EQ(read.NameOf(3), "demo-worker-default-isolated-3");
  EXPECT_EQ(read.AddressOf(3, "models"),
            "demo-worker-default-isolated-3.demo-worker-default-isolated.models.svc:7000");
}

TEST(PodTemplateTest, RefusesOneWhosePodsCouldNotBeFound) {
  for (const auto& [patch, what] :
       {std::pair(R"({"metadata": {"labels": null}})", "labels"),
        {R"({"spec": {"subdomain": null}})", "subdomain"},
        {R"({"spec": {"containers": [{"name": "worker"}]}})", "port \"grpc\""}}) {
    json broken = Template();
    broken["template"].merge_patch(json::parse(patch));
    const auto read = PodTemplate::Read(broken);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(what));
  }
}

TEST(IsolatedPodTest, IsTheTemplatesButForItsNameItsOwnerAndWhatItIsTold) {
  const json pod = MakePod(Read(), 2, "tenants/acme", {"--set", "tenant=acme"});
  json expected = Template()["template"];
  expected["apiVersion"] = "v1";
  expected["kind"] = "Pod";
  expected["metadata"]["name"] = expected["spec"]["hostname"] = "demo-worker-default-isolated-2";
  expected["metadata"]["annotations"]["slipway.dev/owner"] = "tenants/acme";
  expected["metadata"]["ownerReferences"] =
      json::parse(R"([{"apiVersion": "v1", "kind": "PodTemplate",
                       "name": "demo-worker-default-isolated", "uid": "u-1"}])");
  for (const char* argument : {"--set", "tenant=acme"}) {
    expected["spec"]["containers"][0]["args"].push_back(argument);
  }
  EXPECT_EQ(pod, expected);
}

TEST(IsolatedPodTest, IsKnownByItsNameAndItsOwner) {
  const auto seen = ReadPod(Read(), PodWith("/status/phase", "Running"));
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->number, 2);
  EXPECT_EQ(seen->uid, "u-2");
  EXPECT_EQ(seen->owner, "tenants/acme");
  EXPECT_FALSE(seen->ending);
  EXPECT_FALSE(seen->ended);
  EXPECT_TRUE(
      ReadPod(Read(), PodWith("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z"))->ending);
  for (const char* other : {"demo-worker-default-0", "demo-worker-default-isolated-x",
                            "demo-worker-default-isolated-"}) {
    EXPECT_FALSE(ReadPod(Read(), PodWith("/metadata/name", other)).has_value()) << other;
  }
}

TEST(IsolatedPodTest, SaysWhyItDoesNotRunYet) {
  const auto waits = [](const char* status) {
    return ReadPod(Read(), PodWith("/status", json::parse(status)))->waits_for;
  };
  EXPECT_EQ(waits(R"({"phase": "Pending"})"), "its pod is about to start");
  EXPECT_EQ(waits(R"({"phase": "Pending", "conditions": [
                      {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                       "message": "0/3 nodes are available"}]})"),
            "Unschedulable: 0/3 nodes are available");
  EXPECT_EQ(waits(R"({"phase": "Pending", "containerStatuses": [
                      {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}]})"),
            "ImagePullBackOff: no");
  EXPECT_EQ(waits(R"({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]})"),
            "");
}

TEST(IsolatedPodTest, SaysHowItEnded) {
  const auto how = [](const char* status) {
    const auto seen = ReadPod(Read(), PodWith("/status", json::parse(status)));
    EXPECT_TRUE(seen->ended);
    return seen->how;
  };
  const auto terminated = [&](const std::string& state) {
    return how(
        (R"({"phase": "Failed", "containerStatuses": [{"state": {"terminated": )" + state + "}}]}")
            .c_str());
  };
  EXPECT_EQ(terminated(R"({"exitCode": 3, "reason": "Error"})"), "exited with code 3");
  EXPECT_EQ(terminated(R"({"exitCode": 70, "reason": "Error"})"),
            "a model ran for longer than it may");
  EXPECT_EQ(terminated(R"({"exitCode": 137, "reason": "OOMKilled"})"),
            "it was killed: out of memory");
  EXPECT_EQ(how(R"({"phase": "Failed", "reason": "Evicted", "message": "the disk is full"})"),
            "Evicted: the disk is full");
  EXPECT_EQ(how(R"({"phase": "Succeeded"})"), "its pod ended");
}

}  // namespace
}  // namespace slipway::controller
