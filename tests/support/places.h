#ifndef SLIPWAY_TESTS_SUPPORT_PLACES_H_
#define SLIPWAY_TESTS_SUPPORT_PLACES_H_

#include <filesystem>
#include <string>

namespace slipway {

/// The build tree that the running test or benchmark lies in, one folder below its root. Found by
/// the program's own file: a path compiled in would keep ccache from sharing objects between
/// clones.
inline std::filesystem::path BuildTree() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
}

/// An installed program of ours, e.g. "slipway-worker", as built in this tree.
inline std::string Program(const std::string& name) { return BuildTree() / "bin" / name; }

/// A program that only tests start, e.g. "slipway-fake-trainer".
inline std::string TestProgram(const std::string& name) { return BuildTree() / "tests" / name; }

/// A file or folder of the repository, by its path there. `source` is a link that the configure
/// step leaves in the build tree.
inline std::filesystem::path SourceFile(const std::string& path) {
  return BuildTree() / "source" / path;
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_PLACES_H_
