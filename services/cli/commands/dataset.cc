#include <ostream>

#include "CLI/CLI.hpp"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"
#include "services/cli/upload.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

void PrintDatasets(const Session& session, const json& datasets) {
  Table table({"DATASET", "FILES", "SIZE", "DIGEST", "AGE"});
  for (const json& dataset : datasets) {
    table.Add({LastSegment(TextOf(dataset, "name")),
               std::to_string(dataset.contains("files") ? dataset["files"].size() : 0),
               Bytes(NumberOf(dataset, "sizeBytes")), ShortDigest(TextOf(dataset, "digest")),
               Age(TextOf(dataset, "createTime"), Clock::Real().Now())});
  }
  table.Print(session.out());
}

}  // namespace

void AddDatasetCommands(CLI::App& root, Session& session) {
  CLI::App& dataset = *root.add_subcommand("dataset", "Datasets to train on");
  dataset.require_subcommand(1);

  struct Options {
    std::string id;
    std::vector<std::string> files;
    std::string description;
  };
  auto options = std::make_shared<Options>();

  CLI::App& upload = *dataset.add_subcommand("upload", "Uploads files and makes a dataset of them");
  upload.add_option("id", options->id, "The dataset's id")->required();
  upload.add_option("files", options->files, "Files or folders; NAME=FILE renames one inside")
      ->required();
  upload.add_option("--description", options->description, "For people");
  upload.footer(
      "Example:\n  slipway dataset upload fashion-mnist train-images=train-images-idx3-ubyte.gz "
      "train-labels=train-labels-idx1-ubyte.gz");
  session.OnRun(upload, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<LocalFile> files, ParseFiles(options->files));
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    json body = {{"description", options->description}};
    ASSIGN_OR_RETURN(body["files"], UploadFiles(session, api, files));
    ASSIGN_OR_RETURN(const json made,
                     api.Post(session.Path("datasets"), body, {{"datasetId", options->id}}));
    if (session.PrintJson(made)) return absl::OkStatus();
    session.out() << fmt::format("made {} of {} files, {}\n", TextOf(made, "name"), files.size(),
                                 Bytes(NumberOf(made, "sizeBytes")));
    return absl::OkStatus();
  });

  CLI::App& list = *dataset.add_subcommand("list", "Lists the datasets");
  list.footer("Example:\n  slipway dataset list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json datasets, api.List(session.Path("datasets"), "datasets"));
    if (!session.PrintJson(datasets)) PrintDatasets(session, datasets);
    return absl::OkStatus();
  });

  CLI::App& get = *dataset.add_subcommand("get", "Shows a dataset and its files");
  get.add_option("id", options->id, "The dataset's id")->required();
  get.footer("Example:\n  slipway dataset get fashion-mnist");
  session.OnRun(get, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("datasets/" + options->id)));
    if (session.PrintJson(found)) return absl::OkStatus();
    PrintDatasets(session, json::array({found}));
    session.out() << '\n';
    Table files({"FILE", "SIZE", "DIGEST"});
    for (const json& file : found.value("files", json::array())) {
      files.Add({TextOf(file, "path"), Bytes(NumberOf(file, "sizeBytes")),
                 ShortDigest(TextOf(file, "digest"))});
    }
    files.Print(session.out());
    return absl::OkStatus();
  });

  CLI::App& remove = *dataset.add_subcommand("delete", "Deletes a dataset");
  remove.add_option("id", options->id, "The dataset's id")->required();
  remove.footer("Example:\n  slipway dataset delete fashion-mnist");
  session.OnRun(remove, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    RETURN_IF_ERROR(api.Call("DELETE", session.Path("datasets/" + options->id), nullptr).status());
    if (!session.PrintJson(json::object())) session.out() << "deleted " << options->id << '\n';
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
