#ifndef SLIPWAY_COMMON_SQL_SQL_TEXT_H_
#define SLIPWAY_COMMON_SQL_SQL_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

namespace slipway::sql {

/// A statement as both databases take it.
struct StatementText {
  /// Each `?` has become `:p1`, `:p2`, ...; comments have become a space.
  std::string text;
  int parameters = 0;
};

/// Numbers the parameters. Literals ('it''s'), quoted names ("a?") and comments (-- and /* */)
/// are passed over.
StatementText NumberParameters(std::string_view sql);

/// The statements of a script, divided at ';', without empty ones. A trigger's body, which holds
/// ';' itself, is not understood.
std::vector<std::string> SplitStatements(std::string_view script);

}  // namespace slipway::sql

#endif  // SLIPWAY_COMMON_SQL_SQL_TEXT_H_
