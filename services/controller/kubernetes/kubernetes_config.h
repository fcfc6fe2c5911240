#ifndef SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_CONFIG_H_
#define SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_CONFIG_H_

#include <string>

namespace slipway::controller {

/// How the API server is reached. Part of the controller's config, as `kubernetes`.
struct KubernetesConfig {
  std::string api_server = "https://kubernetes.default.svc";
  std::string token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  std::string ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  std::string namespace_name = "default";

  template <class V>
  void Describe(V& v) {
    v.Field("api_server", api_server, "The URL of the API server");
    v.Field("token_file", token_file,
            "The token of this service's account; read again for each call");
    v.Field("ca_file", ca_file, "PEM; trusted for the API server");
    v.Field("namespace", namespace_name, "Where pools[].pod_template and the workers' pods are");
  }
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_CONFIG_H_
