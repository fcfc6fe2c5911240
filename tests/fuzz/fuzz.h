#ifndef SLIPWAY_TESTS_FUZZ_FUZZ_H_
#define SLIPWAY_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

// What a fuzzed program is made of: LLVMFuzzerTestOneInput, and inputs to start from. With the
// `fuzz` preset libFuzzer drives it (`make fuzz`); in other builds replay.cc does, as a test.
namespace slipway {

/// Inputs that the code takes, or nearly.
std::vector<std::string> FuzzSeeds();

/// A broken promise ends the program, as a crash does.
inline void FuzzExpect(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", promise);
  std::abort();
}

}  // namespace slipway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // SLIPWAY_TESTS_FUZZ_FUZZ_H_
