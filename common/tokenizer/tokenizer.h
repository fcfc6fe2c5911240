#ifndef SLIPWAY_COMMON_TOKENIZER_TOKENIZER_H_
#define SLIPWAY_COMMON_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/fields/field_reader.h"

namespace slipway {

/// Splits text into tokens and numbers them. It is a part of the model: trainer and worker run
/// this same code on the same bytes. It takes any bytes and never fails. Immutable: any thread.
class Tokenizer {
 public:
  enum class Unit {
    kByte,       // each of the 256 bytes: nothing is fitted, and nothing unknown
    kCharacter,  // of UTF-8
    kWord,       // letters, digits and underscores in a row, where all that is not ASCII counts as
                 // a letter; any other character but white space is a word of its own
  };
  static constexpr Name<Unit> kUnits[] = {
      {"byte", Unit::kByte}, {"character", Unit::kCharacter}, {"word", Unit::kWord}};

  /// Ids that stand for no token of the text: what fills a row up behind its text, and a token that
  /// the vocabulary lacks.
  static constexpr int32_t kPad = 0;
  static constexpr int32_t kUnknown = 1;
  static constexpr int32_t kFirstToken = 2;
  static constexpr int64_t kMaxSize = 65'536;
  /// A longer word is unknown.
  static constexpr size_t kMaxTokenBytes = 64;

  /// What makes it, for a file.
  struct Fields {
    Unit unit = Unit::kWord;
    /// ASCII's letters become small ones.
    bool lowercase = false;
    /// The tokens from kFirstToken on, each once; of bytes none.
    std::vector<std::string> vocabulary = {};
    /// Whether the last id stands for a token that is hidden: see mask().
    bool has_mask = false;

    template <class V>
    void Describe(V& v) {
      v.Enum("type", unit, kUnits, Presence::kRequired);
      v.Bool("lowercase", lowercase);
      v.Texts("vocabulary", vocabulary, {.min = 1, .max = kMaxTokenBytes},
              {.max = kMaxSize - kFirstToken});
      v.Bool("has_mask", has_mask);
    }
    absl::Status Check(const std::string& path) const;
  };

  Tokenizer() = default;
  explicit Tokenizer(Fields fields);

  const Fields& fields() const { return fields_; }

  /// How many ids there are.
  int64_t size() const;

  /// The id of a token that is hidden, which no text has: for training alone. Absent where
  /// Fields::has_mask is not set.
  std::optional<int32_t> mask() const;

  std::vector<int32_t> Encode(std::string_view text) const;

  /// What an id stands for, for people: "[PAD]", "[UNK]", "[MASK]", "the"; bytes that cannot be
  /// printed as "<0x0a>".
  std::string NameOf(int32_t id) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  Fields fields_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
};

/// How large a vocabulary may be.
struct VocabularyLimits {
  /// Ids in all, kPad, kUnknown and a mask among them.
  int64_t size = Tokenizer::kMaxSize;
  /// A rarer token is unknown.
  int64_t min_frequency = 1;
};

/// The tokenizer whose vocabulary is the most frequent tokens of `texts` (of equally frequent ones
/// the first in the order of bytes), most frequent first. `fields.vocabulary` is not looked at.
Tokenizer FitTokenizer(Tokenizer::Fields fields, const VocabularyLimits& limits,
                       std::span<const std::string_view> texts);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TOKENIZER_TOKENIZER_H_
