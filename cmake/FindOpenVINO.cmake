# OpenVINO from the PyPI wheel, as deploy/bootstrap unpacks it. The wheel's own CMake files want every
# frontend and plugin to be there, so they are not used.
#
# Defines OpenVINO::Runtime, and OPENVINO_RUNTIME_LIBRARIES: what a program that links it must find at
# run time (install rules copy them). libopenvino loads the CPU plugin and the frontends by name from
# its own folder.
set(OPENVINO_ROOT "${SLIPWAY_CACHE}/openvino" CACHE PATH "The unpacked wheel (holds openvino/)")
set(_openvino_lib "${OPENVINO_ROOT}/openvino/libs")
file(GLOB OPENVINO_RUNTIME_LIBRARIES "${_openvino_lib}/*.so*")

find_path(OpenVINO_INCLUDE_DIR openvino/openvino.hpp
          PATHS "${OPENVINO_ROOT}/openvino/include" NO_DEFAULT_PATH)
file(GLOB _openvino_library "${_openvino_lib}/libopenvino.so.*")
set(OpenVINO_LIBRARY "${_openvino_library}" CACHE FILEPATH "")
set(_openvino_required OpenVINO_INCLUDE_DIR OpenVINO_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenVINO REQUIRED_VARS ${_openvino_required}
                                  REASON_FAILURE_MESSAGE "run deploy/bootstrap first")
mark_as_advanced(${_openvino_required})

if(OpenVINO_FOUND AND NOT TARGET OpenVINO::Runtime)
  add_library(OpenVINO::Runtime SHARED IMPORTED)
  get_filename_component(_openvino_soname "${OpenVINO_LIBRARY}" NAME)
  set_target_properties(OpenVINO::Runtime PROPERTIES
    IMPORTED_LOCATION "${OpenVINO_LIBRARY}" IMPORTED_SONAME "${_openvino_soname}")
  target_include_directories(OpenVINO::Runtime SYSTEM INTERFACE "${OpenVINO_INCLUDE_DIR}")
  target_link_options(OpenVINO::Runtime INTERFACE "LINKER:-rpath-link,${_openvino_lib}")
endif()
