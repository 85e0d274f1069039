// SchedulerThread: the one thread that owns the Scheduler. Others post events to its mailbox; the
// effects go out in order per receiver, on this thread. It wakes by itself for the scheduler's
// deadlines.
//
// Thread-safe. Receivers (ClientStream, WorkerPeer, the publisher) are called on the scheduler's
// thread: they must not block, and may call back into this class. Bounds: mailbox_events_max,
// beyond which new executions are refused with RESOURCE_EXHAUSTED; events of accepted work always
// pass.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/thread_group.h"
#include "scheduler/scheduler.h"
#include "service/log_stream.h"

namespace lre::service {

// One stream of Execute or WaitExecution. Either OnAnswer or OnUnknown is the last call, unless the
// stream left before.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  virtual void OnStage(const scheduler::StageChanged& change) = 0;
  virtual void OnAnswer(const scheduler::Answer& answer) = 0;
  virtual void OnUnknown(const scheduler::OperationName& operation) = 0;
};

// One link to a worker.
class WorkerPeer {
 public:
  virtual ~WorkerPeer() = default;
  virtual void OnAssign(const scheduler::Assign& assign) = 0;
  virtual void OnCancel(const scheduler::Cancel& cancel) = 0;
  virtual void OnAcknowledge(const scheduler::Acknowledge& acknowledge) = 0;
  // The link must end; the last call.
  virtual void OnClose(const Status& status) = 0;
};

// Makes a result durable and says so through `done`, once, from any thread.
using Publisher = std::function<void(const scheduler::Publish& publish,
                                     std::function<void(scheduler::Published)> done)>;

struct SchedulerThreadOptions {
  scheduler::SchedulerOptions scheduler;
  LogStreamOptions log_streams = {};
  size_t mailbox_events_max = 100000;
};

class SchedulerThread {
 public:
  // Starts the thread. `clock` and `metrics` must outlive it.
  SchedulerThread(SchedulerThreadOptions options, Publisher publisher, const Clock& clock,
                  Metrics& metrics);
  ~SchedulerThread();  // Stop

  // Clients. A stream that never got its last call says Leave when its connection is gone.
  Result<scheduler::ClientId> Execute(scheduler::OperationName name,
                                      scheduler::ActionRequest request,
                                      std::shared_ptr<ClientStream> stream);
  // An operation out of `scope` is unknown to the stream.
  scheduler::ClientId Wait(scheduler::OperationName name, std::shared_ptr<ClientStream> stream,
                           scheduler::Scope scope = {});
  void Leave(scheduler::ClientId client);
  void CancelOperation(scheduler::OperationName name);
  void DeleteOperation(scheduler::OperationName name);

  // Workers. A join replaces an older link of the same worker id, whose later events are dropped.
  using LinkId = uint64_t;
  // `link` is one that NewLink gave and that nobody else uses: the peer may be called before Join
  // returns, so it must know its link before.
  LinkId NewLink() { return next_id_++; }
  void Join(LinkId link, scheduler::WorkerJoined joined, std::shared_ptr<WorkerPeer> peer);
  // `event` is one of the worker events; its worker must be that of the link.
  void FromWorker(LinkId link, scheduler::Event event);
  // The link broke. No call to its peer follows once this has been carried out.
  void LinkLost(LinkId link);

  void DeclarePool(scheduler::PoolDeclared pool);
  void ClosePools();

  // Runs `look` on the scheduler's thread, soon, with what the scheduler knows then. False when the
  // thread has stopped or the mailbox is full: `look` never runs.
  [[nodiscard]] bool Query(
      std::function<void(const scheduler::Scheduler& scheduler, Instant now)> look);
  // Runs `work` on the scheduler's thread after `delay`, about; never when it has stopped by then.
  void After(Duration delay, std::function<void()> work);
  // Waits until everything posted before has been carried out. At once on the thread itself.
  void Flush();

  // What commands print while they run.
  LogStreams& log_streams() { return log_streams_; }

  // Answers every client UNAVAILABLE, closes every link and ends the thread. Idempotent.
  void Stop();

 private:
  struct State;
  using Work = std::function<void(State&)>;
  void Run(std::stop_token stop);
  void Post(Work work);

  const SchedulerThreadOptions options_;
  const Publisher publisher_;
  const Clock& clock_;
  std::atomic<uint64_t> next_id_{1};
  std::atomic<bool> stopped_{false};
  std::atomic<std::thread::id> thread_{};
  LogStreams log_streams_;
  // Shared with publishers, whose answer may come after the end.
  const std::shared_ptr<Mailbox<Work>> mailbox_;
  std::unique_ptr<State> state_;  // confined to the thread
  ThreadGroup threads_;
};

}  // namespace lre::service
