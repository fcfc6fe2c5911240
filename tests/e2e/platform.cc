#include "tests/e2e/platform.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "common/files/files.h"
#include "common/http/uri.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "tests/support/places.h"

namespace slipway::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A file descriptor that is closed.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

int OpenPidFd(int64_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

int Millis(absl::Duration duration) {
  return static_cast<int>(std::max(int64_t{0}, absl::ToInt64Milliseconds(duration)));
}

struct ProcessEntry {
  int64_t parent = 0;
  std::string program;  // "slipway-gateway"
};

// Every process of the machine that is no zombie.
std::map<int64_t, ProcessEntry> Processes() {
  std::map<int64_t, ProcessEntry> out;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator("/proc", error)) {
    const std::string name = folder.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream stat(folder.path() / "stat");
    std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
    const size_t after_name = text.rfind(')');
    if (after_name == std::string::npos) continue;
    std::istringstream rest(text.substr(after_name + 1));
    char state = 0;
    ProcessEntry entry;
    rest >> state >> entry.parent;
    if (state == 'Z' || state == 'X') continue;
    const fs::path program = fs::read_symlink(folder.path() / "exe", error);
    entry.program = program.filename();
    out[std::stoll(name)] = entry;
  }
  return out;
}

// Whether `pid` stands anywhere below `ancestor`.
bool IsBelow(const std::map<int64_t, ProcessEntry>& processes, int64_t pid, int64_t ancestor) {
  for (auto it = processes.find(pid); it != processes.end();
       it = processes.find(it->second.parent)) {
    if (it->second.parent == ancestor) return true;
  }
  return false;
}

std::string Target(const std::string& path, const Query& query) {
  std::string target = path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    target +=
        fmt::format("{}{}={}", separator, http::PercentEncode(name), http::PercentEncode(value));
    separator = '&';
  }
  return target;
}

}  // namespace

bool WaitUntilGone(int64_t pid, absl::Duration limit) {
  const Fd fd(OpenPidFd(pid));
  if (fd.get() < 0) return true;
  pollfd watched{fd.get(), POLLIN, 0};
  return ::poll(&watched, 1, Millis(limit)) == 1;
}

// ---- Caller. ----

Caller::Caller(const std::string& address, const std::string& key) {
  http::ClientOptions options;
  options.timeout = absl::Seconds(30);
  if (!key.empty()) options.headers.Add("Authorization", "Bearer " + key);
  auto client = http::Client::Create("http://" + address, std::move(options));
  if (client.ok()) client_ = std::make_shared<http::Client>(*std::move(client));
}

json Answer::json() const {
  nlohmann::json parsed = nlohmann::json::parse(body, nullptr, false);
  return parsed.is_object() ? parsed : nlohmann::json::object();
}

Answer Caller::Get(const std::string& path, const Query& query) const {
  return Call("GET", path, nullptr, query);
}

Answer Caller::Post(const std::string& path, const json& body, const Query& query) const {
  return Call("POST", path, body, query);
}

Answer Caller::Call(const std::string& method, const std::string& path, const json& body,
                    const Query& query) const {
  http::Headers headers;
  if (!body.is_null()) headers.Add("Content-Type", "application/json");
  return Send(method, path, body.is_null() ? "" : body.dump(), headers, query);
}

Answer Caller::Send(const std::string& method, const std::string& path, std::string body,
                    const http::Headers& headers, const Query& query) const {
  if (client_ == nullptr) return {0, "no client", ""};
  http::Request request;
  request.method = method;
  request.target = Target(path, query);
  request.headers = headers;
  request.body = std::move(body);
  const auto response = client_->Send(request);
  if (!response.ok()) return {0, response.status().ToString(), ""};
  return {response->status, response->body, std::string(response->headers.Get("x-request-id"))};
}

std::vector<json> Caller::List(const std::string& path, const std::string& key) const {
  std::vector<json> items;
  std::string token;
  do {
    Query query = {{"pageSize", "500"}};
    if (!token.empty()) query.emplace_back("pageToken", token);
    const Answer answer = Get(path, query);
    if (!answer.ok()) return items;
    const json page = answer.json();
    for (const json& item : page.value(key, json::array())) items.push_back(item);
    token = page.value("nextPageToken", "");
  } while (!token.empty());
  return items;
}

// ---- Platform. ----

Platform::Platform(Options options)
    : options_(std::move(options)),
      data_dir_(options_.data_dir.empty() ? temp_ / "data" : options_.data_dir),
      ready_file_(temp_ / "ready.json"),
      output_file_(temp_ / "up.log") {}

Platform::~Platform() {
  if (process_ != nullptr) (void)Stop();
}

absl::Status Platform::Launch() {
  std::vector<std::string> command = options_.wrapper;
  command.insert(command.end(), {Program("slipway"), "up", "--data-dir", data_dir_, "--port", "0",
                                 "--metrics-port", "0", "--ready-file", ready_file_});
  ProcessSpec spec;
  spec.program = command[0];
  spec.args.assign(command.begin() + 1, command.end());
  spec.log_file = output_file_;
  ASSIGN_OR_RETURN(process_, launcher_.Launch(spec));
  return absl::OkStatus();
}

absl::Status Platform::Start() {
  // One that was killed left it behind.
  ::unlink(ready_file_.c_str());
  RETURN_IF_ERROR(Launch());
  return WaitUntilReady();
}

absl::Status Platform::WaitUntilReady() {
  // The ready file is moved into the folder when it is whole; the process may end before.
  const Fd folder(::inotify_init1(IN_CLOEXEC));
  if (::inotify_add_watch(folder.get(), temp_.path().c_str(), IN_MOVED_TO) < 0) {
    return FromErrno(errno, "watch", temp_.path().string());
  }
  const Fd process(OpenPidFd(process_->pid()));
  const Clock& clock = Clock::Real();
  const absl::Duration end = clock.Monotonic() + kPatience;
  while (!fs::exists(ready_file_)) {
    pollfd watched[] = {{folder.get(), POLLIN, 0}, {process.get(), POLLIN, 0}};
    if (::poll(watched, 2, Millis(end - clock.Monotonic())) == 0) {
      return absl::DeadlineExceededError("the platform did not become ready\n" + Logs());
    }
    if ((watched[1].revents & POLLIN) != 0 || process.get() < 0) {
      return absl::UnavailableError("slipway up ended before it was ready\n" + Logs());
    }
    char events[4096];
    if ((watched[0].revents & POLLIN) != 0 && ::read(folder.get(), events, sizeof(events)) < 0) {
      return FromErrno(errno, "read", "inotify");
    }
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(ready_file_));
  const json ready = json::parse(text, nullptr, false);
  if (!ready.is_object()) return absl::InternalError("the ready file is no JSON: " + text);
  address_ = ready.value("address", "");
  metrics_address_ = ready.value("metrics", "");
  if (ready.contains("admin_key")) admin_key_ = ready["admin_key"].get<std::string>();
  return absl::OkStatus();
}

absl::StatusOr<ProcessExit> Platform::Stop() {
  RETURN_IF_ERROR(process_->Signal(SIGTERM));
  return WaitForExit();
}

absl::Status Platform::Kill() {
  // Not Process::Kill, which ends the whole group: the children are to notice by themselves.
  RETURN_IF_ERROR(process_->Signal(SIGKILL));
  return WaitForExit().status();
}

absl::StatusOr<ProcessExit> Platform::WaitForExit(absl::Duration limit) {
  ASSIGN_OR_RETURN(const ProcessExit exit, process_->Wait(limit));
  process_.reset();
  return exit;
}

int64_t Platform::PidOf(const std::string& name) const {
  const auto processes = Processes();
  for (const auto& [pid, entry] : processes) {
    if (entry.program == "slipway-" + name && IsBelow(processes, pid, process_->pid())) return pid;
  }
  return 0;
}

std::vector<int64_t> Platform::Descendants() const {
  const auto processes = Processes();
  std::vector<int64_t> out;
  for (const auto& [pid, entry] : processes) {
    if (IsBelow(processes, pid, process_->pid())) out.push_back(pid);
  }
  return out;
}

absl::Status Platform::KillService(const std::string& name) const {
  const int64_t pid = PidOf(name);
  if (pid == 0) return NotFound("a running " + name);
  const Fd fd(OpenPidFd(pid));
  if (::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0) != 0) {
    return FromErrno(errno, "kill", name);
  }
  if (!WaitUntilGone(pid)) return absl::DeadlineExceededError(name + " survived SIGKILL");
  return absl::OkStatus();
}

std::string Platform::Logs() const {
  constexpr size_t kTail = 4000;
  std::string out;
  const auto add = [&](const fs::path& path) {
    std::string text = ReadFile(path).value_or("");
    if (text.size() > kTail) text = "..." + text.substr(text.size() - kTail);
    out += fmt::format("---- {}\n{}\n", path.filename().string(), text);
  };
  add(output_file_);
  std::error_code error;
  for (const auto& file : fs::directory_iterator(data_dir_ + "/logs", error)) add(file.path());
  return out;
}

}  // namespace slipway::e2e
