#ifndef SLIPWAY_SERVICES_CLI_OUTPUT_H_
#define SLIPWAY_SERVICES_CLI_OUTPUT_H_

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway::cli {

/// Columns under upper-case heads, as wide as their longest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> heads);
  void Add(std::vector<std::string> cells);
  void Print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// What stands after the last '/' of a resource name.
std::string LastSegment(std::string_view name);

/// A text field of an answer, or "" where it is absent. Numbers that protobuf writes as text
/// (int64) come out as they are.
std::string TextOf(const nlohmann::json& object, const char* key);
/// A number, also where protobuf wrote it as text; 0 where it is absent.
double NumberOf(const nlohmann::json& object, const char* key);

/// "3m", "2h", "5d" since an RFC 3339 moment; "" for an empty text.
std::string Age(const std::string& timestamp, absl::Time now);

/// The start of a digest, enough to tell files apart: "sha256:0ae29f65d866".
std::string ShortDigest(std::string_view digest);

/// "1.4 MB"
std::string Bytes(double count);

/// Cells that a terminal needs for UTF-8 text without wide characters.
size_t DisplayWidth(std::string_view text);

/// Is the stream a terminal that may show colours (NO_COLOR unset)?
bool IsTerminal(int descriptor);
bool MayColour(int descriptor);
/// Columns of the terminal; 80 where there is none.
int TerminalWidth(int descriptor);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_OUTPUT_H_
