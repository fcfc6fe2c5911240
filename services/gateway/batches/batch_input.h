#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_INPUT_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/status/status.h"
#include "services/gateway/batches/batch_files.h"
#include "services/gateway/batches/sql_batch_store.h"

// What the lines of a batch are, on their way in and out.
namespace slipway::gateway {

inline constexpr int64_t kMaxBatchLines = 50'000;
inline constexpr int64_t kMaxBatchBytes = 200'000'000;
inline constexpr size_t kMaxBatchLineBytes = size_t{4} << 20;

/// One line of the input.
struct InputLine {
  int64_t number = 0;  ///< From 1, empty ones counted.
  BatchMark begin;     ///< Where it stands.
  std::string text;    ///< Empty where it is too long.
};

/// Cuts a file into its lines, passing over those that hold nothing, in memory of a line and a
/// piece. One thread at a time.
class LineReader {
 public:
  /// `source` reads from `begin` on.
  LineReader(std::unique_ptr<BatchFiles::Source> source, const BatchMark& begin)
      : source_(std::move(source)), next_(begin) {}

  /// The next line; nothing at the end. Errors: those of the source.
  absl::StatusOr<std::optional<InputLine>> Next();

  /// Where the next line begins.
  const BatchMark& next() const { return next_; }

 private:
  const std::unique_ptr<BatchFiles::Source> source_;
  BatchMark next_;
  std::string buffer_;
  size_t at_ = 0;  // in buffer_
  bool ended_ = false;
};

/// What a line asks for.
struct BatchCall {
  std::string custom_id;
  std::string body;  ///< JSON.
};

/// Reads a line that is to call `endpoint`. `custom_id` is filled in where the line has one, also
/// in one that is refused. Errors: InvalidField.
absl::StatusOr<BatchCall> ReadBatchCall(const InputLine& line, std::string_view endpoint,
                                        std::string& custom_id);

/// A line of the output or error file for a call that was made: `body` is JSON.
std::string AnsweredLine(std::string_view batch, const std::string& custom_id, int64_t line,
                         int http_code, std::string_view body);
/// For one that was not. `custom_id` may be empty: it is unknown.
std::string RefusedLine(std::string_view batch, const std::string& custom_id, int64_t line,
                        std::string_view code, std::string_view message);

/// The id of a line's call, for the ledger, the worker and the answer: "batch-018f...-17".
std::string LineRequestId(std::string_view batch, int64_t line);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_INPUT_H_
