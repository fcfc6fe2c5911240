#ifndef SLIPWAY_TESTS_SUPPORT_SANITIZERS_H_
#define SLIPWAY_TESTS_SUPPORT_SANITIZERS_H_

namespace slipway {

/// Whether this build runs under a sanitizer, whose own memory and slowness would be measured too.
#ifdef SLIPWAY_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_SANITIZERS_H_
