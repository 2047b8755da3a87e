# How the sources are compiled: options, warnings, hardening, sanitizers, and the functions that make a layer.

option(GATEHOUSE_WERROR "Treat compiler warnings as errors" OFF)
option(GATEHOUSE_HARDENING "Stack protector, _FORTIFY_SOURCE, PIE, RELRO" OFF)
option(GATEHOUSE_COVERAGE "Instrument for gcov" OFF)
option(GATEHOUSE_FUZZ "Build the libFuzzer targets (clang) in place of the program and the other tests" OFF)
option(GATEHOUSE_SOAK "Add the long-running tests of tests/soak" OFF)
set(GATEHOUSE_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread)")
set(GATEHOUSE_FUZZ_SECONDS 20 CACHE STRING "How long each fuzz target runs as a test")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Assertions stay on in the release build: a broken invariant ends the process rather than going on with hostile input.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "" FORCE)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

include_directories("${PROJECT_SOURCE_DIR}/src")
add_compile_definitions(GATEHOUSE_VERSION="${PROJECT_VERSION}")
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla)
if(GATEHOUSE_WERROR)
  add_compile_options(-Werror)
endif()

if(GATEHOUSE_HARDENING)
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES C)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_compile_options(-fstack-protector-strong)
  add_compile_definitions(_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

if(GATEHOUSE_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "GATEHOUSE_FUZZ needs clang: configure with --preset fuzz, or with -DCMAKE_C_COMPILER=clang")
  endif()
  set(GATEHOUSE_SANITIZE "fuzzer-no-link,address,undefined")
endif()
if(GATEHOUSE_SANITIZE)
  add_compile_options(-fsanitize=${GATEHOUSE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${GATEHOUSE_SANITIZE})
endif()
if(GATEHOUSE_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()

# gh_layer(<folder> [BELOW <folder>...] [LIBRARIES <target>...])
#
# Makes gh_<folder> of src/<folder>/*.c. Besides, the program layer_<folder> is linked from the whole of that archive
# and the layers below it: a call to a layer above is an undefined symbol there, also when the program itself would
# link. A folder without sources is a layer without code.
function(gh_layer folder)
  cmake_parse_arguments(arg "" "" "BELOW;LIBRARIES" ${ARGN})
  list(TRANSFORM arg_BELOW PREPEND gh_)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${folder}/*.c")
  if(folder STREQUAL "api")
    list(APPEND sources "${GATEHOUSE_EMBEDDED_C}")
  endif()
  if(NOT sources)
    add_library(gh_${folder} INTERFACE)
    target_link_libraries(gh_${folder} INTERFACE ${arg_BELOW} ${arg_LIBRARIES})
    return()
  endif()

  add_library(gh_${folder} STATIC ${sources})
  target_link_libraries(gh_${folder} PUBLIC ${arg_BELOW} ${arg_LIBRARIES})
  if(BUILD_TESTING AND NOT GATEHOUSE_FUZZ)
    file(CONFIGURE OUTPUT layer_main.c CONTENT "int main(void) { return 0; }\n")
    add_executable(layer_${folder} "${PROJECT_BINARY_DIR}/layer_main.c")
    target_link_libraries(layer_${folder} PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,gh_${folder}>")
  endif()
endfunction()

# Lua sources become part of the binary: gh_embed_lua(<target> <folder>) runs embed.cmake whenever one of them changes.
set(GATEHOUSE_EMBEDDED_C "${PROJECT_BINARY_DIR}/embedded_files.c")

function(gh_embed_lua target root)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${root}/*.lua")
  set(script "${PROJECT_SOURCE_DIR}/cmake/embed.cmake")
  # The list is a dependency too, so that a file that was removed leaves the binary.
  set(list "${PROJECT_BINARY_DIR}/embedded_files.txt")
  list(JOIN files "\n" lines)
  file(CONFIGURE OUTPUT "${list}" CONTENT "${lines}\n" @ONLY)
  add_custom_command(
    OUTPUT "${GATEHOUSE_EMBEDDED_C}"
    COMMAND "${CMAKE_COMMAND}" "-DROOT=${root}" "-DLIST=${list}" "-DOUTPUT=${GATEHOUSE_EMBEDDED_C}" -P "${script}"
    DEPENDS ${files} "${list}" "${script}"
    COMMENT "Embedding lua/"
    VERBATIM)
  set_property(SOURCE "${GATEHOUSE_EMBEDDED_C}" PROPERTY GENERATED TRUE)
endfunction()
