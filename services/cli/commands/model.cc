#include <filesystem>
#include <fstream>
#include <ostream>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/fields/json.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/metrics_view.h"
#include "services/cli/output.h"
#include "services/cli/upload.h"
#include "services/cli/yaml_file.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

std::string Shape(const json& tensor) {
  std::string text;
  for (const json& dimension : tensor.value("shape", json::array())) {
    const std::string size =
        dimension.is_string() ? dimension.get<std::string>() : dimension.dump();
    text += (text.empty() ? "" : "x") + (size == "-1" ? std::string("?") : size);
  }
  return fmt::format("{} {} [{}]", TextOf(tensor, "name"), TextOf(tensor, "datatype"), text);
}

// "image:FP32:-1,28,28", as the API has it.
absl::StatusOr<json> ParseTensor(const std::string& option, const std::string& text) {
  const size_t second = text.rfind(':');
  const size_t first = second == 0 || second == text.npos ? text.npos : text.rfind(':', second - 1);
  if (first == text.npos) return InvalidField(option, "must be name:datatype:shape");
  json shape = json::array();
  for (const auto dimension : absl::StrSplit(text.substr(second + 1), ',', absl::SkipEmpty())) {
    int64_t size = 0;
    if (!absl::SimpleAtoi(dimension, &size)) {
      return InvalidField(option, "has a shape that is not like -1,28,28");
    }
    shape.push_back(size);
  }
  return json{{"name", text.substr(0, first)},
              {"datatype", text.substr(first + 1, second - first - 1)},
              {"shape", shape}};
}

void PrintVersion(const Session& session, const json& version) {
  std::ostream& out = session.out();
  out << TextOf(version, "name") << '\n';
  const json lineage = version.value("lineage", json::object());
  const auto print = [&out](const char* label, const std::string& value) {
    if (!value.empty()) out << fmt::format("  {:<15} {}\n", label, value);
  };
  print("origin", TextOf(version, "origin"));
  print("job", TextOf(lineage, "job"));
  print("dataset", TextOf(lineage, "dataset"));
  print("dataset digest", ShortDigest(TextOf(lineage, "datasetDigest")));
  print("code version", TextOf(lineage, "codeVersion"));
  print("seed", TextOf(lineage, "seed"));
  const json signature = version.value("signature", json::object());
  for (const json& input : signature.value("inputs", json::array())) {
    print("input", Shape(input));
  }
  for (const json& output : signature.value("outputs", json::array())) {
    print("output", Shape(output));
  }
  for (const json& state : signature.value("states", json::array())) {
    print("state", fmt::format("{} -> {}", TextOf(state, "output"), TextOf(state, "input")));
  }
  const json metrics = version.value("metrics", json::object());
  PrintMetrics(out, metrics, 15);
  const json artifact = version.value("artifact", json::object());
  print("artifact", ShortDigest(TextOf(artifact, "digest")));
  for (const json& file : artifact.value("files", json::array())) {
    print("file", fmt::format("{}  {}", TextOf(file, "path"), Bytes(NumberOf(file, "sizeBytes"))));
  }
  for (const json& step : version.value("pipeline", json::object()).value("steps", json::array())) {
    const std::string when = TextOf(step, "when");
    print("step", fmt::format("{}  {}{}", TextOf(step, "name"), TextOf(step, "modelVersion"),
                              when.empty() ? "" : "  when " + when));
  }
  PrintClassMetrics(out, metrics);
}

// What the trainer wrote of the version's test; empty where it wrote nothing.
absl::StatusOr<json> FetchEvaluation(const Session& session, const Api& api, const json& version) {
  const json artifact = version.value("artifact", json::object());
  for (const json& file : artifact.value("files", json::array())) {
    if (TextOf(file, "path") != "about/evaluation.json") continue;
    std::string text;
    RETURN_IF_ERROR(api.Download(session.Path("blobs/" + TextOf(file, "digest") + ":download"),
                                 [&](std::string_view piece) {
                                   text += piece;
                                   return absl::OkStatus();
                                 }));
    return ParseJson(text, "evaluation.json");
  }
  return json::object();
}

// Of texts "INPUT=OUTPUT".
absl::StatusOr<json> ParseStates(const std::vector<std::string>& texts) {
  json states = json::array();
  for (const std::string& text : texts) {
    const size_t middle = text.find('=');
    if (middle == std::string::npos) {
      return InvalidField("--state", fmt::format("must be INPUT=OUTPUT, got {}", text));
    }
    states.push_back({{"input", text.substr(0, middle)}, {"output", text.substr(middle + 1)}});
  }
  return states;
}

// In a file a step's model may be named within the tenant: "models/x/versions/1".
void NameTenant(const std::string& tenant, json& pipeline) {
  if (!pipeline.contains("steps") || !pipeline["steps"].is_array()) return;
  for (json& step : pipeline["steps"]) {
    if (!step.is_object()) continue;
    const std::string model = TextOf(step, "model_version");
    if (model.starts_with("models/")) step["model_version"] = tenant + "/" + model;
  }
}

}  // namespace

void AddModelCommands(CLI::App& root, Session& session) {
  CLI::App& model = *root.add_subcommand("model", "Models, their versions and aliases");
  model.require_subcommand(1);

  struct Options {
    std::string id;
    std::string version;
    std::string alias;
    std::string folder;
    std::string format;
    std::string description;
    std::string file;
    std::vector<std::string> files;
    std::vector<std::string> labels;
    std::vector<std::string> states;
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    std::string method;
  };
  auto options = std::make_shared<Options>();

  CLI::App& list = *model.add_subcommand("list", "Lists the models");
  list.footer("Example:\n  slipway model list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json models, api.List(session.Path("models"), "models"));
    if (session.PrintJson(models)) return absl::OkStatus();
    Table table({"MODEL", "LATEST", "AGE"});
    for (const json& each : models) {
      table.Add({LastSegment(TextOf(each, "name")), TextOf(each, "latestVersion"),
                 Age(TextOf(each, "createTime"), Clock::Real().Now())});
    }
    table.Print(session.out());
    return absl::OkStatus();
  });

  CLI::App& versions = *model.add_subcommand("versions", "Lists a model's versions, newest first");
  versions.add_option("model", options->id, "The model's id")->required();
  versions.footer("Example:\n  slipway model versions fashion-mnist-cnn");
  session.OnRun(versions, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.List(session.Path("models/" + options->id + "/versions"),
                                                "modelVersions"));
    if (session.PrintJson(found)) return absl::OkStatus();
    Table table({"VERSION", "ACCURACY", "JOB", "AGE"});
    for (const json& each : found) {
      const json metrics = each.value("metrics", json::object());
      table.Add(
          {LastSegment(TextOf(each, "name")),
           metrics.contains("accuracy") ? fmt::format("{:.4f}", NumberOf(metrics, "accuracy")) : "",
           LastSegment(TextOf(each.value("lineage", json::object()), "job")),
           Age(TextOf(each, "createTime"), Clock::Real().Now())});
    }
    table.Print(session.out());
    return absl::OkStatus();
  });

  CLI::App& get =
      *model.add_subcommand("get", "Shows a version: metrics, lineage, signature, files");
  get.add_option("model", options->id, "The model's id")->required();
  get.add_option("version", options->version, "Its number")->required();
  get.footer("Example:\n  slipway model get fashion-mnist-cnn 1");
  session.OnRun(get, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("models/" + options->id + "/versions/" +
                                                            options->version)));
    if (session.PrintJson(found)) return absl::OkStatus();
    PrintVersion(session, found);
    ASSIGN_OR_RETURN(const json evaluation, FetchEvaluation(session, api, found));
    PrintConfusionMatrix(session.out(), evaluation);
    return absl::OkStatus();
  });

  CLI::App& upload =
      *model.add_subcommand("upload", "Makes a version of files that another framework wrote");
  upload.add_option("model", options->id, "The model's id; made where it is absent")->required();
  upload.add_option("files", options->files, "Files or folders; NAME=FILE renames one inside")
      ->required();
  upload.add_option("--format", options->format, "What the files are; see below")
      ->required()
      ->check(CLI::IsMember({"onnx", "tensorflow", "paddle", "torchscript", "slipway"}));
  upload.add_option("--label", options->labels, "A class's name; once each, in order");
  upload.add_option("--state", options->states,
                    "INPUT=OUTPUT: what a sequence keeps from call to call");
  upload.add_option("--description", options->description, "For people");
  upload.add_option("--input", options->inputs, "name:datatype:shape; once each, in order");
  upload.add_option("--output", options->outputs, "The same; where the files do not say");
  upload.add_option("--method", options->method, "torchscript: what is called; else forward");
  upload.footer(
      "Formats and what their files are called inside:\n"
      "  onnx        model.onnx (a single file gets this name), its external data\n"
      "  tensorflow  a SavedModel: saved_model.pb, variables/...\n"
      "  paddle      inference.pdmodel, inference.pdiparams\n"
      "  torchscript model.pt (a single file gets this name); needs --input and\n"
      "              --output, and the operator's leave: it is code\n"
      "  slipway     architecture.json, model.safetensors\n"
      "With samples.safetensors, some rows of each input by name, the version can\n"
      "be deployed with --precision bfloat16.\n"
      "Example:\n  slipway model upload digits --format onnx digits.onnx\n"
      "  slipway model upload digits --format tensorflow ./saved_model\n"
      "  slipway model upload pump --format onnx pump.onnx --state mean_in=mean_out\n"
      "  slipway model upload digits --format torchscript digits.pt \\\n"
      "    --input picture:FP32:-1,28,28 --output logits:FP32:-1,10");
  session.OnRun(upload, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<LocalFile> files, ParseFiles(options->files));
    if (options->format == "onnx" && files.size() == 1) files[0].path = "model.onnx";
    if (options->format == "torchscript" && files.size() == 1) files[0].path = "model.pt";
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    json version = {{"description", options->description}, {"labels", options->labels}};
    for (const std::string& text : options->inputs) {
      ASSIGN_OR_RETURN(const json input, ParseTensor("--input", text));
      version["signature"]["inputs"].push_back(input);
    }
    for (const std::string& text : options->outputs) {
      ASSIGN_OR_RETURN(const json output, ParseTensor("--output", text));
      version["signature"]["outputs"].push_back(output);
    }
    if (!options->method.empty()) version["signature"]["method"] = options->method;
    version["artifact"]["format"] = options->format;
    if (!options->states.empty()) {
      ASSIGN_OR_RETURN(version["signature"]["states"], ParseStates(options->states));
    }
    ASSIGN_OR_RETURN(version["artifact"]["files"], UploadFiles(session, api, files));
    ASSIGN_OR_RETURN(const json made,
                     api.Post(session.Path("models/" + options->id + "/versions"), version));
    if (!session.PrintJson(made)) PrintVersion(session, made);
    return absl::OkStatus();
  });

  CLI::App& pipeline =
      *model.add_subcommand("pipeline", "Makes a version that runs other versions as one");
  pipeline.add_option("model", options->id, "The model's id; made where it is absent")->required();
  pipeline.add_option("file", options->file, "Its steps and how they are wired, YAML")->required();
  pipeline.add_option("--label", options->labels, "A class's name; once each, in order");
  pipeline.add_option("--description", options->description, "For people");
  pipeline.footer(
      "The file:\n"
      "  inputs: [photo]\n"
      "  steps:\n"
      "    - name: prepare\n"
      "      model_version: models/prepare/versions/1    # or aliases/live\n"
      "      inputs: {photo: inputs.photo}\n"
      "    - name: classify\n"
      "      model_version: models/shoes/versions/3\n"
      "      inputs: {image: prepare.image}\n"
      "      when: prepare.sharpness > 0.2               # only such rows\n"
      "  outputs: {scores: classify.scores | prepare.no-scores}\n"
      "Example:\n  slipway model pipeline cascade examples/fashion-mnist-cascade/pipeline.yaml");
  session.OnRun(pipeline, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(json definition, ReadYamlFile(options->file, "pipeline"));
    NameTenant(session.Tenant(), definition);
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    const json version = {{"description", options->description},
                          {"labels", options->labels},
                          {"pipeline", std::move(definition)}};
    ASSIGN_OR_RETURN(const json made,
                     api.Post(session.Path("models/" + options->id + "/versions"), version));
    if (!session.PrintJson(made)) PrintVersion(session, made);
    return absl::OkStatus();
  });

  CLI::App& download = *model.add_subcommand("download", "Downloads a version's files");
  download.add_option("model", options->id, "The model's id")->required();
  download.add_option("version", options->version, "Its number")->required();
  download.add_option("folder", options->folder, "Where to")->required();
  download.footer("Example:\n  slipway model download fashion-mnist-cnn 1 ./model");
  session.OnRun(download, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("models/" + options->id + "/versions/" +
                                                            options->version)));
    for (const json& file : found["artifact"].value("files", json::array())) {
      const std::filesystem::path path =
          std::filesystem::path(options->folder) / TextOf(file, "path");
      std::error_code error;
      std::filesystem::create_directories(path.parent_path(), error);
      std::ofstream out(path, std::ios::binary);
      if (!out) return InvalidField("folder", fmt::format("{} cannot be written", path.string()));
      RETURN_IF_ERROR(api.Download(
          session.Path("blobs/" + TextOf(file, "digest") + ":download"),
          [&](std::string_view piece) -> absl::Status {
            out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
            return out ? absl::OkStatus() : FromErrno(errno, "could not write", path.string());
          }));
      if (session.format() == Format::kText) session.out() << path.string() << '\n';
    }
    session.PrintJson(found);
    return absl::OkStatus();
  });

  CLI::App& alias = *model.add_subcommand("alias", "Points an alias at a version");
  alias.add_option("model", options->id, "The model's id")->required();
  alias.add_option("alias", options->alias, "The alias, such as production")->required();
  alias.add_option("version", options->version, "The version's number")->required();
  alias.footer("Example:\n  slipway model alias fashion-mnist-cnn production 2");
  session.OnRun(alias, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    const std::string name = session.Tenant() + "/models/" + options->id;
    ASSIGN_OR_RETURN(
        const json set,
        api.Call("PUT", session.Path("models/" + options->id + "/aliases/" + options->alias),
                 {{"version", name + "/versions/" + options->version}}));
    if (!session.PrintJson(set)) {
      session.out() << fmt::format("{} is {}\n", TextOf(set, "name"), TextOf(set, "version"));
    }
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
