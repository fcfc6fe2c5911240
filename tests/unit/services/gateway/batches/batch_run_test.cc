// Batches through everything that can happen to their runners, on a real database. A kill is an
// exception out of whatever the run does next: nothing of it goes on, and nothing is put in order.
#include "services/gateway/batches/batch_run.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/sql/database.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/time_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/gateway/batches/batch_runner.h"
#include "services/gateway/schema.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#ifdef SLIPWAY_TEST_ON_POSTGRES
#include "tests/support/postgres.h"
#endif

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kEndpoint[] = "/v2/models/digits/infer";

struct Killed {};

// Kills at the n-th thing that is done.
class Fate {
 public:
  void KillAt(int point) {
    point_ = point;
    passed_ = 0;
  }
  void Pass() {
    if (++passed_ == point_) throw Killed();
  }
  int passed() const { return passed_; }

 private:
  int point_ = 0;
  int passed_ = 0;
};

// Is killed before a transaction and after its commit.
class MortalDatabase final : public sql::Database {
 public:
  MortalDatabase(sql::Database& database, Fate& fate) : database_(database), fate_(fate) {}

  absl::Status Migrate(const std::vector<sql::Migration>& migrations) override {
    return database_.Migrate(migrations);
  }
  absl::Status Write(absl::FunctionRef<absl::Status(sql::Transaction&)> body) override {
    fate_.Pass();
    absl::Status status = database_.Write(body);
    fate_.Pass();
    return status;
  }
  absl::Status Read(absl::FunctionRef<absl::Status(sql::Transaction&)> body) override {
    return database_.Read(body);
  }
  sql::Dialect dialect() const override { return database_.dialect(); }

 private:
  sql::Database& database_;
  Fate& fate_;
};

class FakeFiles final : public BatchFiles {
 public:
  explicit FakeFiles(Fate& fate) : fate_(fate) {}

  absl::StatusOr<std::unique_ptr<Source>> Open(const Principal& who, const std::string& dataset,
                                               int64_t offset_bytes, int64_t max_bytes) override {
    fate_.Pass();
    EXPECT_EQ(who.tenant, "acme");
    RETURN_IF_ERROR(trouble);
    const auto found = inputs.find(dataset);
    if (found == inputs.end()) return NotFound(dataset);
    if (static_cast<int64_t>(found->second.size()) > max_bytes) {
      return absl::FailedPreconditionError("too large");
    }
    opened_at.push_back(offset_bytes);
    class Pieces final : public Source {
     public:
      explicit Pieces(std::string rest) : rest_(std::move(rest)) {}
      absl::StatusOr<std::string> Read() override {
        std::string piece = rest_.substr(at_, 37);
        at_ += piece.size();
        return piece;
      }

     private:
      const std::string rest_;
      size_t at_ = 0;
    };
    return std::make_unique<Pieces>(found->second.substr(static_cast<size_t>(offset_bytes)));
  }

  absl::StatusOr<std::string> Write(
      const Principal& who, const NewFile& file,
      absl::FunctionRef<absl::StatusOr<std::string>()> next) override {
    EXPECT_EQ(who.role, Role::kDeveloper);
    std::string bytes;
    for (;;) {
      fate_.Pass();
      ASSIGN_OR_RETURN(const std::string piece, next());
      if (piece.empty()) break;
      bytes += piece;
    }
    const std::string name = "tenants/acme/datasets/" + file.id;
    const auto [made, is_new] = outputs.emplace(name, bytes);
    // With the same id it is the same file.
    EXPECT_EQ(made->second, bytes);
    EXPECT_THAT(file.filename, HasSubstr(".jsonl"));
    fate_.Pass();
    return name;
  }

  std::vector<json> Lines(const std::string& name) const {
    std::vector<json> lines;
    const auto found = outputs.find(name);
    if (found == outputs.end()) return lines;
    std::string line;
    for (const char c : found->second) {
      if (c != '\n') {
        line += c;
        continue;
      }
      lines.push_back(json::parse(line));
      line.clear();
    }
    EXPECT_EQ(line, "") << "the last line has no end";
    return lines;
  }

  std::map<std::string, std::string> inputs;
  std::map<std::string, std::string> outputs;
  std::vector<int64_t> opened_at;
  absl::Status trouble;

 private:
  Fate& fate_;
};

using Answer = LineCall::Answer;

// Calls that are done at once; what they were is kept, as the ledger would.
class FakeCaller final : public LineCaller {
 public:
  struct Row {
    std::string request_id;
    bool settled = false;
  };

  explicit FakeCaller(Fate& fate) : fate_(fate) {}

  absl::Status Check(const v1::Batch&) override { return check; }

  std::shared_ptr<LineCall> Start(const v1::Batch& batch, std::string request_id, std::string body,
                                  absl::AnyInvocable<void()> done) override {
    EXPECT_EQ(batch.endpoint(), kEndpoint);
    fate_.Pass();
    started.push_back(request_id);
    at_once = std::max(at_once, ++open_);
    done();
    return std::make_shared<Call>(*this, std::move(request_id), answer(body));
  }

  int Booked(const std::string& request_id) const {
    int count = 0;
    for (const Row& row : ledger) count += row.request_id == request_id;
    return count;
  }

  std::function<Answer(const std::string& body)> answer = [](const std::string& body) {
    return Answer{.http_code = 200, .body = body};
  };
  absl::Status check;
  std::vector<std::string> started;
  std::vector<Row> ledger;
  int at_once = 0;

 private:
  class Call final : public LineCall {
   public:
    Call(FakeCaller& caller, std::string request_id, Answer answer)
        : caller_(caller), request_id_(std::move(request_id)), answer_(std::move(answer)) {}
    ~Call() override { --caller_.open_; }
    void Cancel() override {}
    Answer Take() override {
      caller_.fate_.Pass();
      if (answer_.http_code == 200) {
        row_ = caller_.ledger.size();
        caller_.ledger.push_back({.request_id = request_id_});
        caller_.fate_.Pass();
      }
      return answer_;
    }
    void Settle() override {
      caller_.fate_.Pass();
      if (answer_.http_code == 200) caller_.ledger[row_].settled = true;
    }

   private:
    FakeCaller& caller_;
    const std::string request_id_;
    const Answer answer_;
    size_t row_ = 0;
  };

  Fate& fate_;
  int open_ = 0;
};

class BatchRunTest : public ::testing::Test {
 protected:
  BatchRunTest() { options_.window = 4; }

  std::unique_ptr<sql::Database> OpenDatabase() const {
#ifdef SLIPWAY_TEST_ON_POSTGRES
    auto database = sql::Database::Open(TestPostgres::Shared().NewDatabase()).value();
#else
    auto database = sql::Database::Open("sqlite:" + (folder_ / "g.db")).value();
#endif
    EXPECT_TRUE(database->Migrate(Schema()).ok());
    return database;
  }

  static std::string Line(const std::string& custom_id, const std::string& body = R"({"n":1})") {
    return fmt::format(R"({{"custom_id":"{}","method":"POST","url":"{}","body":{}}})", custom_id,
                       kEndpoint, body) +
           "\n";
  }

  static std::string Lines(int count) {
    std::string lines;
    for (int i = 1; i <= count; ++i) {
      lines += Line(fmt::format("c{}", i), fmt::format(R"({{"n":{}}})", i));
    }
    return lines;
  }

  BatchName Make(const std::string& input, const std::string& id = "batch-1",
                 const std::string& tenant = "acme") {
    const BatchName name{tenant, id};
    v1::Batch batch;
    batch.set_name(name.ToString());
    batch.set_endpoint(kEndpoint);
    batch.set_input_dataset("tenants/acme/datasets/" + id);
    batch.set_key_id("k1");
    batch.set_state(v1::Batch::VALIDATING);
    const auto at = [](absl::Time time) {
      return TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
    };
    *batch.mutable_create_time() = at(clock_.Now());
    *batch.mutable_expire_time() = at(clock_.Now() + absl::Hours(24));
    files_.inputs[batch.input_dataset()] = input;
    EXPECT_TRUE(store_.Create(name, batch, 100, clock_.Now()).ok());
    return name;
  }

  v1::Batch Get(const BatchName& name) { return store_.Get(name).value(); }

  // One runner's next turn. False where it had nothing to do.
  bool RunNext() {
    BatchRunner runner(parts_, BatchRunner::Settings());
    const auto ran = runner.RunNext();
    EXPECT_TRUE(ran.ok()) << ran.status();
    return ran.value_or(false);
  }

  // Until there is nothing left to do, now or later.
  void RunAll() {
    for (int i = 0; i < 1000 && !AllEnded(); ++i) {
      if (!RunNext()) clock_.Advance(absl::Seconds(1));
    }
  }

  bool AllEnded() {
    for (const auto& name : {BatchName{"acme", "batch-1"}, BatchName{"acme", "batch-2"}}) {
      const auto batch = store_.Get(name);
      if (batch.ok() && !batch->has_end_time()) return false;
    }
    return true;
  }

  TempDir folder_;
  FakeClock clock_;
  Fate fate_;
  const std::unique_ptr<sql::Database> database_ = OpenDatabase();
  MortalDatabase mortal_{*database_, fate_};
  SqlBatchStore store_{mortal_};
  FakeFiles files_{fate_};
  FakeCaller caller_{fate_};
  BatchOptions options_;
  const BatchRun::Parts parts_{store_, files_, caller_, clock_, options_};
};

TEST_F(BatchRunTest, AnswersEachLineInTheOutputOrInTheErrors) {
  caller_.answer = [](const std::string& body) {
    if (body == R"({"n":3})") return Answer{.http_code = 400, .body = R"({"error":"no"})"};
    return Answer{.http_code = 200, .body = body};
  };
  const BatchName name = Make(Lines(5));
  EXPECT_TRUE(RunNext());
  const v1::Batch batch = Get(name);
  EXPECT_EQ(batch.state(), v1::Batch::COMPLETED);
  EXPECT_EQ(batch.total_lines(), 5);
  EXPECT_EQ(batch.completed_lines(), 4);
  EXPECT_EQ(batch.failed_lines(), 1);
  EXPECT_TRUE(batch.has_start_time() && batch.has_finalize_time() && batch.has_end_time());
  const auto output = files_.Lines(batch.output_dataset());
  ASSERT_THAT(output, SizeIs(4));
  EXPECT_EQ(output[0]["id"], "batch-1-1");
  EXPECT_EQ(output[0]["custom_id"], "c1");
  EXPECT_EQ(output[0]["error"], nullptr);
  EXPECT_EQ(output[0]["response"],
            json::parse(R"({"status_code":200,"request_id":"batch-1-1","body":{"n":1}})"));
  const auto errors = files_.Lines(batch.error_dataset());
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0]["custom_id"], "c3");
  EXPECT_EQ(errors[0]["response"]["status_code"], 400);
  EXPECT_EQ(errors[0]["response"]["body"]["error"], "no");
  for (const auto& row : caller_.ledger) EXPECT_TRUE(row.settled) << row.request_id;
  EXPECT_LE(caller_.at_once, 4);
  EXPECT_FALSE(RunNext());
}

TEST_F(BatchRunTest, ARunKilledAnywhereLosesNothingAndRepeatsOnlyWhatWasUnderWay) {
  const std::string input = Lines(9) + "not json\n" + Line("c1") + Lines(0);
  int kills = 0;
  for (int point = 1;; ++point) {
    const std::string id = fmt::format("batch-1{:04}", point);
    const BatchName name = Make(input, id);
    caller_.started.clear();
    caller_.ledger.clear();
    fate_.KillAt(point);
    bool killed = false;
    try {
      RunNext();
    } catch (const Killed&) {
      killed = true;
    }
    fate_.KillAt(0);
    if (!killed) break;
    ++kills;
    const std::multiset<std::string> before(caller_.started.begin(), caller_.started.end());
    // Another replica, once the lease is over.
    clock_.Advance(options_.lease + absl::Seconds(1));
    while (!Get(name).has_end_time()) ASSERT_TRUE(RunNext()) << point;

    const v1::Batch batch = Get(name);
    EXPECT_EQ(batch.state(), v1::Batch::COMPLETED) << point;
    EXPECT_EQ(batch.total_lines(), 11) << point;
    EXPECT_EQ(batch.completed_lines(), 9) << point;
    EXPECT_EQ(batch.failed_lines(), 2) << point;
    const auto output = files_.Lines(batch.output_dataset());
    ASSERT_THAT(output, SizeIs(9)) << point;
    for (int i = 0; i < 9; ++i) {
      EXPECT_EQ(output[i]["custom_id"], fmt::format("c{}", i + 1)) << point;
      EXPECT_EQ(output[i]["response"]["body"]["n"], i + 1) << point;
    }
    EXPECT_THAT(files_.Lines(batch.error_dataset()), SizeIs(2)) << point;

    const std::multiset<std::string> all(caller_.started.begin(), caller_.started.end());
    size_t repeated = 0;
    for (int i = 1; i <= 9; ++i) {
      const std::string line = fmt::format("{}-{}", id, i);
      ASSERT_LE(all.count(line), 2u) << point;
      repeated += all.count(line) - 1;
      // One row, or two of which the first says that its answer was lost.
      const int rows = caller_.Booked(line);
      EXPECT_TRUE(rows == 1 || rows == 2) << point << " " << line;
      if (rows == 2) {
        const auto first = std::find_if(caller_.ledger.begin(), caller_.ledger.end(),
                                        [&](const auto& row) { return row.request_id == line; });
        EXPECT_FALSE(first->settled) << point << " " << line;
      }
    }
    EXPECT_LE(repeated, options_.window) << point;
  }
  EXPECT_GT(kills, 50);
}

TEST_F(BatchRunTest, ARunnerThatLostItsLeaseWritesNothing) {
  const BatchName name = Make(Lines(3));
  const absl::Time now = clock_.Now();
  auto slow = store_.Take(now, now + options_.lease).value();
  ASSERT_TRUE(slow.has_value());
  EXPECT_FALSE(store_.Take(now, now + options_.lease).value().has_value());
  clock_.Advance(options_.lease + absl::Seconds(1));
  auto fast = store_.Take(clock_.Now(), clock_.Now() + options_.lease).value();
  ASSERT_TRUE(fast.has_value());
  EXPECT_EQ(fast->lease.fence, slow->lease.fence + 1);

  BatchRun stale(parts_, *slow);
  EXPECT_TRUE(absl::IsAborted(stale.Run()));
  EXPECT_EQ(Get(name).state(), v1::Batch::VALIDATING);
  EXPECT_EQ(Get(name).total_lines(), 0);
  for (const auto& late :
       {store_.Store(slow->lease, {{.line = 1, .failed = false, .json = "{}"}}, {}, now).status(),
        store_.End(slow->lease, [](v1::Batch&) {}).status(), store_.Release(slow->lease, now, 0)}) {
    EXPECT_TRUE(absl::IsAborted(late)) << late;
  }
  EXPECT_THAT(store_.Begun("batch-1", 1).value(), IsEmpty());

  BatchRun run(parts_, *fast);
  EXPECT_TRUE(run.Run().ok());
  EXPECT_EQ(Get(name).completed_lines(), 3);
}

TEST_F(BatchRunTest, TellsWhatIsWrongWithALineInTheErrors) {
  const std::string other = R"({"custom_id":"x","method":"POST","url":"/v1/embeddings","body":{}})";
  const std::string long_id(600, 'a');
  struct {
    std::string line;
    const char* message;
  } const cases[] = {
      {"nonsense\n", "byte"},
      {"[1]\n", "no JSON object"},
      {"{}\n", "custom_id: must be a text"},
      {Line(""), "custom_id: must be 1 to"},
      {Line(long_id), "custom_id: must be 1 to"},
      {R"({"custom_id":"g","method":"GET","url":"/v2/models/digits/infer","body":{}})"
       "\n",
       "method: must be POST"},
      {other + "\n", "url: must be the batch's endpoint"},
      {Line("b", "7"), "body: must be an object"},
      {R"({"custom_id":"d","custom_id":"d"})"
       "\n",
       "custom_id"},
      {Line("good") + Line("good"), "custom_id: is that of a line before"},
      {R"({"custom_id":"e","method":"POST","url":"/v2/models/digits/infer","body":{},"x":1})"
       "\n",
       "x: is no field of a line"},
  };
  std::string input = "\n  \n";
  for (const auto& each : cases) input += each.line;
  const BatchName name = Make(input + std::string(kMaxBatchLineBytes + 1, ' ') + "x\r\n" +
                              Line("last").substr(0, Line("last").size() - 1));
  RunAll();
  const v1::Batch batch = Get(name);
  EXPECT_EQ(batch.state(), v1::Batch::COMPLETED);
  EXPECT_EQ(batch.completed_lines(), 2);  // "good" and "last", which ends without a line end
  const auto errors = files_.Lines(batch.error_dataset());
  ASSERT_THAT(errors, SizeIs(std::size(cases) + 1));
  for (size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_THAT(errors[i]["error"]["message"].get<std::string>(), HasSubstr(cases[i].message));
    EXPECT_EQ(errors[i]["response"], nullptr);
  }
  EXPECT_THAT(errors.back()["error"]["message"].get<std::string>(), HasSubstr("longer than"));
  EXPECT_EQ(errors[9]["error"]["code"], "duplicate_custom_id");
}

TEST_F(BatchRunTest, FailsWhereTheFileOrTheModelIsNoGood) {
  const auto code_of = [&](const BatchName& name) {
    RunAll();
    const v1::Batch batch = Get(name);
    EXPECT_EQ(batch.state(), v1::Batch::FAILED);
    EXPECT_TRUE(batch.has_end_time());
    return batch.errors_size() == 1 ? batch.errors(0).code() : "";
  };
  EXPECT_EQ(code_of(Make("\n\n", "batch-1")), "empty_file");
  std::string many;
  for (int i = 0; i <= kMaxBatchLines; ++i) many += "{}\n";
  EXPECT_EQ(code_of(Make(many, "batch-2")), "invalid_input_file");
  const BatchName gone = Make("", "batch-3");
  files_.inputs.clear();
  EXPECT_TRUE(RunNext());
  EXPECT_EQ(Get(gone).errors(0).code(), "invalid_input_file");
  const BatchName no_model = Make(Lines(1), "batch-4");
  caller_.check = NotFound("model digits");
  EXPECT_TRUE(RunNext());
  EXPECT_EQ(Get(no_model).errors(0).code(), "model_not_found");
}

TEST_F(BatchRunTest, ALineThatFindsNoRoomWaitsAndItsBatchToo) {
  int calls = 0;
  caller_.answer = [&](const std::string& body) {
    if (++calls > 3 && calls <= 8) return Answer{.retry = Answer::Retry::kRefused};
    return Answer{.http_code = 200, .body = body};
  };
  const BatchName name = Make(Lines(6));
  EXPECT_TRUE(RunNext());
  EXPECT_EQ(Get(name).state(), v1::Batch::IN_PROGRESS);
  EXPECT_EQ(Get(name).completed_lines(), 3);
  EXPECT_FALSE(RunNext()) << "it must not be tried again at once";
  clock_.Advance(options_.first_pause);
  EXPECT_TRUE(RunNext());
  EXPECT_GT(files_.opened_at.back(), 0) << "lines that are done are not read again";
  // Nothing went on: the next pause is longer.
  clock_.Advance(options_.first_pause);
  EXPECT_FALSE(RunNext());
  RunAll();
  EXPECT_EQ(Get(name).state(), v1::Batch::COMPLETED);
  EXPECT_EQ(Get(name).completed_lines(), 6);
  EXPECT_EQ(caller_.ledger.size(), 6u);
}

TEST_F(BatchRunTest, ALineThatLosesItsWorkerIsTriedAloneAndThenGivenUp) {
  caller_.answer = [&](const std::string& body) {
    if (body == R"({"n":2})") {
      return Answer{
          .http_code = 503, .body = R"({"error":"gone"})", .retry = Answer::Retry::kBroken};
    }
    return Answer{.http_code = 200, .body = body};
  };
  const BatchName name = Make(Lines(6));
  RunAll();
  EXPECT_EQ(Get(name).state(), v1::Batch::COMPLETED);
  EXPECT_EQ(Get(name).completed_lines(), 5);
  EXPECT_EQ(std::count(caller_.started.begin(), caller_.started.end(), "batch-1-2"),
            options_.max_attempts);
  EXPECT_EQ(files_.Lines(Get(name).error_dataset())[0]["response"]["status_code"], 503);
}

TEST_F(BatchRunTest, KeepsWhatWasAnsweredWhenItsTimeIsOver) {
  caller_.answer = [&](const std::string& body) {
    if (body != R"({"n":1})") return Answer{.retry = Answer::Retry::kRefused};
    return Answer{.http_code = 200, .body = body};
  };
  const BatchName name = Make(Lines(700));
  EXPECT_TRUE(RunNext());
  clock_.Advance(absl::Hours(24));
  RunAll();
  const v1::Batch batch = Get(name);
  EXPECT_EQ(batch.state(), v1::Batch::EXPIRED);
  EXPECT_EQ(batch.completed_lines(), 1);
  EXPECT_EQ(batch.failed_lines(), 699);
  const auto errors = files_.Lines(batch.error_dataset());
  EXPECT_EQ(errors[0]["error"]["code"], "batch_expired");
  EXPECT_EQ(errors[0]["custom_id"], "c2");
  EXPECT_THAT(files_.Lines(batch.output_dataset()), SizeIs(1));
}

TEST_F(BatchRunTest, OneWhoseInputNeverCameExpires) {
  const BatchName name = Make(Lines(2));
  files_.trouble = absl::UnavailableError("the registry is away");
  EXPECT_TRUE(RunNext());
  EXPECT_EQ(Get(name).state(), v1::Batch::VALIDATING);
  clock_.Advance(absl::Hours(25));
  RunAll();
  EXPECT_EQ(Get(name).state(), v1::Batch::EXPIRED);
}

TEST_F(BatchRunTest, BeginsNoLineOnceItIsCancelled) {
  const BatchName name = Make(Lines(20));
  int calls = 0;
  caller_.answer = [&](const std::string& body) {
    if (++calls == 2) {
      EXPECT_TRUE(store_.Cancel(name, clock_.Now()).ok());
    }
    return Answer{.http_code = 200, .body = body};
  };
  RunAll();
  const v1::Batch batch = Get(name);
  EXPECT_EQ(batch.state(), v1::Batch::CANCELLED);
  EXPECT_TRUE(batch.has_cancel_time());
  EXPECT_EQ(batch.completed_lines(), 4) << "those of the window";
  EXPECT_THAT(files_.Lines(batch.output_dataset()), SizeIs(4));
  // What has ended stays as it is.
  EXPECT_EQ(store_.Cancel(name, clock_.Now())->state(), v1::Batch::CANCELLED);
}

TEST_F(BatchRunTest, OneThatWaitsIsCancelledAtOnce) {
  caller_.answer = [](const std::string&) { return Answer{.retry = Answer::Retry::kRefused}; };
  const BatchName name = Make(Lines(2));
  EXPECT_TRUE(RunNext());
  EXPECT_FALSE(RunNext());
  EXPECT_EQ(store_.Cancel(name, clock_.Now())->state(), v1::Batch::CANCELLING);
  EXPECT_TRUE(RunNext());
  EXPECT_EQ(Get(name).state(), v1::Batch::CANCELLED);
  EXPECT_EQ(Get(name).output_dataset(), "");
}

TEST_F(BatchRunTest, CallsNothingMoreByAKeyThatIsGone) {
  int calls = 0;
  caller_.answer = [&](const std::string& body) {
    if (++calls == 4) caller_.check = absl::UnauthenticatedError("the API key was revoked");
    return Answer{.http_code = 200, .body = body};
  };
  const BatchName name = Make(Lines(10));
  RunAll();
  const v1::Batch batch = Get(name);
  EXPECT_EQ(batch.state(), v1::Batch::FAILED);
  EXPECT_EQ(batch.completed_lines(), 4);
  EXPECT_EQ(batch.errors(0).code(), "key_not_usable");
  EXPECT_EQ(files_.Lines(batch.error_dataset())[0]["error"]["code"], "key_not_usable");
}

TEST_F(BatchRunTest, BatchesTakeTurns) {
  options_.turn = absl::Seconds(10);
  caller_.answer = [&](const std::string& body) {
    clock_.Advance(absl::Seconds(3));
    return Answer{.http_code = 200, .body = body};
  };
  const BatchName first = Make(Lines(30), "batch-1");
  clock_.Advance(absl::Seconds(1));
  const BatchName second = Make(Lines(30), "batch-2");
  EXPECT_TRUE(RunNext());
  EXPECT_GT(Get(first).completed_lines(), 0);
  EXPECT_EQ(Get(first).state(), v1::Batch::IN_PROGRESS);
  EXPECT_TRUE(RunNext());
  EXPECT_GT(Get(second).completed_lines(), 0);
  // And a tenant has one running at a time.
  const absl::Time now = clock_.Now();
  EXPECT_TRUE(store_.Take(now, now + options_.lease).value().has_value());
  EXPECT_FALSE(store_.Take(now, now + options_.lease).value().has_value());
  Make(Lines(1), "batch-3", "globex");
  EXPECT_EQ(store_.Take(now, now + options_.lease).value()->lease.name.tenant, "globex");
}

TEST_F(BatchRunTest, LeavesItsBatchToOthersWhenItIsStopped) {
  const BatchName name = Make(Lines(20));
  auto work = store_.Take(clock_.Now(), clock_.Now() + options_.lease).value();
  BatchRun run(parts_, *work);
  caller_.answer = [&](const std::string& body) {
    run.Stop();
    return Answer{.http_code = 200, .body = body};
  };
  EXPECT_TRUE(run.Run().ok());
  EXPECT_FALSE(Get(name).has_end_time());
  caller_.answer = [](const std::string& body) { return Answer{.http_code = 200, .body = body}; };
  EXPECT_TRUE(RunNext()) << "at once, without waiting for the lease";
  EXPECT_EQ(Get(name).completed_lines(), 20);
}

TEST_F(BatchRunTest, ATenantHasOnlySoManyOpenOnes) {
  Make(Lines(1), "batch-1");
  v1::Batch batch = Get({"acme", "batch-1"});
  EXPECT_TRUE(
      absl::IsFailedPrecondition(store_.Create({"acme", "batch-2"}, batch, 1, clock_.Now())));
  EXPECT_TRUE(store_.Create({"globex", "batch-2"}, batch, 1, clock_.Now()).ok());
  RunAll();
  EXPECT_TRUE(store_.Create({"acme", "batch-2"}, batch, 1, clock_.Now()).ok());
  EXPECT_THAT(store_.List("acme", "", 10).value(), SizeIs(2));
  EXPECT_THAT(store_.List("acme", "batch-2", 10).value(), SizeIs(1));
}

TEST(BatchInputTest, ReadsResultsInPiecesOfManyAndOfLong) {
  // Above: pieces of 37 bytes. Here: one line at a time from where another run stopped.
  class Whole final : public BatchFiles::Source {
   public:
    absl::StatusOr<std::string> Read() override { return std::exchange(text_, ""); }

   private:
    std::string text_ = "b\r\n\nc";
  };
  LineReader reader(std::make_unique<Whole>(), {.line = 5, .offset_bytes = 100});
  const auto first = reader.Next().value();
  EXPECT_EQ(first->number, 5);
  EXPECT_EQ(first->text, "b");
  EXPECT_EQ(reader.next().offset_bytes, 103);
  const auto second = reader.Next().value();
  EXPECT_EQ(second->number, 7);
  EXPECT_EQ(second->begin.offset_bytes, 104);
  EXPECT_EQ(second->text, "c");
  EXPECT_FALSE(reader.Next().value().has_value());
}

}  // namespace
}  // namespace slipway::gateway
