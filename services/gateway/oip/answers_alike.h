#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_ANSWERS_ALIKE_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_ANSWERS_ALIKE_H_

#include "services/gateway/oip/infer_message.h"

namespace slipway::gateway {

/// Have two answers the same outputs, by name, type and shape, whose first elements (some ten
/// thousand in all, so that a large answer costs no more) are alike? Integers, booleans and bytes
/// are when they are equal; floats when they are no further apart than `tolerance` times the larger
/// of them or of 1; NaN is like NaN. Any thread.
bool AnswersAlike(const InferAnswer& a, const InferAnswer& b, double tolerance);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_ANSWERS_ALIKE_H_
