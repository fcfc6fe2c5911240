#include "services/training/trainer/data/picture.h"

#include <csetjmp>
#include <cstdio>
#include <string>

#include "fmt/format.h"
// Wants FILE to be declared.
#include "jpeglib.h"
#include "png.h"

namespace slipway::trainer {
namespace {

constexpr uint64_t kMaxPixels = 64'000'000;
constexpr size_t kChannels = 3;
// A progressive JPEG may go over its pixels as often as it likes.
constexpr int kMaxScans = 100;

absl::Status CheckSize(uint64_t height, uint64_t width) {
  if (height * width <= kMaxPixels) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("has {} by {} pixels, more than {} million", height,
                                                width, kMaxPixels / 1000000));
}

absl::StatusOr<Picture> DecodePng(std::string_view file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const auto damaged = [&] {
    const absl::Status status = absl::InvalidArgumentError(
        fmt::format("is a damaged PNG picture: {}", static_cast<const char*>(image.message)));
    png_image_free(&image);
    return status;
  };
  if (png_image_begin_read_from_memory(&image, file.data(), file.size()) == 0) return damaged();
  if (absl::Status size = CheckSize(image.height, image.width); !size.ok()) {
    png_image_free(&image);
    return size;
  }
  image.format = PNG_FORMAT_RGB;
  Picture picture{image.height, image.width, {}};
  picture.pixels.resize(PNG_IMAGE_SIZE(image));
  const png_color white = {255, 255, 255};
  if (png_image_finish_read(&image, &white, picture.pixels.data(), 0, nullptr) == 0) {
    return damaged();
  }
  return picture;
}

// libjpeg tells of errors by functions that must not return.
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf leave;
  char message[JMSG_LENGTH_MAX];

  static void Leave(j_common_ptr codec) {
    auto* const self = reinterpret_cast<JpegErrors*>(codec->err);
    self->manager.format_message(codec, self->message);
    std::longjmp(self->leave, 1);
  }
  // What libjpeg would make up for the rest is no picture.
  static void Warn(j_common_ptr codec, int level) {
    if (level < 0) Leave(codec);
  }
  static void CountScans(j_common_ptr codec) {
    if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number <= kMaxScans) return;
    auto* const self = reinterpret_cast<JpegErrors*>(codec->err);
    std::snprintf(self->message, sizeof(self->message), "more than %d scans", kMaxScans);
    std::longjmp(self->leave, 1);
  }
};

// False where it did not work. Nothing in here has a destructor that longjmp would pass by.
bool ReadJpeg(jpeg_decompress_struct& codec, JpegErrors& errors, std::string_view file,
              Picture& picture, absl::Status& refused) {
  if (setjmp(errors.leave) != 0) return false;
  jpeg_create_decompress(&codec);
  jpeg_progress_mgr progress{};
  progress.progress_monitor = JpegErrors::CountScans;
  codec.progress = &progress;
  jpeg_mem_src(&codec, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  jpeg_read_header(&codec, TRUE);
  refused = CheckSize(codec.image_height, codec.image_width);
  if (!refused.ok()) return true;
  codec.out_color_space = JCS_RGB;
  codec.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&codec);
  picture.height = codec.output_height;
  picture.width = codec.output_width;
  picture.pixels.resize(picture.height * picture.width * kChannels);
  while (codec.output_scanline < codec.output_height) {
    JSAMPROW row = picture.pixels.data() + codec.output_scanline * picture.width * kChannels;
    jpeg_read_scanlines(&codec, &row, 1);
  }
  jpeg_finish_decompress(&codec);
  return true;
}

absl::StatusOr<Picture> DecodeJpeg(std::string_view file) {
  jpeg_decompress_struct codec{};
  JpegErrors errors{};
  codec.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = JpegErrors::Leave;
  errors.manager.emit_message = JpegErrors::Warn;
  Picture picture;
  absl::Status refused;
  const bool read = ReadJpeg(codec, errors, file, picture, refused);
  jpeg_destroy_decompress(&codec);
  RETURN_IF_ERROR(refused);
  if (read) return picture;
  return absl::InvalidArgumentError(
      fmt::format("is a damaged JPEG picture, or one of a kind that "
                  "is not read: {}",
                  static_cast<const char*>(errors.message)));
}

}  // namespace

absl::StatusOr<Picture> DecodePicture(std::string_view file) {
  if (file.starts_with("\x89PNG\r\n\x1a\n")) return DecodePng(file);
  if (file.starts_with("\xff\xd8\xff")) return DecodeJpeg(file);
  return absl::InvalidArgumentError("is no PNG or JPEG picture");
}

}  // namespace slipway::trainer
