# Apache Arrow from the PyPI wheel, as deploy/bootstrap unpacks it: Debian has none.
#
# Defines Arrow::Parquet, Arrow::S3, and ARROW_RUNTIME_LIBRARIES: what a program that links them must
# find at run time (install rules copy them).
set(ARROW_ROOT "${SLIPWAY_CACHE}/arrow" CACHE PATH "The unpacked wheel (holds pyarrow/)")
set(_arrow_lib "${ARROW_ROOT}/pyarrow")
file(GLOB ARROW_RUNTIME_LIBRARIES "${_arrow_lib}/*.so.*")

find_path(Arrow_INCLUDE_DIR arrow/api.h PATHS "${_arrow_lib}/include" NO_DEFAULT_PATH)
set(_arrow_required Arrow_INCLUDE_DIR)
foreach(_part arrow parquet arrow_s3)
  file(GLOB _arrow_library "${_arrow_lib}/lib${_part}.so.*")
  set(Arrow_${_part}_LIBRARY "${_arrow_library}" CACHE FILEPATH "")
  list(APPEND _arrow_required Arrow_${_part}_LIBRARY)
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Arrow REQUIRED_VARS ${_arrow_required}
                                  REASON_FAILURE_MESSAGE "run deploy/bootstrap first")
mark_as_advanced(${_arrow_required})

if(Arrow_FOUND AND NOT TARGET Arrow::Parquet)
  foreach(_part arrow parquet arrow_s3)
    add_library(Arrow::${_part} SHARED IMPORTED)
    get_filename_component(_arrow_soname "${Arrow_${_part}_LIBRARY}" NAME)
    set_target_properties(Arrow::${_part} PROPERTIES
      IMPORTED_LOCATION "${Arrow_${_part}_LIBRARY}" IMPORTED_SONAME "${_arrow_soname}")
  endforeach()
  add_library(Arrow::Parquet INTERFACE IMPORTED)
  target_link_libraries(Arrow::Parquet INTERFACE Arrow::parquet Arrow::arrow)
  add_library(Arrow::S3 INTERFACE IMPORTED)
  target_link_libraries(Arrow::S3 INTERFACE Arrow::arrow_s3 Arrow::arrow)
  foreach(_target Arrow::Parquet Arrow::S3)
    target_include_directories(${_target} SYSTEM INTERFACE "${Arrow_INCLUDE_DIR}")
  endforeach()
endif()
