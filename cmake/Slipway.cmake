# The rules that every room builds by: one target and one slipway:: alias a room.
include_guard(GLOBAL)
include(GoogleTest)

option(SLIPWAY_CUDA "Link the wheel's libtorch_cuda" OFF)
option(SLIPWAY_FUZZ "Build programs for libFuzzer; needs clang" OFF)
set(SLIPWAY_SANITIZE "" CACHE STRING "Sanitizers for our own code: address,undefined or thread")

# Paths below the source tree are hashed relative to it, so that clones share what they compile.
# The sloppiness is what ccache asks for precompiled headers.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(_ccache "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
              CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
              "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${_ccache}")
  set(CMAKE_C_COMPILER_LAUNCHER "${_ccache}")
endif()

# What own code is compiled with. Generated code links slipway_base only.
add_library(slipway_base INTERFACE)
target_include_directories(slipway_base INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
# Libraries and programs alike: all are linked into position-independent programs, and a
# precompiled header serves only files compiled with the same flags.
target_compile_options(slipway_base INTERFACE -fPIE "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=")
target_link_options(slipway_base INTERFACE -pie LINKER:--as-needed)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Lets ccache see which precompiled header a file uses.
  target_compile_options(slipway_base INTERFACE -fpch-preprocess)
endif()
if(SLIPWAY_FUZZ)
  target_compile_options(slipway_base INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(slipway_base INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(SLIPWAY_SANITIZE)
  target_compile_definitions(slipway_base INTERFACE SLIPWAY_SANITIZED)
  target_compile_options(slipway_base INTERFACE -fsanitize=${SLIPWAY_SANITIZE}
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(slipway_base INTERFACE -fsanitize=${SLIPWAY_SANITIZE})
  if(SLIPWAY_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # ThreadSanitizer does not know fences. Asio puts some around handlers, but orders handlers by
    # its mutexes.
    target_compile_options(slipway_base INTERFACE -Wno-tsan)
    # Protobuf's map fields have more members where they see this, but not in Debian's library.
    target_compile_options(slipway_base INTERFACE -U__SANITIZE_THREAD__)
  endif()
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  target_link_options(slipway_base INTERFACE -fuse-ld=mold)
endif()

add_library(slipway_own INTERFACE)
target_link_libraries(slipway_own INTERFACE slipway_base)
target_compile_options(slipway_own INTERFACE -Wall -Wextra -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(slipway_own INTERFACE -Wthread-safety)
endif()

# Where tests and benchmarks find the repository's files (tests/support/places.h).
file(CREATE_LINK "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/source" SYMBOLIC)

# What the Makefile builds by name: the installed programs, the benchmarks, and the files that
# must exist before a tool can read ours (generated headers).
add_custom_target(programs)
add_custom_target(benchmarks)
add_custom_target(generated)
add_custom_target(fuzzers)

# slipway_library(<room> SRCS ... [DEPS ...]): target slipway_<room>, alias slipway::<room>.
# A room without sources is an interface library.
function(slipway_library room)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(slipway_${room} STATIC ${ARG_SRCS})
    target_link_libraries(slipway_${room} PUBLIC slipway_own ${ARG_DEPS})
  else()
    add_library(slipway_${room} INTERFACE)
    target_link_libraries(slipway_${room} INTERFACE slipway_own ${ARG_DEPS})
  endif()
  add_library(slipway::${room} ALIAS slipway_${room})
endfunction()

# Every program of ours, whatever it is for.
function(_slipway_executable name folder)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE slipway_own ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/${folder}")
  if(SLIPWAY_SANITIZE)
    target_sources(${name} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.cc")
  endif()
endfunction()

# slipway_binary(<name> SRCS ... [DEPS ...]): an installed program, built into bin/.
function(slipway_binary name)
  _slipway_executable(${name} bin ${ARGN})
  # What comes from wheels lies there when installed; the build tree finds it in bootstrap's cache.
  set(folders "$ORIGIN/../lib/slipway")
  set_target_properties(${name} PROPERTIES
    INSTALL_RPATH "${folders}/torch:${folders}/openvino:${folders}/arrow")
  install(TARGETS ${name} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  add_dependencies(programs ${name})
endfunction()

# slipway_test(<name> LABEL unit|integration|e2e SRCS ... [DEPS ...] [DATA target ...]
#              [TIMEOUT seconds] [PROCESSORS n] [WHOLE]):
# a GoogleTest program; one ctest entry for each test in it, or with WHOLE one for all of them,
# where they share something dear to start (a PostgreSQL). DATA names programs that it starts.
# helm and promtool are on its PATH. The programs are asked for their tests when ctest runs, not
# when they are built: a build does not fail because a test program crashes.
function(slipway_test name)
  cmake_parse_arguments(ARG "WHOLE" "LABEL;TIMEOUT;PROCESSORS" "SRCS;DEPS;DATA" ${ARGN})
  if(NOT ARG_LABEL MATCHES "^(unit|integration|e2e|conformance|fuzz|clients)$")
    message(FATAL_ERROR "slipway_test(${name}): LABEL is not one of unit, integration, e2e, "
                        "conformance, fuzz, clients")
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(SLIPWAY_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()
  if(NOT ARG_PROCESSORS)
    # A whole platform under test keeps two cores busy.
    if(ARG_LABEL STREQUAL "e2e")
      set(ARG_PROCESSORS 2)
    else()
      set(ARG_PROCESSORS 1)
    endif()
  endif()
  _slipway_executable(${name} tests SRCS ${ARG_SRCS}
                      DEPS ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  if(ARG_DATA)
    add_dependencies(${name} ${ARG_DATA})
  endif()
  set(properties LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} PROCESSORS ${ARG_PROCESSORS}
                 ENVIRONMENT_MODIFICATION "PATH=path_list_prepend:${SLIPWAY_CACHE}/bin")
  if(ARG_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties})
  else()
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120
                         PROPERTIES ${properties})
  endif()
endfunction()

# slipway_test_program(<name> SRCS ... [DEPS ...]): a program that tests start, beside theirs.
function(slipway_test_program name)
  _slipway_executable(${name} tests ${ARGN})
endfunction()

# slipway_fuzzer(<name> SRCS ... [DEPS ...]): code that is given any bytes (tests/fuzz/fuzz.h). In every
# build <name>_replay runs it over its seeds and over changed ones, as a test; with the `fuzz` preset
# libFuzzer drives <name>, in fuzz/.
function(slipway_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  _slipway_executable(${name}_replay tests DEPS ${ARG_DEPS}
                      SRCS ${ARG_SRCS} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.cc")
  add_test(NAME ${name} COMMAND ${name}_replay)
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
  if(SLIPWAY_FUZZ)
    _slipway_executable(${name} fuzz SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers ${name} ${name}_replay)
  endif()
endfunction()

# slipway_bench(<name> SRCS ... [DEPS ...] [DATA target ...] [LABELS bench|bench-serving ...]): a
# program that measures, built only by `make bench` and `make bench-serving`, which run each alone:
# those with the label of that name (bench where none is given).
function(slipway_bench name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;DATA;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS bench)
  endif()
  _slipway_executable(${name} bench SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  add_dependencies(benchmarks ${name} ${ARG_DATA})
  add_test(NAME ${name} COMMAND ${name})
  # Benchmarks run without what would halve BLAS, where a machine sets it.
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" RUN_SERIAL ON TIMEOUT 1800
    ENVIRONMENT_MODIFICATION "OPENBLAS_CORETYPE=unset:;OPENBLAS_L2_SIZE=unset:")
endfunction()

# slipway_proto(<room> [PROTOS ...] [GRPC ...] [DEPS ...]): messages in slipway::<room>, and for the
# files named after GRPC the stubs in slipway::<room>_grpc (apart, since each costs 10 s to
# compile). Files are paths below proto/, or absolute ones of bootstrap's cache; what is generated is
# included by the path that other protos import.
function(slipway_proto room)
  cmake_parse_arguments(ARG "" "" "PROTOS;GRPC;DEPS" ${ARGN})
  set(out "${PROJECT_BINARY_DIR}/proto-gen")
  file(MAKE_DIRECTORY "${out}")
  set(roots "${SLIPWAY_GOOGLEAPIS_DIR}" "${SLIPWAY_ONNX_DIR}")
  set(args "-I${PROJECT_SOURCE_DIR}/proto" "-I/usr/include")
  foreach(root IN LISTS roots)
    list(APPEND args "-I${root}")
  endforeach()
  set(messages)
  set(stubs)
  set(headers)
  foreach(proto IN LISTS ARG_PROTOS ARG_GRPC)
    if(IS_ABSOLUTE "${proto}")
      set(file "${proto}")
      foreach(root IN LISTS roots)
        cmake_path(IS_PREFIX root "${file}" below)
        if(below)
          file(RELATIVE_PATH path "${root}" "${file}")
        endif()
      endforeach()
    else()
      set(path "${proto}")
      set(file "${PROJECT_SOURCE_DIR}/proto/${proto}")
    endif()
    string(REGEX REPLACE "\\.proto$" "" stem "${path}")
    add_custom_command(
      OUTPUT "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h"
      COMMAND protobuf::protoc ${args} "--cpp_out=${out}" "${file}"
      DEPENDS "${file}" VERBATIM)
    list(APPEND messages "${out}/${stem}.pb.cc")
    list(APPEND headers "${out}/${stem}.pb.h")
    if("${proto}" IN_LIST ARG_GRPC)
      add_custom_command(
        OUTPUT "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h"
        COMMAND protobuf::protoc ${args} "--grpc_out=${out}"
                "--plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>" "${file}"
        DEPENDS "${file}" VERBATIM)
      list(APPEND stubs "${out}/${stem}.grpc.pb.cc")
      list(APPEND headers "${out}/${stem}.grpc.pb.h")
    endif()
  endforeach()
  add_custom_target(slipway_${room}_files DEPENDS ${messages} ${stubs} ${headers})
  add_dependencies(generated slipway_${room}_files)
  add_library(slipway_${room} STATIC ${messages})
  add_dependencies(slipway_${room} slipway_${room}_files)
  target_include_directories(slipway_${room} SYSTEM PUBLIC "${out}")
  target_link_libraries(slipway_${room} PUBLIC slipway_base protobuf::libprotobuf ${ARG_DEPS})
  add_library(slipway::${room} ALIAS slipway_${room})
  if(stubs)
    add_library(slipway_${room}_grpc STATIC ${stubs})
    add_dependencies(slipway_${room}_grpc slipway_${room}_files)
    target_link_libraries(slipway_${room}_grpc PUBLIC slipway_${room} gRPC::grpc++)
    foreach(dep IN LISTS ARG_DEPS)
      if(TARGET ${dep}_grpc)
        target_link_libraries(slipway_${room}_grpc PUBLIC ${dep}_grpc)
      endif()
    endforeach()
    add_library(slipway::${room}_grpc ALIAS slipway_${room}_grpc)
  endif()
endfunction()
