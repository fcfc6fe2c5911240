// Isolated workers as pods, over HTTP: with an API server of the test's own and, where
// SLIPWAY_TEST_API_SERVER names one (with SLIPWAY_TEST_TOKEN_FILE, _CA_FILE, _NAMESPACE and
// _POD_TEMPLATE), the tests of KubernetesApiServerTest with a real one.

#include "services/controller/kubernetes/kubernetes_worker_pool.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "common/http/server/server.h"
#include "common/http/uri.h"
#include "common/runtime_settings/torchscript.h"
#include "common/sync/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway::controller {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kAcme[] = "tenants/acme";
constexpr char kGlobex[] = "tenants/globex";
constexpr char kNamespace[] = "models";
constexpr char kTemplateName[] = "demo-worker-default-isolated";

// What the pool needs of an API server, for one namespace; the test plays the nodes. A pod that
// runs ends when EndPod says so, one that does not at once, as on a real one.
class FakeApiServer final : public http::Handler {
 public:
  FakeApiServer() { server_ = http::Server::Start({}, *this).value(); }

  std::string url() const { return "http://" + server_->address(); }
  void AcceptToken(const std::string& token) {
    MutexLock lock(mutex_);
    token_ = token;
  }
  /// What creating a pod is answered from now on; 0: it is made.
  void RefuseWith(int code) {
    MutexLock lock(mutex_);
    refusal_ = code;
  }
  json Pod(const std::string& name) {
    MutexLock lock(mutex_);
    return pods_.contains(name) ? pods_[name] : json();
  }
  size_t created() {
    MutexLock lock(mutex_);
    return created_;
  }
  /// The grace periods that pods were deleted with; -1: their own.
  std::vector<int> graces() {
    MutexLock lock(mutex_);
    return graces_;
  }

  void RunPod(const std::string& name) {
    SetStatus(name, R"({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]})");
  }
  void FailPod(const std::string& name, int code) {
    SetStatus(name, R"({"phase": "Failed", "containerStatuses": [{"state": {"terminated":
                        {"reason": "Error", "exitCode": )" +
                        std::to_string(code) + "}}}]}");
  }
  /// A pod that nobody here knows of: the answer was lost, or the controller's end came between.
  void AddPod(json pod) {
    MutexLock lock(mutex_);
    AddLocked(std::move(pod));
  }
  /// As a node that has ended one that was told to go.
  void EndPod(const std::string& name) {
    MutexLock lock(mutex_);
    pods_.erase(name);
  }
  void SetStatus(const std::string& name, const std::string& status) {
    MutexLock lock(mutex_);
    pods_.at(name)["status"] = json::parse(status);
  }

  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    http::Exchange& asked = *exchange;
    asked.ReadBody(1 << 20, [this, exchange](absl::StatusOr<std::string> body) {
      if (!body.ok()) return;
      const auto [code, answer] = Answer(exchange->head(), *body);
      exchange->Respond({.status = code, .body = answer.dump()});
    });
  }

 private:
  using Answered = std::pair<int, json>;

  static Answered Refuse(int code, const std::string& reason) {
    return {code, {{"kind", "Status"}, {"reason", reason}, {"message", "refused: " + reason}}};
  }

  Answered Answer(const http::RequestHead& head, const std::string& body) {
    MutexLock lock(mutex_);
    if (head.headers.Get("authorization") != "Bearer " + token_) return Refuse(401, "Unauthorized");
    const std::string base = std::string("/api/v1/namespaces/") + kNamespace + "/";
    const std::string path(head.path());
    if (head.method == "GET" && path == base + "podtemplates/" + kTemplateName)
      return {200, Made()};
    if (head.method == "GET" && path == base + "pods") return List(head);
    if (head.method == "POST" && path == base + "pods") return Create(json::parse(body));
    if (head.method == "DELETE" && path.starts_with(base + "pods/")) {
      return Delete(path.substr(base.size() + 5), json::parse(body));
    }
    return Refuse(404, "NotFound");
  }

  static json Made() {
    return json::parse(R"({"kind": "PodTemplate",
      "metadata": {"name": "demo-worker-default-isolated", "uid": "t"},
      "template": {"metadata": {"labels": {"part": "isolated"}},
                   "spec": {"subdomain": "demo-worker-default-isolated", "containers": [
                       {"name": "worker", "ports": [{"name": "grpc", "containerPort": 7000}]}]}}})");
  }

  Answered List(const http::RequestHead& head) REQUIRES(mutex_) {
    const std::string target(head.target);
    EXPECT_THAT(target, HasSubstr("labelSelector=part%3Disolated"));
    // A page each.
    json items = json::array();
    const size_t from = target.ends_with("continue=") ? 0 : 1;
    size_t place = 0;
    for (const auto& [name, pod] : pods_) {
      if ((place++ == 0) == (from == 0)) items.push_back(pod);
    }
    const bool more = from == 0 && pods_.size() > 1;
    return {200, {{"items", items}, {"metadata", {{"continue", more ? "rest" : ""}}}}};
  }

  Answered Create(json pod) REQUIRES(mutex_) {
    const std::string name = pod["metadata"]["name"];
    if (refusal_ != 0) return Refuse(refusal_, "Invalid");
    if (pods_.contains(name)) return Refuse(409, "AlreadyExists");
    return {201, AddLocked(std::move(pod))};
  }

  json AddLocked(json pod) REQUIRES(mutex_) {
    pod["metadata"]["uid"] = "pod-" + std::to_string(++created_);
    pod["status"] = {{"phase", "Pending"}};
    return pods_[pod["metadata"]["name"]] = pod;
  }

  Answered Delete(const std::string& name, const json& options) REQUIRES(mutex_) {
    const auto pod = pods_.find(name);
    if (pod == pods_.end()) return Refuse(404, "NotFound");
    json& metadata = pod->second["metadata"];
    if (options["preconditions"]["uid"] != metadata["uid"]) return Refuse(409, "Conflict");
    const int grace = options.value("gracePeriodSeconds", -1);
    graces_.push_back(grace);
    if (grace == 0 || pod->second["status"]["phase"] != "Running") {
      pods_.erase(pod);
    } else {
      metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    }
    return {200, {{"kind", "Status"}}};
  }

  Mutex mutex_;
  std::string token_ GUARDED_BY(mutex_) = "first";
  int refusal_ GUARDED_BY(mutex_) = 0;
  size_t created_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, json> pods_ GUARDED_BY(mutex_);
  std::vector<int> graces_ GUARDED_BY(mutex_);
  std::unique_ptr<http::Server> server_;
};

std::string Setting(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

// One worker for everybody, and two isolated ones, which are 1 and 2.
class KubernetesApiServerTest : public testing::Test {
 protected:
  KubernetesApiServerTest() { EXPECT_TRUE(WriteFileAtomically(dir_ / "token", "first\n").ok()); }
  ~KubernetesApiServerTest() override {
    if (!pool_) return;
    for (const int index : {1, 2}) pool_->Retire(index);
    if (Setting("SLIPWAY_TEST_API_SERVER", "").empty()) return;
    EXPECT_TRUE(Eventually([&] { return !Worker(1).running && !Worker(2).running; }));
  }

  absl::Status Open() {
    pool_ = nullptr;
    KubernetesWorkerPool::Options options = {
        .name = "default",
        .addresses = {"shared:7000"},
        .isolated_workers = 2,
        .pod_template = Setting("SLIPWAY_TEST_POD_TEMPLATE", kTemplateName),
        .arguments = [](const std::string& owner) -> std::vector<std::string> {
          return {"--for", owner};
        },
        .look_every = absl::Milliseconds(5)};
    auto pool = KubernetesWorkerPool::Open(std::move(options), api_, clock_, [&] { ++changes_; });
    if (pool.ok()) pool_ = *std::move(pool);
    return pool.status();
  }
  WorkerProcess Worker(int index) const { return pool_->Workers()[static_cast<size_t>(index)]; }
  // Until the worker is as `is` wants it.
  template <class Is>
  WorkerProcess Await(int index, Is is) const {
    EXPECT_TRUE(Eventually([&] { return is(Worker(index)); }));
    return Worker(index);
  }
  WorkerProcess AwaitPod(int index) const {
    return Await(index, [](const WorkerProcess& worker) {
      return worker.running && worker.waits_for != "its pod is being made";
    });
  }
  WorkerProcess AwaitDown(int index) const {
    return Await(index, [](const WorkerProcess& worker) { return !worker.running; });
  }

  const TempDir dir_;
  FakeApiServer server_;
  FakeClock clock_;
  KubernetesApi api_{{.api_server = Setting("SLIPWAY_TEST_API_SERVER", server_.url()),
                      .token_file = Setting("SLIPWAY_TEST_TOKEN_FILE", dir_ / "token"),
                      .ca_file = Setting("SLIPWAY_TEST_CA_FILE", ""),
                      .namespace_name = Setting("SLIPWAY_TEST_NAMESPACE", kNamespace)}};
  std::atomic<int> changes_ = 0;
  std::unique_ptr<KubernetesWorkerPool> pool_;
};

TEST_F(KubernetesApiServerTest, MakesAPodForAnOwnerAndDeletesIt) {
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Worker(0).address, "shared:7000");
  EXPECT_TRUE(Worker(0).running);
  EXPECT_FALSE(Worker(1).running);
  pool_->Start(1, kAcme);
  pool_->Start(1, kAcme);
  EXPECT_TRUE(Worker(1).running) << "at once, or it would be asked for again";
  const WorkerProcess worker = AwaitPod(1);
  EXPECT_EQ(worker.owner, kAcme);
  EXPECT_THAT(worker.address, HasSubstr("-isolated-0."));
  EXPECT_NE(worker.waits_for, "") << "no node has taken it";
  EXPECT_EQ(worker.failed_starts, 0) << worker.down_reason;
  EXPECT_FALSE(Worker(2).running);
  EXPECT_GT(changes_, 0);

  pool_->Retire(1);
  const WorkerProcess retired = AwaitDown(1);
  EXPECT_EQ(retired.failed_starts, 0);
  EXPECT_EQ(retired.down_reason, "");
  pool_->Start(1, kGlobex);
  EXPECT_EQ(AwaitPod(1).owner, kGlobex);
  EXPECT_NE(Worker(1).incarnation, worker.incarnation);
}

TEST_F(KubernetesApiServerTest, TheNextControllerFindsThePodsOfTheOneBefore) {
  ASSERT_TRUE(Open().ok());
  pool_->Start(2, kAcme);
  const std::string address = AwaitPod(2).address;
  ASSERT_TRUE(Open().ok());
  // At its first look: it would tell the gateways that nobody is there.
  EXPECT_TRUE(Worker(2).running);
  EXPECT_EQ(Worker(2).owner, kAcme);
  EXPECT_EQ(Worker(2).address, address);
  EXPECT_FALSE(Worker(1).running);
}

TEST_F(KubernetesApiServerTest, APodThatSomebodyDeletedIsAFailedStart) {
  ASSERT_TRUE(Open().ok());
  pool_->Start(1, kAcme);
  AwaitPod(1);
  const auto made_by = PodTemplate::Read(
      api_.Get("podtemplates", Setting("SLIPWAY_TEST_POD_TEMPLATE", kTemplateName)).value());
  const auto pods = api_.List("pods", made_by->labels);
  ASSERT_TRUE(pods.ok()) << pods.status();
  ASSERT_THAT(*pods, SizeIs(1));
  const json& metadata = (*pods)[0]["metadata"];
  EXPECT_TRUE(absl::IsAborted(api_.Delete("pods", metadata["name"], "another", std::nullopt)));
  ASSERT_TRUE(api_.Delete("pods", metadata["name"], metadata["uid"], std::nullopt).ok());
  const WorkerProcess down = AwaitDown(1);
  EXPECT_EQ(down.failed_starts, 1);
  EXPECT_EQ(down.down_reason, "its pod was deleted");
}

class KubernetesWorkerPoolTest : public KubernetesApiServerTest {
 protected:
  KubernetesWorkerPoolTest() { EXPECT_TRUE(Open().ok()); }

  // Until it runs, as its node says.
  WorkerProcess StartAndRun(int index, const std::string& owner) {
    pool_->Start(index, owner);
    AwaitPod(index);
    server_.RunPod(NameOf(index));
    return Await(index, [](const WorkerProcess& worker) { return worker.waits_for.empty(); });
  }
  void RetireAndAwaitItsBeginning(int index) {
    pool_->Retire(index);
    EXPECT_TRUE(Eventually(
        [&] { return server_.Pod(NameOf(index))["metadata"].contains("deletionTimestamp"); }));
  }
  static std::string NameOf(int index) {
    return std::string(kTemplateName) + "-" + std::to_string(index - 1);
  }
};

TEST_F(KubernetesWorkerPoolTest, TellsAPodWhoseItIs) {
  StartAndRun(1, kAcme);
  StartAndRun(2, kGlobex);
  const json pod = server_.Pod(NameOf(1));
  EXPECT_EQ(pod["spec"]["containers"][0]["args"], json({"--for", kAcme}));
  EXPECT_EQ(server_.Pod(NameOf(2))["spec"]["containers"][0]["args"], json({"--for", kGlobex}));
}

TEST_F(KubernetesWorkerPoolTest, TellsHowAPodEndedAndClearsItsNameAway) {
  const int64_t incarnation = StartAndRun(1, kAcme).incarnation;
  server_.FailPod(NameOf(1), kHungModelExit);
  EXPECT_EQ(AwaitDown(1).down_reason, "a model ran for longer than it may");
  EXPECT_EQ(Worker(1).failed_starts, 1);
  EXPECT_TRUE(Eventually([&] { return server_.Pod(NameOf(1)).is_null(); }));
  EXPECT_NE(StartAndRun(1, kAcme).incarnation, incarnation);
  server_.FailPod(NameOf(1), 3);
  EXPECT_EQ(AwaitDown(1).down_reason, "exited with code 3");
  EXPECT_EQ(Worker(1).failed_starts, 2);
}

TEST_F(KubernetesWorkerPoolTest, AWorkerThatLivedLongStartsItsCountAnew) {
  StartAndRun(1, kAcme);
  server_.FailPod(NameOf(1), 3);
  AwaitDown(1);
  StartAndRun(1, kAcme);
  clock_.Advance(absl::Seconds(30));
  EXPECT_EQ(Worker(1).down_reason, "") << "it has lasted";
  server_.FailPod(NameOf(1), 3);
  EXPECT_EQ(AwaitDown(1).failed_starts, 1);
}

TEST_F(KubernetesWorkerPoolTest, OneThatIsRetiredEndsInItsOwnTime) {
  StartAndRun(1, kAcme);
  RetireAndAwaitItsBeginning(1);
  EXPECT_TRUE(Worker(1).ending);
  EXPECT_THAT(server_.graces(), ElementsAre(-1));
  EXPECT_TRUE(Worker(1).running);
  server_.EndPod(NameOf(1));
  EXPECT_EQ(AwaitDown(1).failed_starts, 0);
}

TEST_F(KubernetesWorkerPoolTest, OneThatHangsIsKilledAndOneOnADeadNodeForgotten) {
  StartAndRun(1, kAcme);
  pool_->Stop(1, "it has not answered for 90 s");
  Await(1, [](const WorkerProcess& worker) { return worker.ending; });
  EXPECT_THAT(server_.graces(), ElementsAre(1));
  // Its node does nothing.
  pool_->Stop(1, "it has not answered for 180 s");
  EXPECT_EQ(AwaitDown(1).down_reason, "it was stopped: it has not answered for 180 s");
  EXPECT_THAT(server_.graces(), ElementsAre(1, 0));
  EXPECT_EQ(Worker(1).failed_starts, 1);
}

TEST_F(KubernetesWorkerPoolTest, TheNextOwnersPodWaitsForTheEndOfTheOneBefore) {
  StartAndRun(1, kAcme);
  RetireAndAwaitItsBeginning(1);
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Worker(1).ending);
  server_.EndPod(NameOf(1));
  AwaitDown(1);
  EXPECT_EQ(Worker(1).failed_starts, 0) << "the one before told it to go";
  pool_->Start(1, kGlobex);
  EXPECT_EQ(AwaitPod(1).owner, kGlobex);
  EXPECT_EQ(server_.created(), 2u);
}

TEST_F(KubernetesWorkerPoolTest, AnotherOwnersPodOfTheSameNameIsNotTakenForItsOwn) {
  const PodTemplate made_by = *PodTemplate::Read(*api_.Get("podtemplates", kTemplateName));
  server_.RefuseWith(503);
  pool_->Start(1, kGlobex);
  AwaitPod(1);
  server_.AddPod(MakePod(made_by, 0, kAcme, {"--for", kAcme}));
  server_.RefuseWith(0);
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(Worker(1).owner, kGlobex);
    return server_.created() == 2;
  }));
  EXPECT_EQ(server_.Pod(NameOf(1))["spec"]["containers"][0]["args"], json({"--for", kGlobex}));
  EXPECT_EQ(Worker(1).failed_starts, 0);
}

TEST_F(KubernetesWorkerPoolTest, APodWhoseMakingWasAnsweredToNobodyIsItsOwn) {
  const PodTemplate made_by = *PodTemplate::Read(*api_.Get("podtemplates", kTemplateName));
  server_.RefuseWith(503);
  pool_->Start(1, kAcme);
  AwaitPod(1);
  server_.AddPod(MakePod(made_by, 0, kAcme, {}));
  server_.RefuseWith(0);
  EXPECT_EQ(StartAndRun(1, kAcme).owner, kAcme);
  EXPECT_EQ(server_.created(), 1u);
}

TEST_F(KubernetesWorkerPoolTest, APodThatIsRefusedIsAFailedStart) {
  server_.RefuseWith(422);
  pool_->Start(1, kAcme);
  const WorkerProcess down = AwaitDown(1);
  EXPECT_EQ(down.failed_starts, 1);
  EXPECT_EQ(down.down_reason, "the Kubernetes API answered 422: refused: Invalid");
}

TEST_F(KubernetesWorkerPoolTest, AServerThatIsBusyIsAskedAgain) {
  server_.RefuseWith(503);
  pool_->Start(1, kAcme);
  const WorkerProcess waiting = AwaitPod(1);
  EXPECT_TRUE(waiting.running);
  EXPECT_THAT(waiting.waits_for, HasSubstr("503"));
  server_.RefuseWith(0);
  EXPECT_TRUE(Eventually([&] { return server_.created() == 1; }));
}

TEST_F(KubernetesWorkerPoolTest, ATokenThatWasReplacedIsRead) {
  StartAndRun(1, kAcme);
  server_.AcceptToken("second");
  ASSERT_TRUE(WriteFileAtomically(dir_ / "token", "second").ok());
  StartAndRun(2, kGlobex);
  EXPECT_TRUE(Worker(1).running) << "what cannot be seen is not gone";
}

TEST_F(KubernetesWorkerPoolTest, DoesNotBeginWithoutItsTemplate) {
  server_.AcceptToken("another");
  const absl::Status refused = Open();
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("pool default: the Kubernetes API"));
}

}  // namespace
}  // namespace slipway::controller
