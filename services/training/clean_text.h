#ifndef SLIPWAY_SERVICES_TRAINING_CLEAN_TEXT_H_
#define SLIPWAY_SERVICES_TRAINING_CLEAN_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace slipway::training {

/// `text` as a message may carry it: UTF-8 (each byte that belongs to no character becomes '?'),
/// of at most `max_bytes`, cut between characters. A trainer that crashes writes what it likes.
std::string CleanText(std::string_view text, size_t max_bytes);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_CLEAN_TEXT_H_
