#include "common/process/supervisor.h"

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

#include "common/sync/mutex.h"
#include "fmt/format.h"

namespace slipway {

absl::Duration Backoff::Next(absl::Duration lived) {
  if (current_ == absl::ZeroDuration() || lived >= options_.healthy_after) {
    current_ = options_.first_backoff;
  } else {
    current_ = std::min(current_ * 2, options_.max_backoff);
  }
  return current_;
}

class Supervisor::Impl {
 public:
  Impl(ProcessLauncher& launcher, const Clock& clock, SupervisorOptions options, OnEvent on_event)
      : launcher_(launcher),
        clock_(clock),
        options_(options),
        on_event_(std::move(on_event)),
        state_(std::make_shared<State>()),
        thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

  ~Impl() {
    StopAll();
    thread_.request_stop();
    MutexLock lock(state_->mutex);
    state_->changed.SignalAll();
  }

  absl::Status Start(const std::string& name, const ProcessSpec& spec) {
    MutexLock lock(state_->mutex);
    for (const auto& child : state_->children) {
      if (child->name == name) {
        return absl::AlreadyExistsError(fmt::format("{} runs already", name));
      }
    }
    auto child = std::make_shared<Child>(name, spec, options_.restart);
    RETURN_IF_ERROR(Launch(child));
    state_->children.push_back(child);
    return absl::OkStatus();
  }

  absl::Status Stop(const std::string& name) {
    std::shared_ptr<Process> process;
    {
      MutexLock lock(state_->mutex);
      const auto found = Find(name);
      if (found == state_->children.end())
        return absl::NotFoundError(fmt::format("{} was not started", name));
      (*found)->stopping = true;
      process = (*found)->process;
    }
    if (process != nullptr) End(*process);
    MutexLock lock(state_->mutex);
    if (const auto found = Find(name); found != state_->children.end()) {
      state_->children.erase(found);
    }
    return absl::OkStatus();
  }

  void StopAll() {
    for (;;) {
      std::string last;
      {
        MutexLock lock(state_->mutex);
        // None is started again while its elders stop.
        for (const auto& child : state_->children) child->stopping = true;
        if (state_->children.empty()) return;
        last = state_->children.back()->name;
      }
      Stop(last).IgnoreError();  // kNotFound: another thread has stopped it
    }
  }

  std::vector<ChildState> Children() const {
    std::vector<ChildState> states;
    MutexLock lock(state_->mutex);
    for (const auto& child : state_->children) {
      states.push_back(
          {child->name, child->process == nullptr ? 0 : child->process->pid(), child->restarts});
    }
    return states;
  }

 private:
  struct Child {
    Child(std::string name, ProcessSpec spec, const RestartOptions& restart)
        : name(std::move(name)), spec(std::move(spec)), backoff(restart) {}

    const std::string name;
    const ProcessSpec spec;
    Backoff backoff;
    // Null while it waits for its restart.
    std::shared_ptr<Process> process;
    absl::Duration started_at;
    // Has ended; the loop has not yet seen it.
    std::optional<ProcessExit> exit;
    absl::Duration restart_at;
    int restarts = 0;
    bool stopping = false;
  };

  // Shared with the launcher's callbacks, the last of which may come after the supervisor's end.
  struct State {
    Mutex mutex;
    CondVar changed;
    std::vector<std::shared_ptr<Child>> children GUARDED_BY(mutex);  // in the order of Start
  };

  std::vector<std::shared_ptr<Child>>::iterator Find(const std::string& name)
      REQUIRES(state_->mutex) {
    return std::find_if(state_->children.begin(), state_->children.end(),
                        [&](const auto& child) { return child->name == name; });
  }

  static SupervisorEvent Event(SupervisorEvent::Kind kind, const Child& child) {
    SupervisorEvent event;
    event.kind = kind;
    event.name = child.name;
    return event;
  }

  void Tell(const SupervisorEvent& event) const {
    if (on_event_) on_event_(event);
  }

  absl::Status Launch(const std::shared_ptr<Child>& child) REQUIRES(state_->mutex) {
    absl::StatusOr<std::unique_ptr<Process>> process =
        launcher_.Launch(child->spec, [state = state_, child](const ProcessExit& exit) {
          MutexLock lock(state->mutex);
          child->exit = exit;
          state->changed.SignalAll();
        });
    RETURN_IF_ERROR(process.status());
    child->process = *std::move(process);
    child->started_at = clock_.Monotonic();
    SupervisorEvent event = Event(SupervisorEvent::Kind::kStarted, *child);
    event.pid = child->process->pid();
    Tell(event);
    return absl::OkStatus();
  }

  void WaitBeforeRestart(Child& child, SupervisorEvent event, absl::Duration lived)
      REQUIRES(state_->mutex) {
    event.restart_in = child.backoff.Next(lived);
    child.restart_at = clock_.Monotonic() + event.restart_in;
    child.process = nullptr;
    Tell(event);
  }

  void Loop(const std::stop_token& stop) EXCLUDES(state_->mutex) {
    MutexLock lock(state_->mutex);
    while (!stop.stop_requested()) {
      bool waiting = false;
      for (const auto& child : state_->children) {
        if (child->stopping) continue;
        if (child->exit.has_value()) {
          SupervisorEvent event = Event(SupervisorEvent::Kind::kExited, *child);
          event.exit = std::exchange(child->exit, std::nullopt);
          WaitBeforeRestart(*child, event, clock_.Monotonic() - child->started_at);
        }
        if (child->process != nullptr) continue;
        if (clock_.Monotonic() < child->restart_at) {
          waiting = true;
          continue;
        }
        ++child->restarts;
        if (absl::Status started = Launch(child); !started.ok()) {
          SupervisorEvent event = Event(SupervisorEvent::Kind::kStartFailed, *child);
          event.error = started;
          WaitBeforeRestart(*child, event, absl::ZeroDuration());
          waiting = true;
        }
      }
      if (stop.stop_requested()) return;
      // `clock_` may be a test's, which no condition variable knows: look often while one waits.
      if (waiting) {
        state_->changed.WaitFor(state_->mutex, std::chrono::milliseconds(20));
      } else {
        state_->changed.Wait(state_->mutex);
      }
    }
  }

  void End(Process& process) const {
    process.Signal(SIGTERM).IgnoreError();
    if (process.Wait(options_.stop_grace).ok()) return;
    process.Kill();
    process.Wait(absl::InfiniteDuration()).IgnoreError();
  }

  ProcessLauncher& launcher_;
  const Clock& clock_;
  const SupervisorOptions options_;
  const OnEvent on_event_;
  const std::shared_ptr<State> state_;
  std::jthread thread_;
};

Supervisor::Supervisor(ProcessLauncher& launcher, const Clock& clock, SupervisorOptions options,
                       OnEvent on_event)
    : impl_(std::make_unique<Impl>(launcher, clock, options, std::move(on_event))) {}
Supervisor::~Supervisor() = default;

absl::Status Supervisor::Start(const std::string& name, const ProcessSpec& spec) {
  return impl_->Start(name, spec);
}
absl::Status Supervisor::Stop(const std::string& name) { return impl_->Stop(name); }
void Supervisor::StopAll() { impl_->StopAll(); }
std::vector<Supervisor::ChildState> Supervisor::Children() const { return impl_->Children(); }

}  // namespace slipway
