#include "services/cli/picture.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"

namespace slipway::cli {
namespace {

// The picture averaged down to `columns` by `rows`.
std::vector<double> Scale(const Picture& picture, int columns, int rows) {
  std::vector<double> scaled(static_cast<size_t>(columns) * rows);
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      const int top = y * picture.rows / rows;
      const int bottom = std::max(top + 1, (y + 1) * picture.rows / rows);
      const int left = x * picture.columns / columns;
      const int right = std::max(left + 1, (x + 1) * picture.columns / columns);
      double sum = 0;
      for (int j = top; j < bottom; ++j) {
        for (int i = left; i < right; ++i) {
          sum += picture.pixels[static_cast<size_t>(j) * picture.columns + i];
        }
      }
      scaled[static_cast<size_t>(y) * columns + x] = sum / ((bottom - top) * (right - left));
    }
  }
  return scaled;
}

}  // namespace

std::vector<std::string> Draw(const Picture& picture, int columns, Ink ink) {
  constexpr const char* kShades[] = {" ", "░", "▒", "▓", "█"};
  columns = std::min(columns, picture.columns);
  int rows =
      static_cast<int>(std::lround(static_cast<double>(picture.rows) * columns / picture.columns));
  rows = std::max(2, rows + rows % 2);
  const std::vector<double> cells = Scale(picture, columns, rows);
  std::vector<std::string> lines;
  for (int y = 0; y < rows; y += 2) {
    std::string line;
    for (int x = 0; x < columns; ++x) {
      const double top = cells[static_cast<size_t>(y) * columns + x];
      const double bottom = cells[static_cast<size_t>(y + 1) * columns + x];
      if (ink == Ink::kColour) {
        const int a = static_cast<int>(top);
        const int b = static_cast<int>(bottom);
        line += fmt::format("\033[38;2;{0};{0};{0}m\033[48;2;{1};{1};{1}m▀", a, b);
      } else {
        const double mean = (top + bottom) / 2;
        line += kShades[std::min(4, static_cast<int>(mean / 256 * 5))];
      }
    }
    if (ink == Ink::kColour) line += "\033[0m";
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace slipway::cli
