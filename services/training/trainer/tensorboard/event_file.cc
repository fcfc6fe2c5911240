#include "services/training/trainer/tensorboard/event_file.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/crc.hpp>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "png.h"
#include "tensorboard/events.pb.h"

namespace slipway::trainer {
namespace {

using nlohmann::json;

constexpr char kVersion[] = "brain.Event:2";
constexpr char kHyperparameters[] = "hparams";

void AppendLittleEndian(uint64_t value, int bytes, std::string& out) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// CRC-32C, rotated and moved, so that the checksum of bytes that hold checksums is none of them.
uint32_t MaskedCrc(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const uint32_t sum = crc.checksum();
  return ((sum >> 15) | (sum << 17)) + 0xa282ead8U;
}

void AppendRecord(std::string_view data, std::string& out) {
  std::string length;
  AppendLittleEndian(data.size(), 8, length);
  out += length;
  AppendLittleEndian(MaskedCrc(length), 4, out);
  out += data;
  AppendLittleEndian(MaskedCrc(data), 4, out);
}

tensorboard::Event At(absl::Time now, int64_t step) {
  tensorboard::Event event;
  event.set_wall_time(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
  event.set_step(step);
  return event;
}

// Upper ends of buckets that grow by a tenth, from -1e20 to 1e20, as TensorFlow's.
const std::vector<double>& BucketLimits() {
  static const auto* const limits = [] {
    std::vector<double> positive;
    for (double limit = 1e-12; limit < 1e20; limit *= 1.1) positive.push_back(limit);
    positive.push_back(std::numeric_limits<double>::max());
    auto* all = new std::vector<double>;
    for (auto limit = positive.rbegin(); limit != positive.rend(); ++limit) all->push_back(-*limit);
    all->push_back(0);
    all->insert(all->end(), positive.begin(), positive.end());
    return all;
  }();
  return *limits;
}

tensorboard::HistogramProto HistogramOf(std::span<const float> values) {
  const std::vector<double>& limits = BucketLimits();
  std::vector<int64_t> counts(limits.size());
  tensorboard::HistogramProto histogram;
  double min = std::numeric_limits<double>::max();
  double max = std::numeric_limits<double>::lowest();
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    min = std::min<double>(min, value);
    max = std::max<double>(max, value);
    sum += value;
    squares += static_cast<double>(value) * value;
    ++counts[std::upper_bound(limits.begin(), limits.end() - 1, value) - limits.begin()];
  }
  histogram.set_min(min);
  histogram.set_max(max);
  histogram.set_num(static_cast<double>(values.size()));
  histogram.set_sum(sum);
  histogram.set_sum_squares(squares);
  // From the first bucket that holds something to the last.
  const auto holds = [](int64_t count) { return count > 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), holds);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), holds).base();
  for (auto count = first; count != last; ++count) {
    histogram.add_bucket_limit(limits[count - counts.begin()]);
    histogram.add_bucket(static_cast<double>(*count));
  }
  return histogram;
}

std::string Png(std::string_view bytes, int height, int width) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_GRAY;
  std::string out(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = out.size();
  if (!png_image_write_to_memory(&image, out.data(), &size, /*convert_to_8_bit=*/0, bytes.data(),
                                 /*row_stride=*/0, /*colormap=*/nullptr)) {
    size = 0;
  }
  out.resize(size);
  return out;
}

tensorboard::TensorShapeProto ShapeOf(const TensorSpec& spec) {
  tensorboard::TensorShapeProto shape;
  for (const int64_t dim : spec.shape.dims()) shape.add_dim()->set_size(dim);
  return shape;
}

// The numbers, texts and truths in `value`, by their paths.
void AddLeaves(const std::string& path, const json& value,
               google::protobuf::Map<std::string, google::protobuf::Value>& out) {
  const std::string dot = path.empty() ? "" : path + ".";
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) AddLeaves(dot + key, member, out);
  } else if (value.is_array()) {
    // One value: runs are compared by it as a whole.
    out[path].set_string_value(value.dump());
  } else if (value.is_number()) {
    out[path].set_number_value(value.get<double>());
  } else if (value.is_boolean()) {
    out[path].set_bool_value(value.get<bool>());
  } else if (value.is_string()) {
    out[path].set_string_value(value.get<std::string>());
  }
}

tensorboard::DataType TypeOf(const google::protobuf::Value& value) {
  if (value.has_number_value()) return tensorboard::DATA_TYPE_FLOAT64;
  if (value.has_bool_value()) return tensorboard::DATA_TYPE_BOOL;
  return tensorboard::DATA_TYPE_STRING;
}

void AddPluginValue(const std::string& tag, const tensorboard::HParamsPluginData& content,
                    tensorboard::Summary& summary) {
  tensorboard::Summary::Value& value = *summary.add_value();
  value.set_tag(tag);
  auto& data = *value.mutable_metadata()->mutable_plugin_data();
  data.set_plugin_name(kHyperparameters);
  data.set_content(content.SerializeAsString());
}

}  // namespace

EventFile::EventFile(std::string path) : path_(std::move(path)) {}

absl::StatusOr<EventFile> EventFile::Create(const std::string& folder, int64_t step,
                                            absl::Time now) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return FromErrno(error.value(), "mkdir", folder);
  const int64_t seconds = absl::ToUnixSeconds(now);
  EventFile file(fmt::format("{}/events.out.tfevents.{}.{:09}", folder, seconds,
                             absl::ToUnixNanos(now) - seconds * 1'000'000'000));
  tensorboard::Event version = At(now, 0);
  version.set_file_version(kVersion);
  file.Add(version);
  tensorboard::Event start = At(now, step + 1);
  start.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  file.Add(start);
  RETURN_IF_ERROR(file.Flush());
  return file;
}

void EventFile::Add(const tensorboard::Event& event) {
  AppendRecord(event.SerializeAsString(), pending_);
}

void EventFile::AddSummary(const tensorboard::Summary& summary, int64_t step, absl::Time now) {
  tensorboard::Event event = At(now, step);
  *event.mutable_summary() = summary;
  Add(event);
}

void EventFile::AddGraph(const nn::Network& network, absl::Time now) {
  tensorboard::GraphDef graph;
  graph.mutable_versions()->set_producer(22);
  // By value, the node that makes it. A tag's slashes are TensorBoard's groups.
  std::vector<std::string> makers(network.values().size());
  const auto add = [&](std::string name, std::string_view op) -> tensorboard::NodeDef& {
    std::replace(name.begin(), name.end(), '.', '/');
    tensorboard::NodeDef& node = *graph.add_node();
    node.set_name(std::move(name));
    node.set_op(std::string(op));
    return node;
  };
  const auto makes = [&](tensorboard::NodeDef& node, nn::ValueId value) {
    *(*node.mutable_attr())["_output_shapes"].mutable_list()->add_shape() =
        ShapeOf(network.value(value));
    makers[static_cast<size_t>(value)] = node.name();
  };
  for (const nn::ValueId input : network.inputs()) {
    makes(add(network.value(input).name, "Placeholder"), input);
  }
  for (const nn::Layer& layer : network.layers()) {
    tensorboard::NodeDef& node = add(layer.name, nn::OpName(layer.op));
    for (const nn::ValueId input : layer.inputs) node.add_input(makers[static_cast<size_t>(input)]);
    for (const nn::ValueId output : layer.outputs) makes(node, output);
  }
  tensorboard::Event event = At(now, 0);
  event.set_graph_def(graph.SerializeAsString());
  Add(event);
}

void EventFile::AddHyperparameters(const json& spec, std::span<const std::string> metric_tags,
                                   absl::Time now) {
  const double seconds = absl::ToDoubleSeconds(now - absl::UnixEpoch());
  tensorboard::HParamsPluginData start;
  start.mutable_session_start_info()->set_start_time_secs(seconds);
  auto& hparams = *start.mutable_session_start_info()->mutable_hparams();
  AddLeaves("", spec, hparams);

  tensorboard::HParamsPluginData experiment;
  for (const auto& [name, value] : hparams) {
    auto& info = *experiment.mutable_experiment()->add_hparam_infos();
    info.set_name(name);
    info.set_type(TypeOf(value));
  }
  for (const std::string& tag : metric_tags) {
    experiment.mutable_experiment()->add_metric_infos()->mutable_name()->set_tag(tag);
  }
  tensorboard::Summary summary;
  AddPluginValue("_hparams_/experiment", experiment, summary);
  AddPluginValue("_hparams_/session_start_info", start, summary);
  AddSummary(summary, 0, now);
}

void EventFile::AddPicture(const std::string& tag, std::string_view bytes, int height, int width,
                           int64_t step, absl::Time now) {
  tensorboard::Summary summary;
  tensorboard::Summary::Value& added = *summary.add_value();
  added.set_tag(tag);
  added.mutable_image()->set_height(height);
  added.mutable_image()->set_width(width);
  added.mutable_image()->set_colorspace(1);
  added.mutable_image()->set_encoded_image_string(Png(bytes, height, width));
  AddSummary(summary, step, now);
}

void EventFile::AddScalars(const std::map<std::string, double>& scalars, int64_t step,
                           absl::Time now) {
  tensorboard::Summary summary;
  for (const auto& [tag, value] : scalars) {
    tensorboard::Summary::Value& added = *summary.add_value();
    added.set_tag(tag);
    added.set_simple_value(static_cast<float>(value));
  }
  AddSummary(summary, step, now);
}

void EventFile::AddHistograms(const std::string& prefix, std::span<const Tensor> tensors,
                              int64_t step, absl::Time now) {
  tensorboard::Summary summary;
  for (const Tensor& tensor : tensors) {
    const std::string_view bytes = tensor.data().view();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    if (values.empty()) continue;
    tensorboard::Summary::Value& added = *summary.add_value();
    added.set_tag(prefix + tensor.name());
    *added.mutable_histo() = HistogramOf(values);
  }
  AddSummary(summary, step, now);
}

absl::Status EventFile::Flush() {
  std::ofstream file(path_, std::ios::binary | std::ios::app);
  file.write(pending_.data(), static_cast<std::streamsize>(pending_.size()));
  file.close();
  const int error = errno;
  const size_t size = std::exchange(pending_, {}).size();
  if (file.good()) {
    written_ += size;
    return absl::OkStatus();
  }
  // Half a record would hide all that follows it.
  std::error_code ignored;
  std::filesystem::resize_file(path_, written_, ignored);
  return FromErrno(error, "write", path_);
}

}  // namespace slipway::trainer
