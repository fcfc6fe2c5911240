#include "services/controller/kubernetes/isolated_pod.h"

#include <string_view>
#include <utility>

#include "common/text/text.h"
#include "fmt/format.h"
#include "services/controller/worker_exit.h"

namespace slipway::controller {
namespace {

using nlohmann::json;

constexpr char kOwner[] = "slipway.dev/owner";

// What is at a path of keys; null where there is nothing.
const json& At(const json& object, const char* pointer) {
  static const json kNothing;
  const json::json_pointer at(pointer);
  return object.contains(at) ? object[at] : kNothing;
}

std::string TextAt(const json& object, const char* pointer) {
  const json& found = At(object, pointer);
  return found.is_string() ? found.get<std::string>() : "";
}

// "ImagePullBackOff: no such image"
std::string ReasonAndMessage(const json& object) {
  const std::string reason = TextAt(object, "/reason");
  const std::string message = TextAt(object, "/message");
  return message.empty() ? reason : fmt::format("{}: {}", reason, message);
}

std::string HowPodEnded(const json& pod) {
  const json& terminated = At(pod, "/status/containerStatuses/0/state/terminated");
  if (!terminated.is_object()) {
    const std::string why = ReasonAndMessage(At(pod, "/status"));
    return why.empty() ? "its pod ended" : why;
  }
  // "Completed" and "Error" say no more than the code.
  if (TextAt(terminated, "/reason") == "OOMKilled") return "it was killed: out of memory";
  return HowItEnded(ProcessExit{.code = terminated.value("exitCode", 0)});
}

std::string WhatItWaitsFor(const json& pod) {
  const json& state = At(pod, "/status/containerStatuses/0/state");
  if (const json& waiting = At(state, "/waiting"); waiting.is_object()) {
    return ReasonAndMessage(waiting);
  }
  if (state.contains("running")) return "";
  for (const json& condition : At(pod, "/status/conditions")) {
    if (condition.value("type", "") != "PodScheduled" || condition.value("status", "") == "True") {
      continue;
    }
    return ReasonAndMessage(condition);
  }
  return "its pod is about to start";
}

}  // namespace

absl::StatusOr<PodTemplate> PodTemplate::Read(const json& object) {
  PodTemplate read;
  read.name = TextAt(object, "/metadata/name");
  read.uid = TextAt(object, "/metadata/uid");
  read.pod = At(object, "/template");
  read.subdomain = TextAt(read.pod, "/spec/subdomain");
  for (const auto& [key, value] : At(read.pod, "/metadata/labels").items()) {
    read.labels += fmt::format("{}{}={}", read.labels.empty() ? "" : ",", key,
                               value.get_ref<const std::string&>());
  }
  for (const json& port : At(read.pod, "/spec/containers/0/ports")) {
    if (port.value("name", "") == "grpc") read.port = port.value("containerPort", 0);
  }
  for (const auto& [what, is_there] : {std::pair("labels", !read.labels.empty()),
                                       {"spec.subdomain", !read.subdomain.empty()},
                                       {"a container with a port \"grpc\"", read.port != 0}}) {
    if (is_there) continue;
    return absl::FailedPreconditionError(
        fmt::format("the PodTemplate {} has no {}", read.name, what));
  }
  return read;
}

std::string PodTemplate::NameOf(int number) const { return fmt::format("{}-{}", name, number); }

std::string PodTemplate::AddressOf(int number, const std::string& namespace_name) const {
  return fmt::format("{}.{}.{}.svc:{}", NameOf(number), subdomain, namespace_name, port);
}

json MakePod(const PodTemplate& made_by, int number, const std::string& owner,
             const std::vector<std::string>& arguments) {
  json pod = made_by.pod;
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  json& metadata = pod["metadata"];
  metadata["name"] = made_by.NameOf(number);
  metadata["annotations"][kOwner] = owner;
  metadata["ownerReferences"] = {{{"apiVersion", "v1"},
                                  {"kind", "PodTemplate"},
                                  {"name", made_by.name},
                                  {"uid", made_by.uid}}};
  json& spec = pod["spec"];
  spec["hostname"] = made_by.NameOf(number);
  json& container = spec["containers"][0];
  if (!container["args"].is_array()) container["args"] = json::array();
  for (const std::string& argument : arguments) container["args"].push_back(argument);
  return pod;
}

std::optional<SeenPod> ReadPod(const PodTemplate& made_by, const json& pod) {
  std::string_view name = At(pod, "/metadata/name").get_ref<const std::string&>();
  if (!name.starts_with(made_by.name + "-")) return std::nullopt;
  name.remove_prefix(made_by.name.size() + 1);
  const auto number = ParseNumber<int>(name);
  if (!number) return std::nullopt;
  SeenPod seen;
  seen.number = *number;
  seen.uid = TextAt(pod, "/metadata/uid");
  const json& annotations = At(pod, "/metadata/annotations");
  if (annotations.is_object()) seen.owner = annotations.value(kOwner, "");
  seen.ending = At(pod, "/metadata/deletionTimestamp").is_string();
  const std::string phase = TextAt(pod, "/status/phase");
  seen.ended = phase == "Succeeded" || phase == "Failed";
  if (seen.ended) {
    seen.how = HowPodEnded(pod);
  } else {
    seen.waits_for = WhatItWaitsFor(pod);
  }
  return seen;
}

}  // namespace slipway::controller
