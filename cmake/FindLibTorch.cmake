# LibTorch from the PyPI wheel, as deploy/bootstrap unpacks it. The wheel's own CMake files
# demand a CUDA toolkit even for its CPU part, so they are not used.
# Defines LibTorch::LibTorch.
set(LIBTORCH_ROOT "${SLIPWAY_CACHE}/torch" CACHE PATH "The unpacked wheel (holds torch/, nvidia/)")
find_path(LibTorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h
          PATHS "${LIBTORCH_ROOT}/torch/include" NO_DEFAULT_PATH)
find_library(LibTorch_CPU torch_cpu PATHS "${LIBTORCH_ROOT}/torch/lib" NO_DEFAULT_PATH)
find_library(LibTorch_C10 c10 PATHS "${LIBTORCH_ROOT}/torch/lib" NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_CPU LibTorch_C10 LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run deploy/bootstrap first")
if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  set(_dirs "${LIBTORCH_ROOT}/torch/lib" "${LIBTORCH_ROOT}/nvidia/cu13/lib")
  target_link_libraries(LibTorch::LibTorch INTERFACE "${LibTorch_CPU}" "${LibTorch_C10}")
  foreach(_dir IN LISTS _dirs)
    target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${_dir}")
  endforeach()
endif()
