// Runs a fuzzed program over its seeds and over some thousands of changed ones, the same each time.
//
//   <program>                 as a test
//   <program> FILE...         over what libFuzzer has found
//   <program> --seeds FOLDER  writes the seeds down, for libFuzzer to start from

#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "tests/fuzz/fuzz.h"

namespace {

constexpr int kChangesPerSeed = 3000;

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// One of the changes that break parsers: bits, lengths, ends, repeats.
void Change(std::string& input, std::mt19937_64& random) {
  if (input.empty()) input.push_back('\0');
  const size_t at = random() % input.size();
  switch (random() % 7) {
    case 0:
      input[at] = static_cast<char>(input[at] ^ (1 << random() % 8));
      break;
    case 1:
      input[at] = static_cast<char>(random());
      break;
    case 2:
      input.resize(at);
      break;
    case 3:
      input.insert(at, input.substr(at, random() % 64));
      break;
    case 4:
      input.erase(at, 1 + random() % 8);
      break;
    case 5:
      for (size_t i = at; i < input.size() && i < at + 1 + random() % 8; ++i) input[i] = '\xff';
      break;
    default:
      input.insert(at, 1, static_cast<char>(random()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto seeds = slipway::FuzzSeeds();
  if (argc == 3 && std::string(argv[1]) == "--seeds") {
    for (size_t i = 0; i < seeds.size(); ++i) {
      std::ofstream(std::string(argv[2]) + "/seed" + std::to_string(i), std::ios::binary)
          << seeds[i];
    }
    return 0;
  }
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    Run({std::istreambuf_iterator<char>(file), {}});
  }
  if (argc > 1) return 0;
  std::mt19937_64 random(1);
  for (const std::string& seed : seeds) {
    Run(seed);
    for (int i = 0; i < kChangesPerSeed; ++i) {
      std::string input = seed;
      for (size_t n = 1 + random() % 4; n > 0; --n) Change(input, random);
      Run(input);
    }
  }
  return 0;
}
