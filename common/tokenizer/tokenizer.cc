#include "common/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/text/utf8.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr int64_t kBytes = 256;

bool IsSpace(char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); }

bool IsWordByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || absl::ascii_isalnum(byte) || c == '_';
}

// visit(token) for each token, first to last.
template <class Visit>
void Split(Tokenizer::Unit unit, std::string_view text, const Visit& visit) {
  for (size_t at = 0; at < text.size();) {
    size_t size = 1;
    if (unit == Tokenizer::Unit::kCharacter) {
      size = std::max<size_t>(1, Utf8CharacterSize(text.substr(at)));
    } else if (unit == Tokenizer::Unit::kWord) {
      if (IsSpace(text[at])) {
        ++at;
        continue;
      }
      const auto* const begin = text.data() + at;
      const auto* const end = std::find_if_not(begin, text.data() + text.size(), IsWordByte);
      size = std::max<size_t>(1, static_cast<size_t>(end - begin));
    }
    visit(text.substr(at, size));
    at += size;
  }
}

}  // namespace

absl::Status Tokenizer::Fields::Check(const std::string& path) const {
  if (unit == Unit::kByte) {
    if (vocabulary.empty()) return absl::OkStatus();
    return InvalidField(JoinPath(path, "vocabulary"), "must be absent for bytes");
  }
  if (Tokenizer(*this).ids_.size() == vocabulary.size()) return absl::OkStatus();
  return InvalidField(JoinPath(path, "vocabulary"), "must name each token once");
}

Tokenizer::Tokenizer(Fields fields) : fields_(std::move(fields)) {
  for (const std::string& token : fields_.vocabulary) {
    ids_.emplace(token, kFirstToken + static_cast<int32_t>(ids_.size()));
  }
}

int64_t Tokenizer::size() const {
  const int64_t tokens = fields_.unit == Unit::kByte ? kBytes : std::ssize(fields_.vocabulary);
  return kFirstToken + tokens + (fields_.has_mask ? 1 : 0);
}

std::optional<int32_t> Tokenizer::mask() const {
  if (!fields_.has_mask) return std::nullopt;
  return static_cast<int32_t>(size() - 1);
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  std::string lowered;
  if (fields_.lowercase) {
    lowered.assign(text);
    absl::AsciiStrToLower(&lowered);
    text = lowered;
  }
  std::vector<int32_t> ids;
  Split(fields_.unit, text, [&](std::string_view token) {
    if (fields_.unit == Unit::kByte) {
      ids.push_back(kFirstToken + static_cast<unsigned char>(token[0]));
      return;
    }
    const auto id = ids_.find(token);
    ids.push_back(id == ids_.end() ? kUnknown : id->second);
  });
  return ids;
}

std::string Tokenizer::NameOf(int32_t id) const {
  if (id == kPad) return "[PAD]";
  if (id == kUnknown) return "[UNK]";
  if (id == mask()) return "[MASK]";
  const auto place = static_cast<size_t>(id - kFirstToken);
  const std::string token = fields_.unit == Unit::kByte ? std::string(1, static_cast<char>(place))
                                                        : fields_.vocabulary[place];
  if (token.size() > 1 || absl::ascii_isgraph(static_cast<unsigned char>(token[0]))) return token;
  return fmt::format("<0x{:02x}>", static_cast<unsigned char>(token[0]));
}

Tokenizer FitTokenizer(Tokenizer::Fields fields, const VocabularyLimits& limits,
                       std::span<const std::string_view> texts) {
  fields.vocabulary.clear();
  if (fields.unit == Tokenizer::Unit::kByte) return Tokenizer(std::move(fields));
  std::unordered_map<std::string, int64_t> counts;
  for (std::string_view text : texts) {
    std::string lowered;
    if (fields.lowercase) {
      lowered.assign(text);
      absl::AsciiStrToLower(&lowered);
      text = lowered;
    }
    Split(fields.unit, text, [&](std::string_view token) {
      if (token.size() <= Tokenizer::kMaxTokenBytes) ++counts[std::string(token)];
    });
  }
  std::vector<std::pair<int64_t, std::string>> order;
  for (auto& [token, count] : counts) {
    if (count >= limits.min_frequency) order.emplace_back(-count, token);
  }
  std::sort(order.begin(), order.end());
  const auto room =
      static_cast<size_t>(limits.size - Tokenizer::kFirstToken - (fields.has_mask ? 1 : 0));
  if (order.size() > room) order.resize(room);
  for (auto& [count, token] : order) fields.vocabulary.push_back(std::move(token));
  return Tokenizer(std::move(fields));
}

}  // namespace slipway
