#ifndef SLIPWAY_COMMON_SYNC_BACKGROUND_H_
#define SLIPWAY_COMMON_SYNC_BACKGROUND_H_

namespace slipway {

/// Makes the calling thread give way to threads that somebody waits for, where they share a core.
/// No promise: where the system refuses it they share as before.
void WorkInBackground();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SYNC_BACKGROUND_H_
