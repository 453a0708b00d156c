# SPDX-License-Identifier: MIT
# The functions that every start of a program executes, put together in its code: a few pages instead of one here
# and one there, and each page is a fault. GNU ld takes an order only as part of its whole script, so this is the
# linker's own, as it prints it, with the functions in front of the rest of .text. Where there is no such script
# (another linker), code stays in the order of the objects.

# vmm_start_up_order(TARGET FILE): FILE has a function's name a line, and comments behind #.
function(vmm_start_up_order target file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  separate_arguments(flags UNIX_COMMAND "${CMAKE_C_FLAGS} ${CMAKE_EXE_LINKER_FLAGS}")
  if(VMM_STATIC)
    list(APPEND flags -static)
  endif()
  execute_process(COMMAND "${CMAKE_C_COMPILER}" ${flags} ${VMM_PIE_LINK_OPTIONS} -Wl,--verbose -o /dev/null
    OUTPUT_VARIABLE script ERROR_QUIET)
  set(head "\n  .text           :\n  {\n")
  string(FIND "${script}" "${head}" at)
  if(NOT script MATCHES "\n=====+\n.*\n=====+\n" OR at LESS 0)
    message(STATUS "The linker shows no script: no start-up order for ${target}")
    return()
  endif()
  file(STRINGS "${file}" names REGEX "^[a-z]")
  set(first "")
  foreach(name IN LISTS names)
    string(APPEND first "    *(.text.${name} .text.${name}.* .text.startup.${name})\n")
  endforeach()
  string(REPLACE "${head}" "${head}${first}" script "${script}")
  string(REGEX REPLACE "^.*\n=====+\n(.*)\n=====+\n.*$" "\\1\n" script "${script}")
  set(path "${CMAKE_CURRENT_BINARY_DIR}/${target}.ld")
  file(CONFIGURE OUTPUT "${path}" CONTENT "${script}" @ONLY)
  target_link_options(${target} PRIVATE "-Wl,-T,${path}")
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${path}")
endfunction()
