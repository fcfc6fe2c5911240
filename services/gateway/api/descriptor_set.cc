#include "services/gateway/api/descriptor_set.h"

// The build puts the file's path into SLIPWAY_DESCRIPTOR_SET; the assembler takes it in.
__asm__(
    ".section .rodata\n"
    ".globl slipway_descriptor_set\n"
    "slipway_descriptor_set:\n"
    ".incbin \"" SLIPWAY_DESCRIPTOR_SET
    "\"\n"
    ".globl slipway_descriptor_set_end\n"
    "slipway_descriptor_set_end:\n"
    ".byte 0\n"
    ".text\n");

extern "C" {
extern const char slipway_descriptor_set[];
extern const char slipway_descriptor_set_end[];
}

namespace slipway::gateway {

std::string_view DescriptorSetWithComments() {
  return {slipway_descriptor_set,
          static_cast<size_t>(slipway_descriptor_set_end - slipway_descriptor_set)};
}

}  // namespace slipway::gateway
