#include "tests/support/powercut/disk.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string_view>
#include <utility>

#include "common/files/files.h"
#include "fmt/format.h"

namespace slipway::powercut {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSector = 512;

struct Node;
using NodePtr = std::shared_ptr<Node>;

// To a file: bytes at an offset, or a new size. To a directory: names that mean other nodes, or
// none, from then on; all of them or none.
struct Change {
  size_t entry = 0;  // of the tape
  bool truncates = false;
  int64_t offset = 0;
  std::string_view data = {};
  std::vector<std::pair<std::string, NodePtr>> names = {};
};

struct Node {
  bool directory = false;
  // As it is on the disk.
  std::string bytes;
  std::map<std::string, NodePtr> entries;
  // What came since, in order.
  std::vector<Change> pending;
  // A directory's entries as programs see them.
  std::map<std::string, NodePtr> seen;
};

void WriteInto(std::string& bytes, size_t offset, std::string_view data) {
  if (bytes.size() < offset + data.size()) bytes.resize(offset + data.size(), '\0');
  std::memcpy(bytes.data() + offset, data.data(), data.size());
}

void Apply(Node& node, const Change& change) {
  for (const auto& [name, to] : change.names) {
    if (to == nullptr) {
      node.entries.erase(name);
    } else {
      node.entries[name] = to;
    }
  }
  if (change.truncates) {
    node.bytes.resize(static_cast<size_t>(change.offset), '\0');
  } else if (!change.data.empty()) {
    WriteInto(node.bytes, static_cast<size_t>(change.offset), change.data);
  }
}

NodePtr Load(const fs::path& path) {
  auto node = std::make_shared<Node>();
  node->directory = fs::is_directory(path);
  if (!node->directory) {
    node->bytes = *ReadFile(path.string());
    return node;
  }
  for (const auto& each : fs::directory_iterator(path)) {
    node->entries[each.path().filename().string()] = Load(each.path());
  }
  node->seen = node->entries;
  return node;
}

class Disk {
 public:
  explicit Disk(const fs::path& base) : root_(Load(base)) {}

  void Do(const Tape& tape, size_t at, const std::function<bool(const SyncCall&)>& ignore) {
    const Tape::Entry& entry = tape.entries()[at];
    switch (entry.frame.operation) {
      case Operation::kCreate:
      case Operation::kMakeDirectory: {
        auto made = std::make_shared<Node>();
        made->directory = entry.frame.operation == Operation::kMakeDirectory;
        by_inode_[entry.frame.inode] = made;
        return Rename({{entry.path, made}}, at);
      }
      case Operation::kWrite:
        return NodeOf(entry)->pending.push_back(
            {.entry = at, .offset = entry.frame.offset, .data = entry.data});
      case Operation::kTruncate:
        return NodeOf(entry)->pending.push_back(
            {.entry = at, .truncates = true, .offset = entry.frame.offset});
      case Operation::kRename: {
        const NodePtr moved = Find(entry.path);
        return Rename({{entry.path, nullptr}, {entry.second, moved}}, at);
      }
      case Operation::kLink:
        return Rename({{entry.second, Find(entry.path)}}, at);
      case Operation::kRemove:
        return Rename({{entry.path, nullptr}}, at);
      case Operation::kSyncBegin:
        return;
      case Operation::kSyncEnd: {
        Node& node = *NodeOf(entry);
        const SyncCall sync = Describe(tape, at, node);
        syncs_.push_back(sync);
        if (ignore != nullptr && ignore(sync)) return;
        const auto end =
            std::find_if(node.pending.begin(), node.pending.end(),
                         [&](const Change& change) { return change.entry > entry.begin; });
        for (auto it = node.pending.begin(); it != end; ++it) Apply(node, *it);
        node.pending.erase(node.pending.begin(), end);
        return;
      }
    }
  }

  void Lose(const Cut& cut) {
    std::mt19937_64 random(cut.seed);
    Lose(*root_, cut.survival, random);
  }

  void Store(const fs::path& into) const { Store(*root_, into); }

  const std::vector<SyncCall>& syncs() const { return syncs_; }

 private:
  static std::pair<std::string, std::string> Split(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::pair(std::string(), path)
                                      : std::pair(path.substr(0, slash), path.substr(slash + 1));
  }

  NodePtr Find(const std::string& path) const {
    NodePtr node = root_;
    for (size_t begin = 0; begin < path.size();) {
      const size_t end = std::min(path.find('/', begin), path.size());
      const auto found = node->seen.find(path.substr(begin, end - begin));
      if (found == node->seen.end()) return nullptr;
      node = found->second;
      begin = end + 1;
    }
    return node;
  }

  // A file that was there before the recording is met by its path.
  NodePtr NodeOf(const Tape::Entry& entry) {
    NodePtr& node = by_inode_[entry.frame.inode];
    if (node == nullptr) node = Find(entry.path);
    if (node == nullptr) std::abort();
    return node;
  }

  void Rename(const std::vector<std::pair<std::string, NodePtr>>& names, size_t at) {
    std::map<NodePtr, Change> by_folder;
    for (const auto& [path, to] : names) {
      const auto [folder, name] = Split(path);
      const NodePtr parent = Find(folder);
      if (parent == nullptr) std::abort();
      Change& change = by_folder[parent];
      change.entry = at;
      change.names.emplace_back(name, to);
      if (to == nullptr) {
        parent->seen.erase(name);
      } else {
        parent->seen[name] = to;
      }
    }
    for (auto& [folder, change] : by_folder) folder->pending.push_back(std::move(change));
  }

  static SyncCall Describe(const Tape& tape, size_t at, const Node& node) {
    const Tape::Entry& entry = tape.entries()[at];
    SyncCall sync{.path = entry.path,
                  .directory = node.directory,
                  .data_only = tape.entries()[entry.begin].frame.offset != 0};
    for (const Change& change : node.pending) {
      for (const auto& [name, to] : change.names) sync.removes |= to == nullptr;
    }
    return sync;
  }

  static void Lose(Node& node, Survival survival, std::mt19937_64& random) {
    const auto chance = [&](uint64_t one_in) { return random() % one_in == 0; };
    if (survival == Survival::kAll) {
      for (const Change& change : node.pending) Apply(node, change);
    } else if (survival == Survival::kSome && node.directory) {
      const size_t kept = random() % (node.pending.size() + 1);
      for (size_t i = 0; i < kept; ++i) Apply(node, node.pending[i]);
    } else if (survival == Survival::kSome) {
      for (const Change& change : node.pending) {
        if (chance(2)) continue;
        if (change.truncates || !chance(3)) {
          Apply(node, change);
          continue;
        }
        // Sectors of the disk, not of the write.
        for (size_t i = 0; i < change.data.size();) {
          const auto place = static_cast<size_t>(change.offset) + i;
          const size_t size = std::min(kSector - place % kSector, change.data.size() - i);
          if (chance(2)) WriteInto(node.bytes, place, change.data.substr(i, size));
          i += size;
        }
      }
    }
    node.pending.clear();
    for (auto& [name, below] : node.entries) Lose(*below, survival, random);
  }

  static void Store(const Node& node, const fs::path& path) {
    if (!node.directory) {
      std::ofstream(path, std::ios::binary) << node.bytes;
      return;
    }
    fs::create_directory(path);
    for (const auto& [name, below] : node.entries) Store(*below, path / name);
  }

  const NodePtr root_;
  std::map<uint64_t, NodePtr> by_inode_;
  std::vector<SyncCall> syncs_;
};

}  // namespace

absl::StatusOr<Tape> Tape::Read(const std::string& file, const std::string& root) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file));
  Tape tape;
  std::map<int64_t, size_t> begun;  // by thread
  size_t at = 0;
  const auto take = [&](size_t size) {
    std::string text = bytes.substr(at, size);
    at += size;
    return text;
  };
  const auto below = [&](std::string path) {
    return path.size() <= root.size() ? std::string() : path.substr(root.size() + 1);
  };
  while (at < bytes.size()) {
    if (bytes.size() - at < sizeof(Frame)) return absl::DataLossError("the tape is cut");
    Entry entry;
    std::memcpy(&entry.frame, bytes.data() + at, sizeof(Frame));
    at += sizeof(Frame);
    entry.path = below(take(entry.frame.path_bytes));
    entry.second = below(take(entry.frame.second_bytes));
    entry.data = take(entry.frame.data_bytes);
    if (entry.frame.operation == Operation::kSyncBegin) {
      begun[entry.frame.thread] = tape.entries_.size();
    }
    if (entry.frame.operation == Operation::kSyncEnd) entry.begin = begun.at(entry.frame.thread);
    tape.entries_.push_back(std::move(entry));
  }
  return tape;
}

std::vector<std::string> Tape::Acknowledged(size_t at) const {
  std::string text;
  for (size_t i = 0; i < at; ++i) {
    const Entry& entry = entries_[i];
    if (entry.frame.operation == Operation::kWrite && entry.path == kAcknowledged) {
      text += entry.data;
    }
  }
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

absl::Status Restore(const Tape& tape, const Cut& cut, const fs::path& base, const fs::path& into) {
  if (fs::exists(into)) return absl::AlreadyExistsError(into.string());
  Disk disk(base);
  for (size_t i = 0; i < cut.at; ++i) disk.Do(tape, i, cut.ignore);
  disk.Lose(cut);
  disk.Store(into);
  return absl::OkStatus();
}

std::vector<SyncCall> SyncsOf(const Tape& tape, const fs::path& base) {
  Disk disk(base);
  for (size_t i = 0; i < tape.entries().size(); ++i) disk.Do(tape, i, nullptr);
  return disk.syncs();
}

}  // namespace slipway::powercut
