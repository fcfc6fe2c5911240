# LibTorch from the PyPI wheel, as deploy/bootstrap unpacks it. The wheel's own CMake files
# demand a CUDA toolkit even for its CPU part, so they are not used.
#
# Defines LibTorch::LibTorch, and LIBTORCH_RUNTIME_LIBRARIES: every shared library that a program
# which links it must find at run time and Debian does not have (install rules copy them).
# With SLIPWAY_CUDA the wheel's CUDA part is linked too (`deploy/bootstrap --cuda`).
set(LIBTORCH_ROOT "${SLIPWAY_CACHE}/torch" CACHE PATH "The unpacked wheels (holds torch/, nvidia/)")
set(_torch_lib "${LIBTORCH_ROOT}/torch/lib")
set(_torch_parts c10 torch_cpu)
if(SLIPWAY_CUDA)
  list(APPEND _torch_parts c10_cuda torch_cuda)
endif()

find_path(LibTorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h
          PATHS "${LIBTORCH_ROOT}/torch/include" NO_DEFAULT_PATH)
# Debian's headers of the Gloo that is in torch_cpu, in /usr/include.
find_path(LibTorch_Gloo_INCLUDE_DIR gloo/context.h)
set(_torch_required LibTorch_INCLUDE_DIR LibTorch_Gloo_INCLUDE_DIR)
foreach(_part IN LISTS _torch_parts)
  find_library(LibTorch_${_part}_LIBRARY ${_part} PATHS "${_torch_lib}" NO_DEFAULT_PATH)
  list(APPEND _torch_required LibTorch_${_part}_LIBRARY)
endforeach()
set(_torch_hint "run deploy/bootstrap first")
if(SLIPWAY_CUDA)
  set(_torch_hint "run deploy/bootstrap --cuda first")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS ${_torch_required}
                                  REASON_FAILURE_MESSAGE "${_torch_hint}")
mark_as_advanced(${_torch_required})

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  foreach(_part IN LISTS _torch_parts)
    add_library(LibTorch::${_part} SHARED IMPORTED)
    set_target_properties(LibTorch::${_part} PROPERTIES
      IMPORTED_LOCATION "${LibTorch_${_part}_LIBRARY}" IMPORTED_SONAME "lib${_part}.so")
  endforeach()

  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::torch_cpu LibTorch::c10)
  if(SLIPWAY_CUDA)
    # Nothing of ours names a symbol of these two: they register the CUDA device when loaded.
    target_link_libraries(LibTorch::LibTorch INTERFACE
      "-Wl,--push-state,--no-as-needed" LibTorch::torch_cuda LibTorch::c10_cuda "-Wl,--pop-state")
  endif()

  # What these libraries need themselves lies beside them; they find it by their own RPATH.
  if(SLIPWAY_CUDA)
    file(GLOB LIBTORCH_RUNTIME_LIBRARIES "${_torch_lib}/*.so" "${_torch_lib}/*.so.*"
         "${LIBTORCH_ROOT}/nvidia/*/lib/*.so.*")
  else()
    set(LIBTORCH_RUNTIME_LIBRARIES
      "${_torch_lib}/libc10.so" "${_torch_lib}/libgomp.so.1" "${_torch_lib}/libtorch_cpu.so"
      "${LIBTORCH_ROOT}/nvidia/cu13/lib/libcudart.so.13"
      "${LIBTORCH_ROOT}/nvidia/cu13/lib/libcupti.so.13")
  endif()
  target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${_torch_lib}")
  file(GLOB _nvidia_libs "${LIBTORCH_ROOT}/nvidia/*/lib")
  foreach(_dir IN LISTS _nvidia_libs)
    target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${_dir}")
  endforeach()
endif()
