#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_PICTURE_FILES_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_PICTURE_FILES_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "archive.h"
#include "archive_entry.h"
#include "jpeglib.h"
#include "png.h"

namespace slipway {

/// A PNG picture of these bytes; `format` is libpng's.
inline std::string Png(uint32_t height, uint32_t width, const std::vector<uint8_t>& pixels,
                       uint32_t format = PNG_FORMAT_RGB) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = height;
  image.width = width;
  image.format = format;
  std::string file(1 << 20, '\0');
  png_alloc_size_t size = file.size();
  if (png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr) == 0) {
    std::abort();
  }
  file.resize(size);
  return file;
}

/// A JPEG picture of one colour; of four components for a kind that is not read.
inline std::string Jpeg(uint32_t height, uint32_t width, const std::vector<uint8_t>& pixel) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libjpeg's
  jpeg_mem_dest(&codec, &bytes, &size);
  codec.image_height = height;
  codec.image_width = width;
  codec.input_components = static_cast<int>(pixel.size());
  codec.in_color_space = pixel.size() == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, 100, TRUE);
  jpeg_start_compress(&codec, TRUE);
  std::vector<uint8_t> row;
  for (uint32_t i = 0; i < width; ++i) row.insert(row.end(), pixel.begin(), pixel.end());
  while (codec.next_scanline < height) {
    JSAMPROW start = row.data();
    jpeg_write_scanlines(&codec, &start, 1);
  }
  jpeg_finish_compress(&codec);
  std::string file(reinterpret_cast<const char*>(bytes), size);
  jpeg_destroy_compress(&codec);
  std::free(bytes);
  return file;
}

using Files = std::vector<std::pair<std::string, std::string>>;  // path, bytes

enum class Packing { kTar, kTarGz, kZip };

inline std::string Archive(const Files& files, Packing packing) {
  archive* const out = archive_write_new();
  if (packing == Packing::kZip) {
    archive_write_set_format_zip(out);
  } else {
    archive_write_set_format_pax_restricted(out);
  }
  if (packing == Packing::kTarGz) archive_write_add_filter_gzip(out);
  std::string bytes(8 << 20, '\0');
  size_t used = 0;
  archive_write_open_memory(out, bytes.data(), bytes.size(), &used);
  for (const auto& [path, content] : files) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, path.c_str());
    archive_entry_set_size(entry, std::ssize(content));
    archive_entry_set_filetype(entry, path.back() == '/' ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(out, entry);
    archive_write_data(out, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
  bytes.resize(used);
  return bytes;
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_PICTURE_FILES_H_
