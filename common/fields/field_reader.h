#ifndef SLIPWAY_COMMON_FIELDS_FIELD_READER_H_
#define SLIPWAY_COMMON_FIELDS_FIELD_READER_H_

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fields/json.h"
#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway {

/// The bounds of a number. Bounds are doubles, also for integers (exact up to 2^53).
struct Limits {
  double min = -std::numeric_limits<double>::infinity();    // at least
  double max = std::numeric_limits<double>::infinity();     // at most
  double above = -std::numeric_limits<double>::infinity();  // more than
  double below = std::numeric_limits<double>::infinity();   // less than
  bool required = false;
};

/// The bounds of a text, in bytes.
struct TextLimits {
  size_t min = 0;
  size_t max = 4096;
  bool required = false;
};

/// The bounds of a list's length.
struct ListLimits {
  size_t min = 0;
  size_t max = 10'000;
  bool required = false;
};

enum class Presence { kOptional, kRequired };

/// One name of an enumeration, as callers write it.
template <class E>
struct Name {
  std::string_view name;
  E value;
};

/// Reads a JSON object into a struct; the one way to do so. A struct says its fields once, to
/// any visitor of this shape (FieldReader reads them, FieldWriter prints them):
///
///     struct Mlp {
///       std::vector<int64_t> hidden = {128};
///       double dropout = 0;
///       template <class V>
///       void Describe(V& v) {
///         v.Ints("hidden", hidden, {.min = 1, .max = 65536}, {.min = 1, .max = 32});
///         v.Real("dropout", dropout, {.min = 0, .below = 1});
///       }
///     };
///     Mlp mlp;
///     RETURN_IF_ERROR(ReadFields(json, "spec.architecture", mlp));
///
/// A field that is absent keeps its default; null counts as absent. Errors name the field's
/// whole path and what was expected, "spec.architecture.hidden[1]: must be between 1 and 65536,
/// got 0"; a key that no field took is an error too. All errors are collected: Done() returns
/// them in one status, whose field is the first one's.
///
/// Keeps a reference to the object: it outlives the reader. One thread.
class FieldReader {
 public:
  FieldReader(const nlohmann::json& object, std::string path);
  ~FieldReader();
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  /// An integer of any width. Also taken: a number without a fraction ("1e3"), and decimal text
  /// ("42"), as protobuf's JSON mapping writes 64-bit integers.
  template <std::integral T>
  void Int(std::string_view name, T& out, const Limits& limits = {}) {
    static_assert(!std::same_as<T, bool>);
    const auto value = ReadInteger(name, limits, IntegerRange::Of<T>());
    if (value) out = static_cast<T>(*value);
  }
  /// A finite number.
  void Real(std::string_view name, double& out, const Limits& limits = {});
  void Bool(std::string_view name, bool& out, Presence presence = Presence::kOptional);
  void Text(std::string_view name, std::string& out, const TextLimits& limits = {});

  /// One of `names`, an array of Name<E>.
  template <class E, class Names>
  void Enum(std::string_view name, E& out, const Names& names,
            Presence presence = Presence::kOptional) {
    std::string text;
    if (!ReadChoice(name, text, presence)) return;
    std::vector<std::string_view> choices;
    for (const Name<E>& choice : names) {
      if (choice.name == text) {
        out = choice.value;
        return;
      }
      choices.push_back(choice.name);
    }
    FailChoice(name, text, choices);
  }

  void Ints(std::string_view name, std::vector<int64_t>& out, const Limits& each = {},
            const ListLimits& limits = {});
  void Reals(std::string_view name, std::vector<double>& out, const Limits& each = {},
             const ListLimits& limits = {});
  void Texts(std::string_view name, std::vector<std::string>& out, const TextLimits& each = {},
             const ListLimits& limits = {});

  /// A struct with Describe of its own.
  template <class T>
  void Object(std::string_view name, T& out, Presence presence = Presence::kOptional) {
    if (const nlohmann::json* value = FindObject(name, presence)) {
      FieldReader below(*value, JoinPath(path_, name), errors_);
      out.Describe(below);
      below.CheckUnknown();
    }
  }
  /// A struct that may be absent altogether.
  template <class T>
  void Object(std::string_view name, std::optional<T>& out) {
    if (const nlohmann::json* value = FindObject(name, Presence::kOptional)) {
      FieldReader below(*value, JoinPath(path_, name), errors_);
      out.emplace().Describe(below);
      below.CheckUnknown();
    }
  }
  /// A list of structs.
  template <class T>
  void Objects(std::string_view name, std::vector<T>& out, const ListLimits& limits = {}) {
    const auto items = FindObjects(name, limits);
    if (!items) return;
    out.clear();
    for (size_t i = 0; i < items->size(); ++i) {
      FieldReader below(*(*items)[i], JoinPath(JoinPath(path_, name), i), errors_);
      out.emplace_back().Describe(below);
      below.CheckUnknown();
    }
  }
  /// Any value, kept as it is for a parser that knows more (see kinds.h).
  void Raw(std::string_view name, nlohmann::json& out, Presence presence = Presence::kOptional);

  /// Adds an error of the struct's own, for instance about two fields together. An empty `name`
  /// means the object itself.
  void Fail(std::string_view name, std::string_view problem);

  /// The path of the object that is read.
  const std::string& path() const { return path_; }

  /// OK, or all errors in one InvalidField. Call once, after the last field.
  absl::Status Done();

 private:
  using Errors = std::vector<std::pair<std::string, std::string>>;  // path, problem

  struct IntegerRange {
    int64_t min;
    uint64_t max;
    template <class T>
    static IntegerRange Of() {
      return {static_cast<int64_t>(std::numeric_limits<T>::min()),
              static_cast<uint64_t>(std::numeric_limits<T>::max())};
    }
  };

  FieldReader(const nlohmann::json& object, std::string path, Errors* errors);

  const nlohmann::json* Find(std::string_view name, bool required);
  const nlohmann::json* FindObject(std::string_view name, Presence presence);
  const nlohmann::json* FindList(std::string_view name, const ListLimits& limits);
  std::optional<std::vector<const nlohmann::json*>> FindObjects(std::string_view name,
                                                                const ListLimits& limits);
  // The bit pattern of the integer: the caller's type says whether it is signed.
  std::optional<uint64_t> ReadInteger(std::string_view name, const Limits& limits,
                                      const IntegerRange& range);
  std::optional<uint64_t> ToInteger(const nlohmann::json& value, const std::string& path,
                                    const Limits& limits, const IntegerRange& range);
  std::optional<double> ToReal(const nlohmann::json& value, const std::string& path,
                               const Limits& limits);
  std::optional<std::string> ToText(const nlohmann::json& value, const std::string& path,
                                    const TextLimits& limits);
  bool ReadChoice(std::string_view name, std::string& out, Presence presence);
  void FailChoice(std::string_view name, std::string_view got,
                  const std::vector<std::string_view>& choices);
  void FailAt(std::string path, std::string problem);
  void CheckUnknown();

  const nlohmann::json& object_;
  const bool is_object_;
  const std::string path_;
  std::vector<std::string> known_;
  Errors own_errors_;  // of the outermost reader
  Errors* const errors_;
};

/// Reads `object` into `out`, whose Describe says the fields.
template <class T>
absl::Status ReadFields(const nlohmann::json& object, std::string path, T& out) {
  FieldReader reader(object, std::move(path));
  out.Describe(reader);
  return reader.Done();
}

/// The one of `names` that is nearest to `name`, or "" where none is near: for "did you mean".
std::string_view NearestName(std::string_view name, const std::vector<std::string_view>& names);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_FIELDS_FIELD_READER_H_
