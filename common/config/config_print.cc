#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/config/node.h"
#include "common/fields/json.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "nlohmann/json.hpp"

namespace slipway {

// Shows fields: as YAML with comments, as a flat JSON object, as lines of --help.
class ConfigFields::Printer {
 public:
  static std::string Quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  struct Facts {
    const char* type;
    nlohmann::ordered_json value;
    std::string yaml;
  };

  static Facts Of(const Node& node) {
    if (auto* text = std::get_if<std::string*>(&node.value)) {
      return {"text", **text, Quoted(**text)};
    }
    if (auto* truth = std::get_if<bool*>(&node.value)) {
      return {"boolean", **truth, **truth ? "true" : "false"};
    }
    if (auto* integer = std::get_if<Node::Integer>(&node.value)) {
      return {"integer", integer->get(), fmt::format("{}", integer->get())};
    }
    if (auto* real = std::get_if<Node::Real>(&node.value)) {
      return {"number", *real->value, fmt::format("{}", *real->value)};
    }
    if (auto* duration = std::get_if<Node::Duration>(&node.value)) {
      const std::string text = absl::FormatDuration(*duration->value);
      return {"duration", text, text};
    }
    if (auto* list = std::get_if<std::vector<std::string>*>(&node.value)) {
      std::vector<std::string> quoted;
      for (const std::string& text : **list) quoted.push_back(Quoted(text));
      return {"texts", **list, fmt::format("[{}]", fmt::join(quoted, ", "))};
    }
    if (auto* secret = std::get_if<SecretFile*>(&node.value)) {
      return {"secret_file", (*secret)->path(), Quoted((*secret)->path())};
    }
    const auto& choice = std::get<Node::Choice>(node.value);
    return {"choice", *choice.value, Quoted(*choice.value)};
  }

  // The doc and what values are allowed.
  static std::string Doc(const Node& node) {
    std::string doc = node.doc;
    if (auto* choice = std::get_if<Node::Choice>(&node.value)) {
      doc += fmt::format(" ({})", fmt::join(choice->choices, ", "));
    } else if (auto* integer = std::get_if<Node::Integer>(&node.value)) {
      doc += Range(integer->range, "{:.0f}");
    } else if (auto* real = std::get_if<Node::Real>(&node.value)) {
      doc += Range(real->range, "{}");
    }
    return doc;
  }

  static void Yaml(const ConfigFields& fields, const std::string& indent, std::string& out) {
    for (const auto& node : fields.nodes_) {
      out += fmt::format("{}# {}\n", indent, Doc(*node));
      if (auto* group = std::get_if<Node::Group>(&node->value)) {
        out += fmt::format("{}{}:\n", indent, node->name);
        Yaml(*group->fields, indent + "  ", out);
      } else if (auto* list = std::get_if<Node::List>(&node->value)) {
        YamlList(*node, *list, indent, out);
      } else {
        out += fmt::format("{}{}: {}\n", indent, node->name, Of(*node).yaml);
      }
    }
  }

  static void Json(const ConfigFields& fields, const std::string& prefix,
                   const std::string& environment_prefix, nlohmann::ordered_json& out) {
    std::vector<Leaf> leaves;
    fields.CollectLeaves("", leaves);
    for (const Leaf& leaf : leaves) {
      const std::string key = prefix.empty() ? leaf.key : JoinPath(prefix, leaf.key);
      nlohmann::ordered_json entry;
      const auto* list = std::get_if<Node::List>(&leaf.node->value);
      if (list != nullptr) {
        entry["type"] = "list";
      } else {
        const Facts facts = Of(*leaf.node);
        entry["type"] = facts.type;
        entry["default"] = facts.value;
      }
      entry["description"] = leaf.node->doc;
      if (auto* choice = std::get_if<Node::Choice>(&leaf.node->value)) {
        entry["choices"] = choice->choices;
      }
      if (!environment_prefix.empty()) entry["environment"] = environment_prefix + leaf.environment;
      out[key] = std::move(entry);
      if (list != nullptr) {
        list->visit_item(list->size(),
                         [&](ConfigFields& item) { Json(item, key + "[]", "", out); });
      }
    }
  }

 private:
  static std::string Range(const ConfigRange& range, const char* format) {
    const auto show = [&](double value) { return fmt::format(fmt::runtime(format), value); };
    const bool lower = range.min > std::numeric_limits<double>::lowest();
    const bool upper = range.max < std::numeric_limits<double>::max();
    if (lower && upper) return fmt::format(" ({} to {})", show(range.min), show(range.max));
    if (lower) return fmt::format(" (at least {})", show(range.min));
    if (upper) return fmt::format(" (at most {})", show(range.max));
    return "";
  }

  // Items as they are; for an empty list one item in comments, to show its fields.
  static void YamlList(const Node& node, const Node::List& list, const std::string& indent,
                       std::string& out) {
    const size_t size = list.size();
    out += fmt::format("{}{}:{}\n", indent, node.name, size == 0 ? " []" : "");
    for (size_t i = 0; i < std::max<size_t>(size, 1); ++i) {
      list.visit_item(i, [&](ConfigFields& item) {
        std::string text;
        Yaml(item, "", text);
        const std::string margin = size == 0 ? indent + "# " : indent;
        std::string lead = "  - ";
        while (!text.empty()) {
          const size_t end = text.find('\n');
          out += margin + lead + text.substr(0, end) + "\n";
          text.erase(0, end + 1);
          lead = "    ";
        }
      });
    }
  }
};

std::string ConfigFields::ToYaml() const {
  std::string out;
  Printer::Yaml(*this, "", out);
  return out;
}

std::string ConfigFields::ToJson(std::string_view service) const {
  Leaves();  // Refuses variables that would be called the same.
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  Printer::Json(*this, "", EnvironmentPrefix(service), out);
  return out.dump(2) + "\n";
}

std::string ConfigFields::Help(std::string_view service) const {
  std::string out = fmt::format(
      "Usage: slipway-{0} [--config FILE.yaml] [--set key=value]...\n"
      "\n"
      "  --config FILE            settings, as --print-config prints them\n"
      "  --set key=value          one setting; may be given again\n"
      "  --print-config[=json]    the settings as they are, with what they mean, and stop\n"
      "  --version                this program's version\n"
      "  --help                   this text\n"
      "\n"
      "A setting is its default, or what the file says, or what the environment variable says, or\n"
      "what --set says: the last of these wins. Settings:\n",
      service);
  for (const Leaf& leaf : Leaves()) {
    const bool is_list = std::holds_alternative<Node::List>(leaf.node->value);
    out += fmt::format("\n  {} = {}\n      {}\n      {}{}\n", leaf.key,
                       is_list ? "(a list)" : Printer::Of(*leaf.node).yaml,
                       Printer::Doc(*leaf.node), EnvironmentPrefix(service), leaf.environment);
  }
  return out;
}

}  // namespace slipway
