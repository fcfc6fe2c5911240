#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ostream>

#include "CLI/CLI.hpp"
#include "common/crypto/hash.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

struct LocalFile {
  std::string path;  // inside the dataset
  std::string source;
};

// "train-images=/data/x.gz", or "/data/x.gz" for a file of the same name.
absl::StatusOr<LocalFile> ParseFile(const std::string& argument) {
  LocalFile file;
  const size_t equals = argument.find('=');
  file.source = equals == std::string::npos ? argument : argument.substr(equals + 1);
  file.path = equals == std::string::npos ? std::filesystem::path(argument).filename().string()
                                          : argument.substr(0, equals);
  std::error_code error;
  if (!std::filesystem::is_regular_file(file.source, error)) {
    return InvalidField("file", fmt::format("{} is not a file", file.source));
  }
  return file;
}

absl::StatusOr<std::string> DigestOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    hash.Update({buffer.data(), static_cast<size_t>(in.gcount())});
  }
  if (!in.eof()) return absl::InternalError(fmt::format("could not read {}", path));
  return "sha256:" + hash.FinishHex();
}

// Uploads one file, unless the tenant has its bytes already.
absl::StatusOr<json> UploadFile(const Session& session, const Api& api, const LocalFile& file) {
  ASSIGN_OR_RETURN(const std::string digest, DigestOf(file.source));
  absl::StatusOr<json> blob = api.Get(session.Path("blobs/" + digest));
  if (absl::IsNotFound(blob.status())) {
    std::ifstream in(file.source, std::ios::binary);
    const uint64_t size = std::filesystem::file_size(file.source);
    const bool show = IsTerminal(STDERR_FILENO) && session.format() == Format::kText;
    blob = api.Upload(session.Path("blobs"), {{"digest", digest}}, in, size, [&](uint64_t sent) {
      if (show) {
        session.err() << fmt::format("\r{}  {} of {}", file.path, Bytes(static_cast<double>(sent)),
                                     Bytes(static_cast<double>(size)))
                      << std::flush;
      }
    });
    if (show) session.err() << "\r\033[K";
  }
  if (!blob.ok()) return Annotate(blob.status(), file.path);
  return json{{"path", file.path}, {"digest", digest}};
}

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
  upload.add_option("files", options->files, "Files; NAME=FILE gives one another name inside")
      ->required();
  upload.add_option("--description", options->description, "For people");
  upload.footer(
      "Example:\n  slipway dataset upload fashion-mnist train-images=train-images-idx3-ubyte.gz "
      "train-labels=train-labels-idx1-ubyte.gz");
  session.OnRun(upload, [&session, options]() -> absl::Status {
    std::vector<LocalFile> files;
    for (const std::string& argument : options->files) {
      ASSIGN_OR_RETURN(files.emplace_back(), ParseFile(argument));
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    json body = {{"description", options->description}, {"files", json::array()}};
    for (const LocalFile& file : files) {
      ASSIGN_OR_RETURN(json uploaded, UploadFile(session, api, file));
      body["files"].push_back(std::move(uploaded));
    }
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
