#include "services/gateway/openai/files.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "common/http/multipart.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "google/api/httpbody.pb.h"
#include "google/protobuf/empty.pb.h"
#include "nlohmann/json.hpp"
#include "services/gateway/batches/batch_service.h"
#include "services/gateway/body_coding.h"
#include "services/gateway/error_body.h"
#include "services/gateway/oip/infer_json.h"
#include "services/gateway/openai/objects.h"

namespace slipway::gateway::openai {
namespace {

namespace rpc = registry::v1;

constexpr uint64_t kMaxFileBytes = uint64_t{512} << 20;
// What a form may have beside its file.
constexpr uint64_t kFormBytes = 64 << 10;
constexpr size_t kMaxFilename = 255;
constexpr int kMaxPage = 1000;
constexpr std::array<std::string_view, 6> kPurposes = {"assistants", "batch",     "evals",
                                                       "fine-tune",  "user_data", "vision"};

absl::Status CheckPurpose(std::string_view purpose) {
  if (std::find(kPurposes.begin(), kPurposes.end(), purpose) != kPurposes.end()) {
    return absl::OkStatus();
  }
  return InvalidField("purpose", fmt::format("must be one of {}", fmt::join(kPurposes, ", ")));
}

// As a path in a dataset may be: without folders, and in characters that can be shown.
std::string Filename(std::string_view sent) {
  std::string name(sent.substr(sent.find_last_of("/\\") + 1));
  std::string json;
  const bool text = AppendJsonString(name, json);
  for (char& c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !text)) c = '_';
  }
  return name.empty() || name == "." || name == ".." ? "file" : name;
}

// UploadBlob with the file of a form as its content.
class FormUpload final : public InnerTransport {
 public:
  struct Form {
    std::string purpose;
    std::string filename;
  };

  FormUpload(RequestPtr request, const PublicMethod& method, http::MultipartReader reader,
             std::shared_ptr<Form> form, Reply reply)
      : InnerTransport(*request->exchange, method, FirstMessage(request->tenant), std::move(reply)),
        request_(std::move(request)),
        reader_(std::move(reader)),
        form_(std::move(form)) {}

  void Receive(DoneCallback done) override {
    exchange_.LimitBody(kMaxFileBytes + kFormBytes);
    done(absl::OkStatus());
  }

  void ReceiveNext(Message& message, NextCallback done) override {
    if (ended_) return done(false);
    // Names travel with the first piece only.
    if (any_sent_) message.Clear();
    ReadOn(static_cast<rpc::UploadBlobRequest&>(message), std::move(done));
  }

 private:
  enum class Field { kFile, kPurpose };

  static std::unique_ptr<Message> FirstMessage(const std::string& tenant) {
    auto message = std::make_unique<rpc::UploadBlobRequest>();
    message->set_parent(tenant);
    return message;
  }

  void ReadOn(rpc::UploadBlobRequest& message, NextCallback done) {
    for (;;) {
      absl::StatusOr<http::MultipartReader::Event> event = reader_.Next();
      absl::Status status = event.status();
      if (status.ok()) {
        if (auto* part = std::get_if<http::MultipartReader::Part>(&*event)) {
          status = Begin(*part);
        } else if (auto* data = std::get_if<http::MultipartReader::Data>(&*event)) {
          if (field_ == Field::kFile) {
            any_sent_ = true;
            message.mutable_content()->set_data(std::move(data->bytes));
            return done(true);
          }
          form_->purpose += data->bytes;
          if (form_->purpose.size() > 64) status = CheckPurpose("");
        } else if (std::get_if<http::MultipartReader::End>(&*event) != nullptr) {
          status = Check();
          if (status.ok()) return Drain(std::move(done));
        } else {
          return Fetch(message, std::move(done));
        }
      }
      if (!status.ok()) return Refuse(status, std::move(done));
    }
  }

  absl::Status Begin(const http::MultipartReader::Part& part) {
    if (part.name == "file" && part.is_file && !has_file_) {
      has_file_ = true;
      field_ = Field::kFile;
      form_->filename = Filename(part.filename);
      if (form_->filename.size() <= kMaxFilename) return absl::OkStatus();
      return InvalidField("file", fmt::format("its name must be at most {} bytes", kMaxFilename));
    }
    if (part.name == "purpose" && !part.is_file && !has_purpose_) {
      has_purpose_ = true;
      field_ = Field::kPurpose;
      return absl::OkStatus();
    }
    if (part.name == "file" && !part.is_file) return InvalidField("file", "must be a file");
    return InvalidField(part.name.substr(0, 80),
                        "is not taken here: a form has one file, one purpose and nothing else");
  }

  absl::Status Check() const {
    if (!has_file_) return InvalidField("file", "is missing");
    if (!any_sent_) return InvalidField("file", "must not be empty");
    return CheckPurpose(form_->purpose);
  }

  void Fetch(rpc::UploadBlobRequest& message, NextCallback done) {
    exchange_.ReadSome(
        [this, &message, done = std::move(done)](absl::StatusOr<std::string> piece) mutable {
          if (!piece.ok()) return done(piece.status());
          if (piece->empty()) {
            return Refuse(absl::InvalidArgumentError("the form breaks off before its end"),
                          std::move(done));
          }
          reader_.Feed(*piece);
          ReadOn(message, std::move(done));
        });
  }

  // What follows a form has no meaning, but the next request comes behind it.
  void Drain(NextCallback done) {
    exchange_.ReadSome([this, done = std::move(done)](absl::StatusOr<std::string> piece) mutable {
      if (!piece.ok()) return done(piece.status());
      if (!piece->empty()) return Drain(std::move(done));
      ended_ = true;
      done(false);
    });
  }

  void Refuse(const absl::Status& status, NextCallback done) {
    request_->Refuse(status);
    done(status);
  }

  const RequestPtr request_;
  http::MultipartReader reader_;
  const std::shared_ptr<Form> form_;
  Field field_ = Field::kPurpose;
  bool has_file_ = false;
  bool has_purpose_ = false;
  bool any_sent_ = false;
  bool ended_ = false;
};

// DownloadBlob as the answer.
class ContentDownload final : public InnerTransport {
 public:
  ContentDownload(RequestPtr request, const PublicMethod& method, const rpc::Dataset& dataset)
      : InnerTransport(*request->exchange, method, MessageFor(request->tenant, dataset),
                       [request](const absl::StatusOr<const Message*>& answer) {
                         request->Refuse(answer.status());
                       }),
        request_(request),
        filename_(dataset.files(0).path()),
        bytes_(dataset.size_bytes()) {}

  void Write(const Message& answer, DoneCallback done) override {
    Start();
    exchange_.Write(static_cast<const google::api::HttpBody&>(answer).data(), std::move(done));
  }

  int Finish(const absl::Status& status) override {
    if (!started_ && !status.ok()) return Fail(status);
    Start();
    // Without its end the peer sees the answer cut.
    if (status.ok()) exchange_.Finish();
    return status.ok() ? 200 : ToHttpCode(status);
  }

 private:
  static std::unique_ptr<Message> MessageFor(const std::string& tenant,
                                             const rpc::Dataset& dataset) {
    auto message = std::make_unique<rpc::DownloadBlobRequest>();
    message->set_name(fmt::format("{}/blobs/{}", tenant, dataset.files(0).digest()));
    return message;
  }

  void Start() {
    if (std::exchange(started_, true)) return;
    std::string ascii;
    for (const char c : filename_) {
      ascii += c == '"' || static_cast<unsigned char>(c) >= 0x80 ? '_' : c;
    }
    // What a tenant uploaded is shown by no browser as a page of ours.
    exchange_.StartResponse(
        200, {{"content-type", "application/octet-stream"},
              {"content-length", std::to_string(bytes_)},
              {"content-disposition", fmt::format("attachment; filename=\"{}\"", ascii)},
              {"x-content-type-options", "nosniff"}});
  }

  const RequestPtr request_;
  const std::string filename_;
  const int64_t bytes_;
  bool started_ = false;
};

}  // namespace

void Files::Create(const RequestPtr& request) {
  const http::RequestHead& head = request->exchange->head();
  if (BodyCoding(head.headers) != http::Coding::kIdentity) {
    return request->exchange->Respond(CodingNotTaken(head, "identity"));
  }
  auto reader = http::MultipartReader::Create(head.headers.Get("content-type"));
  if (!reader.ok()) return request->Refuse(reader.status());
  auto form = std::make_shared<FormUpload::Form>();
  const auto stored = [this, request, form](absl::StatusOr<const InnerTransport::Message*> blob) {
    if (!blob.ok()) return request->Refuse(blob.status());
    rpc::CreateDatasetRequest create;
    create.set_parent(request->tenant);
    create.set_dataset_id(NewTimedId("file", clock_.Now()));
    create.mutable_dataset()->set_purpose(form->purpose);
    rpc::File& file = *create.mutable_dataset()->add_files();
    file.set_path(form->filename);
    file.set_digest(static_cast<const rpc::Blob*>(*blob)->digest());
    calls_.Call<rpc::Dataset>("DatasetService/CreateDataset", *request->exchange, request->key,
                              std::move(create), AnswerWith<rpc::Dataset>(request, FileObject));
  };
  const PublicMethod& upload = calls_.Find("BlobService/UploadBlob");
  calls_.Start(upload, request->key,
               std::make_unique<FormUpload>(request, upload, *std::move(reader), form, stored));
}

void Files::List(const RequestPtr& request) {
  const auto query =
      ListQuery::Read(request->exchange->head().query(), kMaxPage, kMaxPage, {"purpose"});
  if (!query.ok()) return request->Refuse(query.status());
  rpc::ListDatasetsRequest list;
  list.set_parent(request->tenant);
  list.set_page_size(query->limit);
  list.set_purpose(query->Get("purpose").empty() ? "*" : query->Get("purpose"));
  list.set_descending(!query->ascending);
  list.set_after(query->after);
  calls_.Call<rpc::ListDatasetsResponse>(
      "DatasetService/ListDatasets", *request->exchange, request->key, std::move(list),
      AnswerWith<rpc::ListDatasetsResponse>(request, [](const rpc::ListDatasetsResponse& answer) {
        nlohmann::json files = nlohmann::json::array();
        for (const rpc::Dataset& dataset : answer.datasets()) files.push_back(FileObject(dataset));
        return ListObject(std::move(files), !answer.next_page_token().empty());
      }));
}

void Files::Find(const RequestPtr& request, const std::string& id, Found found) {
  const auto absent = NotFound(fmt::format("file {}", id.substr(0, 80)));
  if (!IsSlug(id)) return request->Refuse(absent);
  rpc::GetDatasetRequest get;
  get.set_name(fmt::format("{}/datasets/{}", request->tenant, id));
  calls_.Call<rpc::Dataset>(
      "DatasetService/GetDataset", *request->exchange, request->key, std::move(get),
      [request, absent,
       found = std::move(found)](const absl::StatusOr<const rpc::Dataset*>& answer) mutable {
        if (absl::IsNotFound(answer.status())) return request->Refuse(absent);
        if (!answer.ok()) return request->Refuse(answer.status());
        if ((*answer)->purpose().empty() || (*answer)->files_size() != 1) {
          return request->Refuse(absent);
        }
        found(**answer);
      });
}

void Files::Retrieve(const RequestPtr& request) {
  Find(request, request->id,
       [request](const rpc::Dataset& dataset) { request->Answer(FileObject(dataset)); });
}

void Files::Content(const RequestPtr& request) {
  Find(request, request->id, [this, request](const rpc::Dataset& dataset) {
    const PublicMethod& download = calls_.Find("BlobService/DownloadBlob");
    calls_.Start(download, request->key,
                 std::make_unique<ContentDownload>(request, download, dataset));
  });
}

void Files::Delete(const RequestPtr& request) {
  Find(request, request->id, [this, request](const rpc::Dataset& dataset) {
    rpc::DeleteDatasetRequest remove;
    remove.set_name(dataset.name());
    calls_.Call<google::protobuf::Empty>(
        "DatasetService/DeleteDataset", *request->exchange, request->key, std::move(remove),
        AnswerWith<google::protobuf::Empty>(
            request, [id = request->id](const auto&) { return Deleted(id, "file"); }));
  });
}

}  // namespace slipway::gateway::openai
