# Every library from outside, each as an imported target.
include_guard(GLOBAL)

set(SLIPWAY_CACHE "$ENV{SLIPWAY_CACHE}" CACHE PATH "Where deploy/bootstrap unpacks wheels")
if(NOT SLIPWAY_CACHE)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(SLIPWAY_CACHE "$ENV{XDG_CACHE_HOME}/slipway" CACHE PATH "" FORCE)
  else()
    set(SLIPWAY_CACHE "$ENV{HOME}/.cache/slipway" CACHE PATH "" FORCE)
  endif()
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(JPEG REQUIRED)
find_package(LibArchive REQUIRED)
find_package(PNG REQUIRED)
find_package(Protobuf CONFIG QUIET)
if(NOT Protobuf_FOUND)
  find_package(Protobuf REQUIRED)
endif()
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS system)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(simdjson REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
find_package(cpprestsdk REQUIRED)

# Debian's libsoci-dev carries no CMake package.
foreach(_part core sqlite3 postgresql)
  find_library(SOCI_${_part} soci_${_part} REQUIRED)
  add_library(SOCI::${_part} UNKNOWN IMPORTED)
  set_target_properties(SOCI::${_part} PROPERTIES IMPORTED_LOCATION "${SOCI_${_part}}")
endforeach()
find_path(SOCI_INCLUDE_DIR soci/soci.h REQUIRED)
find_package(PostgreSQL REQUIRED)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)

# The pkg-config file of cjose asks for that of Jansson, which the package does not bring.
find_library(CJOSE_LIBRARY cjose REQUIRED)
find_path(CJOSE_INCLUDE_DIR cjose/cjose.h REQUIRED)
add_library(CJOSE::cjose UNKNOWN IMPORTED)
set_target_properties(CJOSE::cjose PROPERTIES
  IMPORTED_LOCATION "${CJOSE_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${CJOSE_INCLUDE_DIR}"
  INTERFACE_LINK_LIBRARIES OpenSSL::Crypto)

# google/api/*.proto and onnx/onnx.proto, unpacked by deploy/bootstrap.
set(SLIPWAY_GOOGLEAPIS_DIR "${SLIPWAY_CACHE}/googleapis" CACHE PATH "")
set(SLIPWAY_ONNX_DIR "${SLIPWAY_CACHE}/onnx" CACHE PATH "")
foreach(_file "${SLIPWAY_GOOGLEAPIS_DIR}/google/api/annotations.proto"
              "${SLIPWAY_ONNX_DIR}/onnx/onnx.proto")
  if(NOT EXISTS "${_file}")
    message(FATAL_ERROR "${_file} is missing: run deploy/bootstrap first")
  endif()
endforeach()

find_package(LibTorch REQUIRED)
find_package(OpenVINO REQUIRED)
find_package(Arrow REQUIRED)
