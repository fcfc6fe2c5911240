#include "services/training/trainer/data/picture.h"

#include <algorithm>
#include <cmath>
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

// Which pixels of `length`, from `begin`, an output pixel is made of, and how much of each.
struct Weights {
  size_t first = 0;
  std::vector<float> shares;  // together 1
};

std::vector<Weights> WeightsOf(size_t begin, size_t length, size_t out_length) {
  const double scale = static_cast<double>(length) / static_cast<double>(out_length);
  const double reach = std::max(1.0, scale);
  std::vector<Weights> all(out_length);
  for (size_t i = 0; i < out_length; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto from = static_cast<size_t>(std::max(0.0, center - reach + 0.5));
    const auto to = std::min(length, static_cast<size_t>(center + reach + 0.5));
    all[i].first = begin + from;
    double sum = 0;
    std::vector<double> shares;
    for (size_t at = from; at < to; ++at) {
      const double distance = std::abs(static_cast<double>(at) + 0.5 - center) / reach;
      shares.push_back(std::max(0.0, 1 - distance));
      sum += shares.back();
    }
    for (const double share : shares) all[i].shares.push_back(static_cast<float>(share / sum));
  }
  return all;
}

}  // namespace

absl::StatusOr<Picture> DecodePicture(std::string_view file) {
  if (file.starts_with("\x89PNG\r\n\x1a\n")) return DecodePng(file);
  if (file.starts_with("\xff\xd8\xff")) return DecodeJpeg(file);
  return absl::InvalidArgumentError("is no PNG or JPEG picture");
}

Box MiddleOf(const Picture& picture, size_t height, size_t width) {
  Box box{0, 0, picture.height, picture.width};
  if (picture.height * width > picture.width * height) {
    box.height = std::max<size_t>(1, picture.width * height / width);
    box.top = (picture.height - box.height) / 2;
  } else {
    box.width = std::max<size_t>(1, picture.height * width / height);
    box.left = (picture.width - box.width) / 2;
  }
  return box;
}

void Resize(const Channel& channel, const Box& box, size_t height, size_t width, uint8_t* out) {
  const std::vector<Weights> across = WeightsOf(box.left, box.width, width);
  const std::vector<Weights> down = WeightsOf(box.top, box.height, height);
  // First every row that is asked for is made as wide as the result.
  std::vector<float> rows(box.height * width);
  for (size_t y = 0; y < box.height; ++y) {
    const uint8_t* const row = channel.first + (box.top + y) * channel.stride;
    for (size_t x = 0; x < width; ++x) {
      float sum = 0;
      for (size_t i = 0; i < across[x].shares.size(); ++i) {
        sum += across[x].shares[i] * row[(across[x].first + i) * channel.step];
      }
      rows[y * width + x] = sum;
    }
  }
  for (size_t y = 0; y < height; ++y) {
    for (size_t x = 0; x < width; ++x) {
      float sum = 0;
      for (size_t i = 0; i < down[y].shares.size(); ++i) {
        sum += down[y].shares[i] * rows[(down[y].first - box.top + i) * width + x];
      }
      out[y * width + x] = static_cast<uint8_t>(std::clamp(sum + 0.5f, 0.f, 255.f));
    }
  }
}

}  // namespace slipway::trainer
