// Our proto files beside the descriptors that the public clients carry (tritonclient.txt).

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "inference/model_config.pb.h"
#include "inference/open_inference.pb.h"
#include "tests/support/places.h"

namespace slipway {
namespace {

namespace pb = google::protobuf;
using ::testing::ElementsAre;
using Lines = std::set<std::string>;

void AddEnum(const pb::EnumDescriptor& type, Lines& lines) {
  for (int i = 0; i < type.value_count(); ++i) {
    const auto& value = *type.value(i);
    lines.insert(fmt::format("{}.{} {}", type.full_name(), value.name(), value.number()));
  }
}

void AddMessage(const pb::Descriptor& type, Lines& lines) {
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    std::string line = fmt::format("{}.{} {} {} {}", type.full_name(), field.name(), field.number(),
                                   field.is_repeated() ? "repeated" : "single", field.type_name());
    if (field.message_type() != nullptr) line += " " + field.message_type()->full_name();
    if (field.enum_type() != nullptr) line += " " + field.enum_type()->full_name();
    if (field.containing_oneof() != nullptr) line += " oneof:" + field.containing_oneof()->name();
    lines.insert(line);
  }
  for (int i = 0; i < type.enum_type_count(); ++i) AddEnum(*type.enum_type(i), lines);
  for (int i = 0; i < type.nested_type_count(); ++i) AddMessage(*type.nested_type(i), lines);
}

void AddFile(const pb::FileDescriptor& file, Lines& lines) {
  for (int i = 0; i < file.service_count(); ++i) {
    const pb::ServiceDescriptor& service = *file.service(i);
    for (int j = 0; j < service.method_count(); ++j) {
      const pb::MethodDescriptor& method = *service.method(j);
      lines.insert(fmt::format(
          "{}/{} {}{} {}{}", service.full_name(), method.name(),
          method.client_streaming() ? "stream:" : "", method.input_type()->full_name(),
          method.server_streaming() ? "stream:" : "", method.output_type()->full_name()));
    }
  }
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), lines);
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), lines);
}

Lines OfFile(const pb::FileDescriptor& file) {
  Lines lines;
  AddFile(file, lines);
  return lines;
}
Lines Protocol() { return OfFile(*inference::ModelInferRequest::descriptor()->file()); }
Lines Config() { return OfFile(*inference::ModelConfig::descriptor()->file()); }

Lines Theirs() {
  std::ifstream file(SourceFile("tests/conformance/tritonclient.txt"));
  Lines lines;
  for (std::string line; std::getline(file, line);) lines.insert(line);
  EXPECT_GT(lines.size(), 400u);
  return lines;
}

// What `line` is about: a message or a service.
std::string SubjectOf(const std::string& line) {
  const std::string name = line.substr(0, line.find(' '));
  return name.substr(0, name.find_last_of("./"));
}

TEST(ProtoTest, AllThatWeSayIsWhatTheClientsSay) {
  const Lines theirs = Theirs();
  std::vector<std::string> more;
  for (const Lines& ours : {Protocol(), Config()}) {
    for (const std::string& line : ours) {
      if (!theirs.contains(line)) more.push_back(line.substr(0, line.find(' ')));
    }
  }
  // The protocol has them, Triton's form of it has not.
  EXPECT_THAT(more, ElementsAre("inference.ModelMetadataResponse.PropertiesEntry.key",
                                "inference.ModelMetadataResponse.PropertiesEntry.value",
                                "inference.ModelMetadataResponse.properties"));
}

TEST(ProtoTest, OfTheProtocolNothingIsMissing) {
  const Lines ours = Protocol();
  std::set<std::string> subjects;
  for (const std::string& line : ours) subjects.insert(SubjectOf(line));
  std::vector<std::string> missing;
  for (const std::string& line : Theirs()) {
    if (!ours.contains(line) && subjects.contains(SubjectOf(line))) {
      missing.push_back(line.substr(0, line.find(' ')));
    }
  }
  // Memory of GPUs cannot be shared by name, tracing and logging are the operator's, and a response
  // has one part here.
  EXPECT_THAT(missing, ElementsAre("inference.GRPCInferenceService/CudaSharedMemoryRegister",
                                   "inference.GRPCInferenceService/CudaSharedMemoryStatus",
                                   "inference.GRPCInferenceService/CudaSharedMemoryUnregister",
                                   "inference.GRPCInferenceService/LogSettings",
                                   "inference.GRPCInferenceService/TraceSetting",
                                   "inference.ModelStatistics.response_stats"));
}

}  // namespace
}  // namespace slipway
