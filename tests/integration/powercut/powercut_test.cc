// What a power cut leaves of our files: each subject writes under the layer that records its system
// calls (tests/support/powercut), and is then looked at as 100 cuts would have left it. And with
// each of our syncs taken out in turn something is lost: a sync that no test misses is none.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/blob/file_blob_store.h"
#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/process/local_process_launcher.h"
#include "common/sql/database.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/gateway/schema.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/ledger.h"
#include "services/gateway/usage/ledger_feed.h"
#include "services/gateway/usage/recorder.h"
#include "slipway/gateway/v1/usage.pb.h"
#include "tests/integration/powercut/workload.h"
#include "tests/support/places.h"
#include "tests/support/powercut/disk.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;
using powercut::Cut;
using powercut::Survival;
using powercut::SyncCall;

constexpr int kCuts = 100;

/// What was acknowledged: the numbers or names by verb.
class Acknowledged {
 public:
  explicit Acknowledged(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      const size_t space = line.find(' ');
      by_verb_[line.substr(0, space)].push_back(line.substr(space + 1));
    }
  }
  const std::vector<std::string>& Of(const std::string& verb) const {
    static const std::vector<std::string> none;
    const auto found = by_verb_.find(verb);
    return found == by_verb_.end() ? none : found->second;
  }
  /// The last number; -1 where there is none.
  int Last(const std::string& verb) const {
    return Of(verb).empty() ? -1 : std::stoi(Of(verb).back());
  }

 private:
  std::map<std::string, std::vector<std::string>> by_verb_;
};

// ---- What must be there after a cut. Each returns what is wrong, or "". -----------------------

std::string CheckFiles(const std::string& folder, const Acknowledged& acknowledged) {
  const auto settings = ReadFile(folder + "/settings");
  const int last = acknowledged.Last("settings");
  if (!settings.ok()) return last < 0 ? "" : "the settings are lost";
  int version = 0;
  while (version < 1000 && ContentOf(version) != *settings) ++version;
  if (version == 1000) return "the settings are torn";
  if (version < last) return fmt::format("the settings are {} again, not {}", version, last);
  for (const std::string& number : acknowledged.Of("file")) {
    const auto content = ReadFile(folder + "/file-" + number);
    if (!content.ok()) return "file " + number + " is lost";
    if (*content != ContentOf(std::stoi(number))) return "file " + number + " is torn";
  }
  return "";
}

std::string CheckBlobs(const std::string& folder, const Acknowledged& acknowledged) {
  const auto store = FileBlobStore::Open(folder + "/blobs");
  if (!store.ok()) return store.status().ToString();
  const auto& deleting = acknowledged.Of("deleting");
  const auto& deleted = acknowledged.Of("deleted");
  const auto has = [](const std::vector<std::string>& list, const std::string& one) {
    return std::find(list.begin(), list.end(), one) != list.end();
  };
  for (const std::string& blob : acknowledged.Of("stored")) {
    const size_t space = blob.find(' ');
    const auto reader = (*store)->OpenReader(blob.substr(0, space),
                                             *Digest::Parse("digest", blob.substr(space + 1)), 0);
    if (has(deleted, blob) && reader.ok()) return blob + " is there again";
    if (has(deleting, blob)) continue;
    if (!reader.ok()) return blob + " is lost";
    if (const auto bytes = (*reader)->Read(1 << 20); !bytes.ok()) return bytes.status().ToString();
  }
  // Also what was not acknowledged is whole, or not there.
  for (const auto& file : fs::recursive_directory_iterator(folder + "/blobs")) {
    const std::string name = file.path().filename();
    if (name.size() == 64 && Sha256Hex(*ReadFile(file.path().string())) != name) {
      return name + " is torn";
    }
  }
  return "";
}

std::string Numbers(sql::Database& database, const std::string& query, std::set<int64_t>& out) {
  const absl::Status status = database.Read([&](sql::Transaction& tx) {
    out.clear();
    return tx.ForEach(query, {}, [&](const sql::Row& row) {
      out.insert(row.GetInt(0));
      return absl::OkStatus();
    });
  });
  return status.ok() ? "" : status.ToString();
}

std::string CheckDatabase(const std::string& path, int last, bool none_else) {
  const auto database = sql::Database::Open("sqlite:" + path);
  if (!database.ok()) return database.status().ToString();
  std::string integrity;
  const absl::Status checked = (*database)->Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto row, tx.QueryOne("PRAGMA integrity_check"));
    integrity = row->GetString(0);
    return absl::OkStatus();
  });
  if (!checked.ok()) return checked.ToString();
  if (integrity != "ok") return integrity;
  std::set<int64_t> tables;
  if (auto wrong =
          Numbers(**database, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'b'", tables);
      !wrong.empty()) {
    return wrong;
  }
  if (tables.contains(0)) return last < 0 ? "" : "the tables are lost";
  std::set<int64_t> a;
  std::set<int64_t> b;
  for (auto& [table, rows] : {std::pair("a", &a), std::pair("b", &b)}) {
    if (auto wrong = Numbers(**database, fmt::format("SELECT id FROM {}", table), *rows);
        !wrong.empty()) {
      return wrong;
    }
  }
  const auto rows = static_cast<int64_t>(b.size());
  if (rows <= last) return fmt::format("row {} is lost", last);
  if (none_else && rows > last + 2) return "there are rows that nobody wrote";
  for (int64_t i = 0; i < rows; ++i) {
    if (!b.contains(i)) return fmt::format("row {} is lost", i);
    if (a.contains(i) != (i + 7 >= rows)) return fmt::format("row {} was half written", i);
  }
  return "";
}

std::string CheckSql(const std::string& folder, const Acknowledged& acknowledged) {
  if (auto wrong =
          CheckDatabase(folder + "/power.db", acknowledged.Last("row"), /*none_else=*/true);
      !wrong.empty()) {
    return wrong;
  }
  const std::string copy = folder + "/power.db.bak-1";
  const bool migrated = !acknowledged.Of("migrated").empty();
  if (!fs::exists(copy)) return migrated ? "the copy is lost" : "";
  const std::string wrong = CheckDatabase(copy, acknowledged.Last("migrated"), false);
  return wrong.empty() ? "" : "the copy: " + wrong;
}

std::string CheckJournal(const std::string& folder, const Acknowledged& acknowledged) {
  const auto journal = gateway::Journal::Open(JournalAt(folder));
  if (!journal.ok()) return journal.status().ToString();
  if ((*journal)->id().size() != 16) return "the journal's id is torn";
  std::vector<std::string> records;
  gateway::JournalPosition at;
  for (;;) {
    const auto next = (*journal)->Read(at, 1 << 20, [&](std::string_view record) {
      records.emplace_back(record);
      return absl::OkStatus();
    });
    if (!next.ok()) return next.status().ToString();
    if (*next == at) break;
    at = *next;
  }
  if (static_cast<int>(records.size()) <= acknowledged.Last("record")) {
    return fmt::format("record {} is lost", acknowledged.Last("record"));
  }
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i] != ContentOf(static_cast<int>(i)).substr(0, 500)) {
      return fmt::format("record {} is another", i);
    }
  }
  return "";
}

// Two more lives of the gateway, of which each records some calls more.
std::string LiveOn(const std::string& folder, int calls) {
  for (int life = 0; life < 2; ++life) {
    const auto database = sql::Database::Open("sqlite:" + folder + "/gateway.db");
    if (!database.ok()) return database.status().ToString();
    if (auto status = (*database)->Migrate(gateway::Schema()); !status.ok()) {
      return status.ToString();
    }
    const auto journal = gateway::Journal::Open(UsageJournalAt(folder));
    if (!journal.ok()) return journal.status().ToString();
    gateway::Recorder recorder(**journal, Clock::Real());
    gateway::AuditLog audit(**database, {});
    gateway::Ledger ledger(**database, audit);
    gateway::LedgerFeed feed(**journal, ledger, absl::Milliseconds(1), Clock::Real());
    feed.Start();
    for (int i = 0; i < calls; ++i) {
      auto ticket = recorder.Admit();
      if (!ticket.ok()) return ticket.status().ToString();
      gateway::v1::UsageRecord record;
      record.set_tenant("acme");
      record.set_kind("inference");
      record.set_quantity(1);
      record.set_request_id(fmt::format("life-{}-{}", life, i));
      if (auto status = recorder.Record(*ticket, record); !status.ok()) return status.ToString();
      recorder.Settle(*std::move(ticket), 200);
    }
    if (auto status = feed.Flush(absl::Minutes(1)); !status.ok()) return status.ToString();
  }
  return "";
}

struct Row {
  int count = 0;
  bool broken = false;
};

std::string ReadRows(const std::string& folder, std::map<std::string, Row>& rows) {
  const auto database = sql::Database::Open("sqlite:" + folder + "/gateway.db");
  if (!database.ok()) return database.status().ToString();
  gateway::AuditLog audit(**database, {});
  const auto records = gateway::Ledger(**database, audit).ListUsage({.limit = 1000});
  if (!records.ok()) return records.status().ToString();
  for (const auto& record : *records) {
    Row& row = rows[record.request_id()];
    ++row.count;
    row.broken |= record.broken();
  }
  return "";
}

// Each call that was booked has one row, and so has each call of the lives after the cut.
std::string CheckUsageRows(const std::string& folder, const std::vector<std::string>& booked,
                           const std::vector<std::string>& answered) {
  constexpr int kMore = 6;
  if (auto wrong = LiveOn(folder, kMore); !wrong.empty()) return wrong;
  std::map<std::string, Row> rows;
  if (auto wrong = ReadRows(folder, rows); !wrong.empty()) return wrong;
  for (const auto& [call, row] : rows) {
    if (row.count != 1) return fmt::format("{} has {} rows", call, row.count);
  }
  for (const std::string& number : booked) {
    if (!rows.contains("call-" + number)) return "call " + number + " has no row";
  }
  for (const std::string& number : answered) {
    if (rows["call-" + number].broken) return "call " + number + " is marked";
  }
  for (const auto& [call, row] : rows) {
    const bool known =
        std::find(answered.begin(), answered.end(), call.substr(5)) != answered.end();
    // The last one may have been answered without being acknowledged yet.
    if (call.starts_with("call-") && !answered.empty() && !known && !row.broken &&
        std::stoi(call.substr(5)) > std::stoi(answered.back()) + 1) {
      return call + " is not marked";
    }
  }
  for (int life = 0; life < 2; ++life) {
    for (int i = 0; i < kMore; ++i) {
      const auto row = rows.find(fmt::format("life-{}-{}", life, i));
      if (row == rows.end()) return "a call after the cut has no row";
      if (row->second.broken) return "a call after the cut is marked";
    }
  }
  return "";
}

std::string CheckUsage(const std::string& folder, const Acknowledged& acknowledged) {
  return CheckUsageRows(folder, acknowledged.Of("row"), {});
}

std::string CheckUsageAfterAKill(const std::string& folder, const Acknowledged& acknowledged) {
  return CheckUsageRows(folder, acknowledged.Of("recorded"), acknowledged.Of("answered"));
}

// ---- Subjects ---------------------------------------------------------------------------------

/// A kind of sync: what it is for, and which calls are of it.
struct Kind {
  std::string name;
  std::function<bool(const SyncCall&)> is;
  /// Why nothing needs to be lost without it; empty: something is.
  std::string otherwise = "";
};

struct Subject {
  std::string workload;
  std::string prepare;  // a workload before the recording; empty: none
  std::function<std::string(const std::string&, const Acknowledged&)> check;
  std::vector<Kind> kinds;
};

bool Starts(const SyncCall& sync, const char* prefix) { return sync.path.starts_with(prefix); }
bool Ends(const SyncCall& sync, const char* suffix) { return sync.path.ends_with(suffix); }
int Depth(const SyncCall& sync) {
  return static_cast<int>(std::count(sync.path.begin(), sync.path.end(), '/'));
}

const std::vector<Subject>& Subjects() {
  static const auto* const subjects = new std::vector<Subject>{
      {"files",
       "",
       CheckFiles,
       {{"the bytes of an AtomicFile", [](const SyncCall& sync) { return !sync.directory; }},
        {"the name of an AtomicFile", [](const SyncCall& sync) { return sync.directory; }}}},
      {"blobs",
       "",
       CheckBlobs,
       {{"a blob's bytes", [](const SyncCall& sync) { return !sync.directory; }},
        {"a blob's name",
         [](const SyncCall& sync) { return sync.directory && Depth(sync) == 2 && !sync.removes; }},
        {"the end of a blob's name",
         [](const SyncCall& sync) { return sync.directory && Depth(sync) == 2 && sync.removes; }},
        {"a blob's folder",
         [](const SyncCall& sync) { return sync.directory && Depth(sync) == 1; }},
        {"a tenant's folder", [](const SyncCall& sync) { return sync.path == "blobs"; }},
        {"the store's folder", [](const SyncCall& sync) { return sync.path.empty(); }}}},
      {"sql",
       "",
       CheckSql,
       {{"SQLite's log", [](const SyncCall& sync) { return Ends(sync, ".db-wal"); }},
        {"SQLite's pages", [](const SyncCall& sync) { return Ends(sync, ".db"); }},
        {"the copy before a migration", [](const SyncCall& sync) { return Ends(sync, ".tmp"); }},
        {"SQLite's rollback journal", [](const SyncCall& sync) { return Ends(sync, "-journal"); },
         "it guards the switch to the log, before anything is written"},
        {"the folder", [](const SyncCall& sync) { return sync.directory; }}}},
      {"journal",
       "",
       CheckJournal,
       {{"records",
         [](const SyncCall& sync) { return Starts(sync, "journal/segment") && sync.data_only; }},
        {"zeros",
         [](const SyncCall& sync) { return Starts(sync, "journal/segment") && !sync.data_only; },
         "it has the file system take the space at the start"},
        {"the segments' names", [](const SyncCall& sync) { return sync.path == "journal"; }},
        {"the journal's folder", [](const SyncCall& sync) { return sync.path.empty(); }},
        {"the journal's id", [](const SyncCall& sync) { return Starts(sync, "journal/.id"); }}}},
      {"usage",
       "prepare-usage",
       CheckUsage,
       {{"records",
         [](const SyncCall& sync) { return Starts(sync, "journal/segment") && sync.data_only; }},
        {"SQLite's log", [](const SyncCall& sync) { return Ends(sync, ".db-wal"); }},
        {"SQLite's pages", [](const SyncCall& sync) { return Ends(sync, ".db"); },
         "the log is too small to be begun anew"},
        {"the folder", [](const SyncCall& sync) { return sync.directory; },
         "all names were there before"}}},
  };
  return *subjects;
}

// One run of a subject, recorded.
class Recording {
 public:
  explicit Recording(const Subject& subject) : subject_(subject) {
    const std::string root = fs::canonical(folder_.path()) / "root";
    const std::string tape = folder_ / "tape";
    fs::create_directory(root);
    if (!subject.prepare.empty()) Run({TestProgram("slipway-power-writer"), subject.prepare, root});
    fs::remove(fs::path(root) / powercut::kAcknowledged);
    fs::copy(root, base(), fs::copy_options::recursive);
    Run({TestProgram("slipway-power-writer"), subject.workload, root},
        {{"LD_PRELOAD", TestProgram("slipway-powercut.so")},
         // The layer comes before AddressSanitizer's library, which does not mind.
         {"ASAN_OPTIONS", "verify_asan_link_order=0"},
         {powercut::kRootVariable, root},
         {powercut::kTapeVariable, tape}});
    tape_ = powercut::Tape::Read(tape, root).value();
    for (size_t i = 0; i < tape_.entries().size(); ++i) {
      if (tape_.entries()[i].path == powercut::kAcknowledged) acknowledgements_.push_back(i + 1);
    }
  }

  /// Where a cut is most likely to show something: half of them right after an acknowledgement, the
  /// others anywhere.
  Cut CutOf(int number) const {
    Cut cut;
    cut.seed = static_cast<uint64_t>(number) + 1;
    const auto pick = [&](size_t size) { return size * number / kCuts; };
    cut.at = number % 2 == 0 ? acknowledgements_[pick(acknowledgements_.size())]
                             : 1 + pick(tape_.entries().size());
    cut.survival = number % 3 == 0 ? Survival::kNothing : Survival::kSome;
    return cut;
  }

  /// What is wrong after the cut, or "".
  std::string Check(const Cut& cut, decltype(Subject::check) check = nullptr) {
    const std::string into = folder_ / fmt::format("cut-{}", restored_++);
    EXPECT_TRUE(powercut::Restore(tape_, cut, base(), into).ok());
    if (check == nullptr) check = subject_.check;
    std::string wrong = check(into, Acknowledged(tape_.Acknowledged(cut.at)));
    fs::remove_all(into);
    return wrong;
  }

  const powercut::Tape& tape() const { return tape_; }
  std::string base() const { return folder_ / "base"; }

 private:
  static void Run(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment = {}) {
    LocalProcessLauncher launcher;
    ProcessSpec spec;
    spec.program = command[0];
    spec.args.assign(command.begin() + 1, command.end());
    spec.env = environment;
    const auto process = launcher.Launch(spec);
    ASSERT_TRUE(process.ok()) << process.status();
    const auto exit = (*process)->Wait(absl::Minutes(5));
    ASSERT_TRUE(exit.ok() && exit->ok()) << (exit.ok() ? exit->ToString() : "it did not end");
  }

  const Subject& subject_;
  const TempDir folder_;
  powercut::Tape tape_;
  std::vector<size_t> acknowledgements_;
  int restored_ = 0;
};

class PowerCutTest : public ::testing::TestWithParam<Subject> {};

TEST_P(PowerCutTest, NothingThatWasAcknowledgedIsLost) {
  Recording recording(GetParam());
  for (int i = 0; i < kCuts; ++i) {
    const Cut cut = recording.CutOf(i);
    ASSERT_EQ(recording.Check(cut), "")
        << "cut " << i << " after call " << cut.at << " of " << recording.tape().entries().size();
  }
}

TEST_P(PowerCutTest, EachSyncIsMissedWhereItIsLeftOut) {
  Recording recording(GetParam());
  for (const Kind& kind : GetParam().kinds) {
    if (!kind.otherwise.empty()) continue;
    std::string wrong;
    // The later, the more there is to lose.
    for (int i = kCuts - 1; i >= 0 && wrong.empty(); --i) {
      Cut cut = recording.CutOf(i);
      cut.ignore = kind.is;
      wrong = recording.Check(cut);
    }
    EXPECT_NE(wrong, "") << "nothing misses " << kind.name;
  }
}

// So that a new sync gets a line above.
TEST_P(PowerCutTest, EachSyncIsOfOneKind) {
  const Recording recording(GetParam());
  std::set<std::string> unused;
  for (const Kind& kind : GetParam().kinds) unused.insert(kind.name);
  for (const SyncCall& sync : powercut::SyncsOf(recording.tape(), recording.base())) {
    int kinds = 0;
    for (const Kind& kind : GetParam().kinds) {
      if (!kind.is(sync)) continue;
      ++kinds;
      unused.erase(kind.name);
    }
    EXPECT_EQ(kinds, 1) << "'" << sync.path << "'" << (sync.directory ? ", a directory" : "");
  }
  EXPECT_THAT(unused, ::testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, PowerCutTest, ::testing::ValuesIn(Subjects()),
                         [](const auto& subject) { return subject.param.workload; });

// Between any two system calls of a gateway that books: reserve, append, settle, read, commit,
// release.
TEST(KillTest, AtEverySystemCallLeavesOneRowForEachCallAndMarksWhatItBroke) {
  const auto usage = std::find_if(Subjects().begin(), Subjects().end(),
                                  [](const Subject& each) { return each.workload == "usage"; });
  Recording recording(*usage);
  const size_t calls = recording.tape().entries().size();
  const size_t step = std::max<size_t>(1, calls / 100);
  for (size_t at = 1; at <= calls; at += step) {
    ASSERT_EQ(recording.Check({.at = at, .survival = Survival::kAll}, CheckUsageAfterAKill), "")
        << "killed after call " << at << " of " << calls;
  }
}

}  // namespace
}  // namespace slipway
