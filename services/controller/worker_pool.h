#ifndef SLIPWAY_SERVICES_CONTROLLER_WORKER_POOL_H_
#define SLIPWAY_SERVICES_CONTROLLER_WORKER_POOL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "services/controller/deployment.h"

namespace slipway::controller {

/// One worker of a pool, as a process: whether it answers is another question.
struct WorkerProcess {
  WorkerId id;
  bool running = false;
  /// Where a running one listens.
  std::string address;
  /// Differs between two processes of the same worker: what one had loaded, the next has not.
  int64_t incarnation = 0;
  /// Since it started or went down.
  absl::Duration since = absl::ZeroDuration();
  /// Starts in a row that did not last.
  int failed_starts = 0;
  /// Why it went down, for people; empty before the first start, and once it has lasted.
  std::string down_reason = "";
  /// Of an isolated worker: all that it loads, or loaded while it ran. A tenant's models
  /// ("tenants/acme"), or one version ("tenants/acme/models/cnn/versions/3").
  std::string owner = "";
  /// It runs and was told to end.
  bool ending = false;
  /// It counts as running, and its program does not run yet: why, for people ("no node has room").
  std::string waits_for = "";
};

/// The workers of one pool: all of the same hardware. Any thread.
class WorkerPool {
 public:
  virtual ~WorkerPool() = default;

  virtual const std::string& name() const = 0;
  /// Workers for anybody's models: indices from 0. After them come those that are isolated, each
  /// started for one owner.
  virtual int size() const = 0;
  virtual int isolated_size() const = 0;
  /// Is there one more for anybody's models behind those, to be used while another is replaced?
  virtual bool has_spare() const { return false; }
  /// May the former load models that tenants uploaded?
  virtual bool shares_uploaded() const = 0;
  /// False where somebody else keeps the workers running: Start and Stop do nothing then.
  virtual bool launches() const = 0;

  /// One entry each, by index.
  virtual std::vector<WorkerProcess> Workers() const = 0;

  /// Starts worker `index` unless it runs; an isolated one for `owner`. A start that fails is
  /// seen in Workers().
  virtual void Start(int index, const std::string& owner) = 0;
  /// Kills it; a start that did not last.
  virtual void Stop(int index, const std::string& reason) = 0;
  /// Lets it finish and end, since nobody needs it any more.
  virtual void Retire(int index) = 0;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_WORKER_POOL_H_
