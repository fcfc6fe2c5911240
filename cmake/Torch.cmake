# <torch/torch.h> costs half a minute of CPU a file. It is compiled once, into a precompiled
# header that every file of a torch room starts from.
include_guard(GLOBAL)

# Such a file takes up to 3 GB to compile; the pool keeps them from filling the memory together.
cmake_host_system_information(RESULT _memory_mb QUERY TOTAL_PHYSICAL_MEMORY)
math(EXPR _torch_jobs "${_memory_mb} / 4000")
if(_torch_jobs LESS 1)
  set(_torch_jobs 1)
endif()
set_property(GLOBAL APPEND PROPERTY JOB_POOLS torch=${_torch_jobs})

add_library(slipway_torch_pch STATIC "${CMAKE_CURRENT_LIST_DIR}/torch_pch.cc")
target_link_libraries(slipway_torch_pch PUBLIC slipway_own LibTorch::LibTorch)
target_precompile_headers(slipway_torch_pch PRIVATE <torch/torch.h>)
set_target_properties(slipway_torch_pch PROPERTIES JOB_POOL_COMPILE torch)
add_dependencies(generated slipway_torch_pch)

# slipway_use_torch(<target>): links LibTorch and compiles from the precompiled header. Files that
# need no torch belong in another target, since each pays for loading the header.
function(slipway_use_torch target)
  target_link_libraries(${target} PRIVATE LibTorch::LibTorch)
  target_precompile_headers(${target} REUSE_FROM slipway_torch_pch)
  set_target_properties(${target} PROPERTIES JOB_POOL_COMPILE torch)
endfunction()

# slipway_torch_library(<room> SRCS ... [DEPS ...]): slipway_library() whose sources use torch, and
# whose headers may.
function(slipway_torch_library room)
  slipway_library(${room} ${ARGN})
  target_link_libraries(slipway_${room} PUBLIC LibTorch::LibTorch)
  slipway_use_torch(slipway_${room})
endfunction()
