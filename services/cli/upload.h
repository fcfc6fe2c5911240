#ifndef SLIPWAY_SERVICES_CLI_UPLOAD_H_
#define SLIPWAY_SERVICES_CLI_UPLOAD_H_

#include <string>
#include <vector>

#include "nlohmann/json_fwd.hpp"
#include "services/cli/api.h"
#include "services/cli/session.h"

namespace slipway::cli {

/// A file of this machine that becomes a file of a dataset or a version.
struct LocalFile {
  std::string path;  // inside it
  std::string source;
};

/// Arguments as people write them: "train-images=/data/x.gz", "/data/x.gz" for a file of the same
/// name, or a folder for all files in it under their paths there. Errors: InvalidField("file").
absl::StatusOr<std::vector<LocalFile>> ParseFiles(const std::vector<std::string>& arguments);

/// Uploads what the tenant does not have yet; shows how far it is on a terminal. Returns the files
/// as the API names them: [{"path": ..., "digest": ...}].
absl::StatusOr<nlohmann::json> UploadFiles(const Session& session, const Api& api,
                                           const std::vector<LocalFile>& files);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_UPLOAD_H_
