// Any bytes as an archive: its files come to an end.

#include <string>
#include <vector>

#include "services/training/trainer/data/archive_reader.h"
#include "tests/fuzz/file_of.h"
#include "tests/support/training/picture_files.h"

using namespace slipway;

std::vector<std::string> slipway::FuzzSeeds() {
  const Files files = {{"a/1.png", "one"}, {"b/", ""}, {"b/2.png", std::string(3000, 'x')}};
  return {Archive(files, Packing::kTar), Archive(files, Packing::kTarGz),
          Archive(files, Packing::kZip)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FileOf file(data, size);
  auto archive = trainer::ArchiveReader::Open(file.path(), "a");
  if (!archive.ok()) return 0;
  // Each file takes a header of some bytes.
  for (size_t i = 0; i <= size; ++i) {
    const auto next = archive->Next();
    if (!next.ok() || !next->has_value()) return 0;
    FuzzExpect(!(*next)->path.empty(), "a file has a name");
  }
  FuzzExpect(false, "files come to an end");
  return 0;
}
