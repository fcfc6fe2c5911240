#include <ostream>

#include "CLI/CLI.hpp"
#include "common/time/clock.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

void PrintProjects(const Session& session, const json& projects) {
  Table table({"PROJECT", "NAME", "STATE", "AGE"});
  for (const json& project : projects) {
    table.Add({LastSegment(TextOf(project, "name")), TextOf(project, "displayName"),
               TextOf(project, "state"), Age(TextOf(project, "createTime"), Clock::Real().Now())});
  }
  table.Print(session.out());
}

}  // namespace

void AddProjectCommands(CLI::App& root, Session& session) {
  CLI::App& project = *root.add_subcommand("project", "Projects: what keys and usage belong to");
  project.require_subcommand(1);

  struct Options {
    std::string id;
    std::string display_name;
  };
  auto options = std::make_shared<Options>();

  CLI::App& create = *project.add_subcommand("create", "Makes a project");
  create.add_option("id", options->id, "Its id: lower-case letters, digits and '-'")->required();
  create.add_option("--display-name", options->display_name, "A name for people");
  create.footer("Example:\n  slipway project create web-shop --display-name 'Web shop'");
  session.OnRun(create, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json made,
                     api.Post(session.Path("projects"), {{"displayName", options->display_name}},
                              {{"projectId", options->id}}));
    if (!session.PrintJson(made)) session.out() << "made " << TextOf(made, "name") << '\n';
    return absl::OkStatus();
  });

  CLI::App& list = *project.add_subcommand("list", "Lists the projects");
  list.footer("Example:\n  slipway --tenant acme project list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json projects, api.List(session.Path("projects"), "projects"));
    if (!session.PrintJson(projects)) PrintProjects(session, projects);
    return absl::OkStatus();
  });

  CLI::App& get = *project.add_subcommand("get", "Shows one project");
  get.add_option("id", options->id, "The project's id")->required();
  get.footer("Example:\n  slipway project get default");
  session.OnRun(get, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("projects/" + options->id)));
    if (!session.PrintJson(found)) PrintProjects(session, json::array({found}));
    return absl::OkStatus();
  });

  CLI::App& archive = *project.add_subcommand("archive", "Ends a project and its keys, for good");
  archive.add_option("id", options->id, "The project's id")->required();
  archive.footer("Example:\n  slipway project archive web-shop");
  session.OnRun(archive, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(
        const json archived,
        api.Post(session.Path("projects/" + options->id + ":archive"), json::object()));
    if (!session.PrintJson(archived)) {
      session.out() << "archived " << TextOf(archived, "name") << '\n';
    }
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
