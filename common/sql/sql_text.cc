#include "common/sql/sql_text.h"

#include <utility>

#include "fmt/format.h"

namespace slipway::sql {
namespace {

/// Length of the token at the front of `sql` whose inside is not code: a literal, a quoted name
/// or a comment. 0 where code stands. One that does not end reaches to the end of the text.
size_t OpaqueLength(std::string_view sql) {
  const auto until = [&](std::string_view end, size_t from) {
    const size_t at = sql.find(end, from);
    return at == std::string_view::npos ? sql.size() : at + end.size();
  };
  if (sql.front() == '\'' || sql.front() == '"') return until(sql.substr(0, 1), 1);
  if (sql.substr(0, 2) == "--") return until("\n", 2);
  if (sql.substr(0, 2) == "/*") return until("*/", 2);
  return 0;
}

bool IsComment(std::string_view token) {
  return token.substr(0, 2) == "--" || token.substr(0, 2) == "/*";
}

}  // namespace

StatementText NumberParameters(std::string_view sql) {
  StatementText statement;
  while (!sql.empty()) {
    if (const size_t length = OpaqueLength(sql); length > 0) {
      const std::string_view token = sql.substr(0, length);
      statement.text += IsComment(token) ? std::string_view(" ") : token;
      sql.remove_prefix(length);
      continue;
    }
    if (sql.front() == '?') {
      statement.text += fmt::format(":p{}", ++statement.parameters);
    } else {
      statement.text += sql.front();
    }
    sql.remove_prefix(1);
  }
  return statement;
}

std::vector<std::string> SplitStatements(std::string_view script) {
  std::vector<std::string> statements;
  std::string current;
  const auto finish = [&] {
    if (current.find_first_not_of(" \t\r\n") != std::string::npos) {
      statements.push_back(std::move(current));
    }
    current.clear();
  };
  while (!script.empty()) {
    if (const size_t length = OpaqueLength(script); length > 0) {
      const std::string_view token = script.substr(0, length);
      current += IsComment(token) ? std::string_view(" ") : token;
      script.remove_prefix(length);
      continue;
    }
    if (script.front() == ';') {
      finish();
    } else {
      current += script.front();
    }
    script.remove_prefix(1);
  }
  finish();
  return statements;
}

}  // namespace slipway::sql
