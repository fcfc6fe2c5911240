# <torch/torch.h> costs half a minute of CPU a file. It is compiled once, into a precompiled
# header that every file of a torch room starts from.
include_guard(GLOBAL)

add_library(slipway_torch_pch STATIC "${CMAKE_CURRENT_LIST_DIR}/torch_pch.cc")
target_link_libraries(slipway_torch_pch PUBLIC slipway_own LibTorch::LibTorch)
target_precompile_headers(slipway_torch_pch PRIVATE <torch/torch.h>)

# slipway_use_torch(<target>): links LibTorch and compiles from the precompiled header. Files that
# need no torch belong in another target, since each pays for loading the header.
function(slipway_use_torch target)
  target_link_libraries(${target} PRIVATE LibTorch::LibTorch)
  target_precompile_headers(${target} REUSE_FROM slipway_torch_pch)
endfunction()

# slipway_torch_library(<room> SRCS ... [DEPS ...]): slipway_library() whose sources use torch.
# Its headers should not include torch where a forward declaration does.
function(slipway_torch_library room)
  slipway_library(${room} ${ARGN})
  target_link_libraries(slipway_${room} PUBLIC LibTorch::LibTorch)
  target_precompile_headers(slipway_${room} REUSE_FROM slipway_torch_pch)
endfunction()
