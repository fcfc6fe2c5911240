# `cmake --install` and the Debian package. Programs go to bin/ (slipway_binary); what Debian does
# not have goes below lib/slipway, where their RUNPATH looks.
include_guard(GLOBAL)

# Packing builds nothing: `make package` has built the programs, and tests are not packed.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

# The libraries of each look for each other in their own folder.
install(FILES ${LIBTORCH_RUNTIME_LIBRARIES} DESTINATION lib/slipway/torch)
install(FILES ${OPENVINO_RUNTIME_LIBRARIES} DESTINATION lib/slipway/openvino)
install(FILES ${ARROW_RUNTIME_LIBRARIES} DESTINATION lib/slipway/arrow)
file(GLOB _licenses "${LIBTORCH_ROOT}/*.dist-info" "${OPENVINO_ROOT}/*.dist-info"
     "${ARROW_ROOT}/*.dist-info" "${SLIPWAY_ONNX_DIR}/*.dist-info")
foreach(_folder IN LISTS _licenses)
  get_filename_component(_wheel "${_folder}" NAME_WLE)
  install(DIRECTORY "${_folder}/licenses/" DESTINATION share/doc/slipway/${_wheel})
endforeach()
install(FILES LICENSE NOTICE THIRD_PARTY_NOTICES.md DESTINATION share/doc/slipway)

# The shells' completions, which the program makes from its own commands.
set(_completions "${PROJECT_BINARY_DIR}/completions")
file(MAKE_DIRECTORY "${_completions}")
add_custom_command(OUTPUT "${_completions}/slipway" "${_completions}/_slipway"
  COMMAND slipway completion bash > "${_completions}/slipway"
  COMMAND slipway completion zsh > "${_completions}/_slipway"
  DEPENDS slipway VERBATIM)
add_custom_target(completions DEPENDS "${_completions}/slipway" "${_completions}/_slipway")
add_dependencies(programs completions)
install(FILES "${_completions}/slipway" DESTINATION share/bash-completion/completions)
install(FILES "${_completions}/_slipway" DESTINATION share/zsh/vendor-completions)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME slipway)
set(CPACK_PACKAGE_VENDOR "The Slipway authors")
set(CPACK_PACKAGE_CONTACT "The Slipway authors <slipway@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
  "Trains models, keeps them in a registry, serves them on GPU or CPU workers, and lets tenants
 call them with API keys. `slipway up` runs the whole platform on one machine.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
# The wheels' libraries are as they came: stripping breaks those that were patched.
set(CPACK_STRIP_FILES OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(_private_dirs)
foreach(_library IN LISTS LIBTORCH_RUNTIME_LIBRARIES OPENVINO_RUNTIME_LIBRARIES
        ARROW_RUNTIME_LIBRARIES)
  get_filename_component(_folder "${_library}" DIRECTORY)
  list(APPEND _private_dirs "${_folder}")
endforeach()
list(REMOVE_DUPLICATES _private_dirs)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${_private_dirs})
include(CPack)
