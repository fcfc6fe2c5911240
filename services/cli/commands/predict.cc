#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <ostream>
#include <sstream>

#include "CLI/CLI.hpp"
#include "common/fields/json.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/idx.h"
#include "services/cli/output.h"
#include "services/cli/picture.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

// Five pictures of 14 cells fit a terminal of 80 columns.
constexpr int kPictureColumns = 14;
constexpr int kCellWidth = kPictureColumns + 2;

struct Options {
  std::string endpoint;
  std::string request_file;
  std::string images;
  std::string labels;
  std::vector<int64_t> indices = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
};

struct Prediction {
  std::string label;
  double probability = 0;
};

// The tensor's shape for `pictures`: [rows, height, width].
absl::StatusOr<std::vector<int64_t>> ShapeFor(const json& input,
                                              const std::vector<int64_t>& pictures) {
  const int64_t rows = pictures[0];
  const int64_t elements = pictures[1] * pictures[2];
  std::vector<int64_t> shape;
  int64_t count = 1;
  for (const json& dimension : input.value("shape", json::array())) {
    const int64_t size = dimension.get<int64_t>();
    // A model of pictures of any size takes them as they are.
    const size_t place = std::min(shape.size(), pictures.size() - 1);
    shape.push_back(size < 0 ? pictures[place] : size);
    count *= shape.back();
  }
  if (count != rows * elements) {
    return InvalidField("--images",
                        fmt::format("a picture has {} pixels; {} takes {} values a row", elements,
                                    TextOf(input, "name"), rows == 0 ? 0 : count / rows));
  }
  return shape;
}

// The class with the greatest probability.
Prediction Best(const std::vector<double>& probabilities, const json& labels) {
  const auto best = std::max_element(probabilities.begin(), probabilities.end());
  const auto index = static_cast<size_t>(best - probabilities.begin());
  return {index < labels.size() ? labels[index].get<std::string>() : std::to_string(index), *best};
}

absl::StatusOr<std::vector<Prediction>> Predictions(const json& answer, size_t rows,
                                                    const json& labels) {
  const json outputs = answer.value("outputs", json::array());
  if (outputs.empty()) return absl::InternalError("the answer holds no outputs");
  // What has a value for each class; other outputs may say more of the picture.
  const auto scores = std::find_if(outputs.begin(), outputs.end(), [&](const json& output) {
    return output.value("data", json::array()).size() > rows;
  });
  const json& chosen = scores == outputs.end() ? outputs[0] : *scores;
  const json data = chosen.value("data", json::array());
  if (rows == 0 || data.size() % rows != 0 || data.empty()) {
    return absl::InternalError(fmt::format("{} answered {} values for {} pictures",
                                           TextOf(chosen, "name"), data.size(), rows));
  }
  const size_t classes = data.size() / rows;
  std::vector<Prediction> predictions;
  for (size_t row = 0; row < rows; ++row) {
    std::vector<double> probabilities;
    for (size_t i = 0; i < classes; ++i)
      probabilities.push_back(data[row * classes + i].get<double>());
    predictions.push_back(Best(probabilities, labels));
  }
  return predictions;
}

std::string Cell(std::string text, int width) {
  const int size = static_cast<int>(DisplayWidth(text));
  if (size > width) return text.substr(0, static_cast<size_t>(width));
  return text + std::string(static_cast<size_t>(width - size), ' ');
}

void PrintGallery(std::ostream& out, const std::vector<Picture>& pictures,
                  const std::vector<std::vector<std::string>>& captions, Ink ink, int width) {
  const size_t per_row = static_cast<size_t>(std::max(1, width / kCellWidth));
  for (size_t first = 0; first < pictures.size(); first += per_row) {
    const size_t end = std::min(pictures.size(), first + per_row);
    std::vector<std::vector<std::string>> drawn;
    for (size_t i = first; i < end; ++i) drawn.push_back(Draw(pictures[i], kPictureColumns, ink));
    for (size_t line = 0; line < drawn[0].size(); ++line) {
      for (const auto& picture : drawn) out << picture[line] << "  ";
      out << '\n';
    }
    for (size_t line = 0; line < captions[first].size(); ++line) {
      for (size_t i = first; i < end; ++i) out << Cell(captions[i][line], kCellWidth);
      out << '\n';
    }
    out << '\n';
  }
}

json LabelsOf(const json& metadata) {
  const std::string text = TextOf(metadata.value("properties", json::object()), "labels");
  const json labels = json::parse(text, nullptr, false);
  return labels.is_array() ? labels : json::array();
}

absl::Status PredictPictures(const Session& session, const Api& api, const Options& options) {
  ASSIGN_OR_RETURN(const IdxItems images, ReadIdx(options.images, options.indices));
  if (images.shape.size() != 3) return InvalidField("--images", "must hold grey pictures");
  const std::string path = "/v2/models/" + options.endpoint;
  ASSIGN_OR_RETURN(const json metadata, api.Get(path));
  const json inputs = metadata.value("inputs", json::array());
  if (inputs.empty()) {
    return absl::UnavailableError(
        fmt::format("no worker has {} loaded; `slipway deploy get {}` says why", options.endpoint,
                    options.endpoint));
  }
  if (inputs.size() != 1) {
    return InvalidField("endpoint", fmt::format("{} takes {} inputs; use --request",
                                                options.endpoint, inputs.size()));
  }
  std::vector<Picture> pictures;
  json data = json::array();
  for (const std::vector<uint8_t>& item : images.items) {
    pictures.push_back(
        {static_cast<int>(images.shape[1]), static_cast<int>(images.shape[2]), item});
    for (const uint8_t pixel : item) data.push_back(pixel);
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape,
                   ShapeFor(inputs[0], {std::ssize(pictures), images.shape[1], images.shape[2]}));
  ASSIGN_OR_RETURN(const json answer,
                   api.Post(path + "/infer", {{"inputs",
                                               {{{"name", TextOf(inputs[0], "name")},
                                                 {"datatype", TextOf(inputs[0], "datatype")},
                                                 {"shape", shape},
                                                 {"data", std::move(data)}}}}}));
  const json labels = LabelsOf(metadata);
  ASSIGN_OR_RETURN(const std::vector<Prediction> predictions,
                   Predictions(answer, pictures.size(), labels));

  std::vector<std::string> truths(pictures.size());
  if (!options.labels.empty()) {
    ASSIGN_OR_RETURN(const IdxItems truth, ReadIdx(options.labels, options.indices));
    if (truth.shape.size() != 1) return InvalidField("--labels", "must hold one label a picture");
    for (size_t i = 0; i < truths.size(); ++i) {
      const size_t index = truth.items[i][0];
      truths[i] = index < labels.size() ? labels[index].get<std::string>() : std::to_string(index);
    }
  }
  json rows = json::array();
  std::vector<std::vector<std::string>> captions;
  int right = 0;
  for (size_t i = 0; i < pictures.size(); ++i) {
    rows.push_back({{"index", options.indices[i]},
                    {"label", predictions[i].label},
                    {"probability", predictions[i].probability}});
    std::vector<std::string> caption = {predictions[i].label,
                                        fmt::format("{:.1f}%", predictions[i].probability * 100)};
    if (!truths[i].empty()) {
      rows.back()["truth"] = truths[i];
      const bool same = truths[i] == predictions[i].label;
      right += same ? 1 : 0;
      caption[1] += same ? " ✓" : " ✗ " + truths[i];
    }
    captions.push_back(std::move(caption));
  }
  if (session.PrintJson(rows)) return absl::OkStatus();
  PrintGallery(session.out(), pictures, captions,
               MayColour(STDOUT_FILENO) ? Ink::kColour : Ink::kShades,
               TerminalWidth(STDOUT_FILENO));
  if (!options.labels.empty()) {
    session.out() << fmt::format("{} of {} right\n", right, pictures.size());
  }
  return absl::OkStatus();
}

absl::Status PredictRequest(const Session& session, const Api& api, const Options& options) {
  std::stringstream text;
  if (options.request_file == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream in(options.request_file);
    if (!in) return InvalidField("--request", options.request_file + " cannot be read");
    text << in.rdbuf();
  }
  ASSIGN_OR_RETURN(const json request, ParseJson(text.str(), "request"));
  ASSIGN_OR_RETURN(const json answer,
                   api.Post("/v2/models/" + options.endpoint + "/infer", request));
  session.out() << answer.dump(2) << '\n';
  return absl::OkStatus();
}

}  // namespace

void AddPredictCommand(CLI::App& root, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App& predict = *root.add_subcommand("predict", "Calls an endpoint");
  predict.add_option("endpoint", options->endpoint, "The deployment's id")->required();
  CLI::Option* request = predict.add_option(
      "--request", options->request_file,
      "An Open Inference Protocol request, JSON;\n'-' reads it from standard input");
  predict.add_option("--images", options->images, "Grey pictures as an IDX file, also gzipped")
      ->excludes(request);
  predict.add_option("--labels", options->labels, "The right answers, to compare with")
      ->excludes(request);
  predict.add_option("--index", options->indices, "Which pictures: 0,3,7")
      ->delimiter(',')
      ->excludes(request);
  predict.footer(
      "Example:\n  slipway predict fashion --images t10k-images-idx3-ubyte.gz --index 0,1,2");
  session.OnRun(predict, [&session, options]() -> absl::Status {
    if (options->images.empty() && options->request_file.empty()) {
      return InvalidField("--images", "give --images or --request");
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    return options->images.empty() ? PredictRequest(session, api, *options)
                                   : PredictPictures(session, api, *options);
  });
}

}  // namespace slipway::cli
