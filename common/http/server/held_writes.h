#ifndef SLIPWAY_COMMON_HTTP_SERVER_HELD_WRITES_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HELD_WRITES_H_

#include <memory>
#include <vector>

namespace slipway::http {

/// While one lives, what its thread answers over HTTP/2 is kept; its end sends it, with one write
/// for each connection. For answers that are made together: each write costs a system call, and
/// wakes the peer. Lives on the stack, and not for long.
class HeldWrites {
 public:
  /// A connection.
  class Sender {
   public:
    virtual void SendHeld() = 0;

   protected:
    ~Sender() = default;
  };

  HeldWrites();
  ~HeldWrites();
  HeldWrites(const HeldWrites&) = delete;
  HeldWrites& operator=(const HeldWrites&) = delete;

  /// The calling thread's, or null.
  static HeldWrites* OfThread();

  /// Has `sender` send at the end.
  void Add(std::shared_ptr<Sender> sender);

 private:
  HeldWrites* const outer_;
  std::vector<std::shared_ptr<Sender>> senders_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HELD_WRITES_H_
