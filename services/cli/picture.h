#ifndef SLIPWAY_SERVICES_CLI_PICTURE_H_
#define SLIPWAY_SERVICES_CLI_PICTURE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace slipway::cli {

/// A grey picture: row-major, one byte a pixel.
struct Picture {
  int rows = 0;
  int columns = 0;
  std::vector<uint8_t> pixels;
};

/// How a picture is drawn.
enum class Ink {
  kColour,  // two pixels a cell, by 24-bit colours
  kShades,  // one cell of a shade (" ░▒▓█") for two pixels on top of each other
};

/// The picture as lines of `columns` cells each, scaled down to fit, two pixel rows a line.
std::vector<std::string> Draw(const Picture& picture, int columns, Ink ink);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_PICTURE_H_
