#include "common/fields/json.h"

#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;

// Builds a json value while it knows where in the document it is, which nlohmann's own builder
// does not: a duplicate key silently wins there.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  StrictBuilder(std::string_view path, const DocumentLimits& limits)
      : path_(path), limits_(limits) {}

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t&) override { return Put(value); }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return Fail("holds binary data, which JSON does not have"); }

  bool start_object(std::size_t) override { return Open(json::object()); }
  bool key(string_t& name) override {
    json& object = *open_.back();
    if (object.contains(name)) {
      status_ = InvalidField(JoinPath(Here(), name), "is given twice");
      return false;
    }
    keys_.back() = std::move(name);
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_array() override { return Close(); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The number parser reports "1e999" as out of range (id 406), all else is syntax.
    status_ = InvalidField(
        Root(), error.id == 406
                    ? fmt::format("holds a number that no double can, at byte {}", position)
                    : fmt::format("is not JSON: the syntax breaks at byte {}", position));
    return false;
  }

  absl::StatusOr<json> Take() && {
    if (!status_.ok()) return status_;
    return std::move(root_);
  }

 private:
  std::string Root() const { return path_.empty() ? "document" : path_; }

  // The path of the innermost open container.
  std::string Here() const {
    std::string path = path_;
    for (size_t depth = 0; depth + 1 < open_.size(); ++depth) path = Extend(path, depth);
    return path;
  }
  std::string Extend(const std::string& path, size_t depth) const {
    if (!open_[depth]->is_array()) return JoinPath(path, keys_[depth]);
    const size_t count = open_[depth]->size();
    // A container is already the last element of its parent while it is open.
    return JoinPath(path, depth + 1 < open_.size() ? count - 1 : count);
  }
  bool Fail(std::string_view problem) {
    status_ = InvalidField(open_.empty() ? Root() : Extend(Here(), open_.size() - 1), problem);
    return false;
  }

  json* Place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[keys_.back()] = std::move(value));
  }
  bool Count() {
    if (++values_ <= limits_.values) return true;
    return Fail(fmt::format("passes the limit of {} values", limits_.values));
  }
  bool Put(json value) {
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }
  bool Open(json container) {
    if (!Count()) return false;
    if (open_.size() >= static_cast<size_t>(limits_.depth)) {
      return Fail(fmt::format("is nested deeper than {} levels", limits_.depth));
    }
    open_.push_back(Place(std::move(container)));
    keys_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  const std::string path_;
  const DocumentLimits limits_;
  json root_;
  // Open containers, outermost first. A pointer stays valid: only the innermost one grows.
  std::vector<json*> open_;
  std::vector<std::string> keys_;  // the current key of each open object
  size_t values_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<json> ParseJson(std::string_view text, std::string_view path,
                               const DocumentLimits& limits) {
  if (text.size() > limits.bytes) return TooLarge(path.empty() ? "document" : path, limits.bytes);
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    // nlohmann takes a NUL for the end and would overlook what follows it.
    return InvalidField(path.empty() ? "document" : path,
                        fmt::format("is not JSON: the syntax breaks at byte {}", nul + 1));
  }
  StrictBuilder builder(path, limits);
  json::sax_parse(text, &builder);
  return std::move(builder).Take();
}

std::string JoinPath(std::string_view path, std::string_view key) {
  if (path.empty()) return std::string(key);
  return fmt::format("{}.{}", path, key);
}

std::string JoinPath(std::string_view path, size_t index) {
  return fmt::format("{}[{}]", path, index);
}

}  // namespace slipway
