#include "services/cli/completion.h"

#include <functional>
#include <vector>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::cli {
namespace {

struct Candidate {
  std::string word;
  std::string description;
};

// What may follow a command: its verbs and its long options, and those of the root, which may
// stand anywhere.
std::vector<Candidate> CandidatesOf(const CLI::App& root, const CLI::App& command) {
  std::vector<Candidate> candidates;
  for (const CLI::App* verb : command.get_subcommands([](const CLI::App*) { return true; })) {
    candidates.push_back({verb->get_name(), verb->get_description()});
  }
  const auto add_options = [&](const CLI::App& from) {
    for (const CLI::Option* option : from.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        candidates.push_back({"--" + name, option->get_description()});
      }
    }
  };
  add_options(command);
  if (&command != &root) {
    for (const CLI::Option* option : root.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        if (name != "help") candidates.push_back({"--" + name, option->get_description()});
      }
    }
  }
  return candidates;
}

void ForEachCommand(const CLI::App& root,
                    const std::function<void(const std::string& path, const CLI::App&)>& visit) {
  const std::function<void(const std::string&, const CLI::App&)> walk =
      [&](const std::string& path, const CLI::App& command) {
        visit(path, command);
        for (const CLI::App* verb : command.get_subcommands([](const CLI::App*) { return true; })) {
          walk(path + " " + verb->get_name(), *verb);
        }
      };
  walk(root.get_name(), root);
}

// "slipway key"|"slipway key create") for all paths that a word may lead to.
std::string KnownPaths(const CLI::App& root) {
  std::vector<std::string> paths;
  ForEachCommand(root, [&](const std::string& path, const CLI::App&) {
    paths.push_back(fmt::format("\"{}\"", path));
  });
  return fmt::format("{}", fmt::join(paths, "|"));
}

// In single quotes, for either shell.
std::string Quote(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string EscapeColons(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == ':' ? std::string("\\:") : std::string(1, c);
  return escaped;
}

}  // namespace

std::string BashCompletion(const CLI::App& root) {
  std::string cases;
  ForEachCommand(root, [&](const std::string& path, const CLI::App& command) {
    std::vector<std::string> words;
    for (const Candidate& candidate : CandidatesOf(root, command)) words.push_back(candidate.word);
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", path, fmt::join(words, " "));
  });
  return fmt::format(R"(# bash completion for slipway: source <(slipway completion bash)
_slipway() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path="slipway" words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$path" in
{}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _slipway slipway
)",
                     KnownPaths(root), cases);
}

std::string ZshCompletion(const CLI::App& root) {
  std::string cases;
  ForEachCommand(root, [&](const std::string& path, const CLI::App& command) {
    std::vector<std::string> entries;
    for (const Candidate& candidate : CandidatesOf(root, command)) {
      entries.push_back(
          Quote(EscapeColons(candidate.word) + ":" + EscapeColons(candidate.description)));
    }
    cases += fmt::format("    \"{}\") candidates=({}) ;;\n", path, fmt::join(entries, " "));
  });
  return fmt::format(R"(#compdef slipway
# zsh completion for slipway: source <(slipway completion zsh)
_slipway() {{
  local command_path="slipway" i
  local -a candidates
  for ((i = 2; i < CURRENT; i++)); do
    case "$command_path ${{words[i]}}" in
      {}) command_path="$command_path ${{words[i]}}" ;;
    esac
  done
  case "$command_path" in
{}  esac
  _describe 'slipway' candidates || _files
}}
if [ "${{funcstack[1]}}" = "_slipway" ]; then
  _slipway "$@"
else
  compdef _slipway slipway
fi
)",
                     KnownPaths(root), cases);
}

}  // namespace slipway::cli
