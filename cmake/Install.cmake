# SPDX-License-Identifier: MIT
# What `cmake --install` gives: the program, the library in both kinds, its header, its pkg-config file, the
# manual page and the documents that it names.
add_library(vmm_shared SHARED)
target_sources(vmm_shared PRIVATE $<TARGET_OBJECTS:vmm_objects>)
target_link_libraries(vmm_shared PRIVATE Threads::Threads ${CMAKE_DL_LIBS} ${URING_ARCHIVE})
target_link_options(vmm_shared PRIVATE -Wl,-z,relro -Wl,-z,now -Wl,-z,defs -Wl,--exclude-libs,ALL
  "-Wl,--version-script=${CMAKE_SOURCE_DIR}/vmm/libvmm.map")
set_target_properties(vmm_shared PROPERTIES OUTPUT_NAME vmm LINKER_LANGUAGE C VERSION ${PROJECT_VERSION}
  SOVERSION 0 LINK_DEPENDS "${CMAKE_SOURCE_DIR}/vmm/libvmm.map")

# The archive to install is one object whose internal names are local: a program that has a bus_read of its own
# can link it.
set(VMM_ARCHIVE "${CMAKE_BINARY_DIR}/install/libvmm.a")
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/install")
add_custom_command(OUTPUT "${VMM_ARCHIVE}"
  COMMAND ${CMAKE_COMMAND} -E rm -f "${VMM_ARCHIVE}"
  COMMAND ${CMAKE_LINKER} -r --whole-archive $<TARGET_FILE:vmm_static> --no-whole-archive ${URING_ARCHIVE} -o libvmm.o
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=vmm_* libvmm.o
  COMMAND ${CMAKE_AR} rcs "${VMM_ARCHIVE}" libvmm.o
  DEPENDS vmm_static WORKING_DIRECTORY "${CMAKE_BINARY_DIR}/install" VERBATIM)
add_custom_target(vmm_archive ALL DEPENDS "${VMM_ARCHIVE}")

# The prefix is found from where the file lies: `cmake --install --prefix` may put it elsewhere than configured.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(PC_LIBDIR "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(PC_INCLUDEDIR "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  file(RELATIVE_PATH PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
  string(REGEX REPLACE "/$" "" PC_PREFIX "\${pcfiledir}/${PC_PREFIX}")
  set(PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/libvmm.pc.in "${CMAKE_BINARY_DIR}/libvmm.pc" @ONLY)
install(TARGETS vmm RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(TARGETS vmm_shared LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${VMM_ARCHIVE}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES include/libvmm.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${CMAKE_BINARY_DIR}/libvmm.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES docs/vmm.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" FILES_MATCHING PATTERN "*.md")
