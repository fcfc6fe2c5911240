#ifndef SLIPWAY_TESTS_UNIT_COMMON_CONFIG_HARBOUR_CONFIG_H_
#define SLIPWAY_TESTS_UNIT_COMMON_CONFIG_HARBOUR_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/log/log.h"

namespace slipway {

/// A config struct with a field of every type.
struct HarbourConfig {
  struct Berth {
    std::string name = "none";
    int length_metres = 10;
    SecretFile pass;
    template <class V>
    void Describe(V& v) {
      v.Field("name", name, "What the berth is called");
      v.Field("length_metres", length_metres, "Room for ships", {.min = 1, .max = 500});
      v.Field("pass", pass, "The file with the pass word");
    }
  };
  struct Limits {
    int64_t max_bytes = 1 << 20;
    uint16_t port = 80;
    double share = 0.5;
    template <class V>
    void Describe(V& v) {
      v.Field("max_bytes", max_bytes, "The most bytes", {.min = 1});
      v.Field("port", port, "A port");
      v.Field("share", share, "A share", {.min = 0, .max = 1});
    }
  };

  std::string listen = "unix:/run/slipway/harbour.sock";
  bool open = true;
  int cranes = 2;
  absl::Duration drain_timeout = absl::Seconds(20);
  std::string mode = "fast";
  std::vector<std::string> flags = {"a", "b: c"};
  SecretFile pepper_file;
  Limits limits;
  std::vector<Berth> berths;
  LogConfig log;

  template <class V>
  void Describe(V& v) {
    v.Field("listen", listen, "Where it listens");
    v.Field("open", open, "Whether ships may enter");
    v.Field("cranes", cranes, "How many cranes", {.min = 0, .max = 64});
    v.Field("drain_timeout", drain_timeout, "How long ships may take to leave",
            {.min = absl::Seconds(1), .max = absl::Hours(1)});
    v.Choice("mode", mode, {"fast", "safe"}, "How it works");
    v.Field("flags", flags, "Flags to show");
    v.Field("pepper_file", pepper_file, "The file with the pepper");
    v.Field("limits", limits, "Limits");
    v.Field("berths", berths, "Berths");
    v.Field("log", log, "Log lines");
  }
  absl::Status Check() const {
    if (cranes == 13) return InvalidField("cranes", "must not be 13");
    return absl::OkStatus();
  }
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_UNIT_COMMON_CONFIG_HARBOUR_CONFIG_H_
