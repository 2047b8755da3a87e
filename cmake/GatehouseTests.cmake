# Everything under tests/ as ctest entries. Labels choose: ctest -L unit, lua, cli, lint, soak, fuzz.
#
# A C test links the layers whose headers it includes, so a test of protocol/ shows by linking that the module needs
# nothing above it, and one broken layer does not keep the others from being tested.

# Sanitized binaries are several times slower; the limit is there to end a test that hangs, not to measure.
set(GATEHOUSE_TEST_TIMEOUT_S 60)
if(GATEHOUSE_SANITIZE OR GATEHOUSE_COVERAGE)
  set(GATEHOUSE_TEST_TIMEOUT_S 240)
endif()

set(GATEHOUSE_TEST_ENVIRONMENT
  "ASAN_OPTIONS=detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=print_stacktrace=1"
  "TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1:second_deadlock_stack=1:suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")

# gh_test(<name> LABEL <label> [TIMEOUT_S <seconds>] COMMAND <command>...): exit status 77 means skipped.
function(gh_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT_S" "COMMAND" ${ARGN})
  if(NOT arg_TIMEOUT_S)
    set(arg_TIMEOUT_S ${GATEHOUSE_TEST_TIMEOUT_S})
  endif()
  add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES
    LABELS ${arg_LABEL}
    TIMEOUT ${arg_TIMEOUT_S}
    SKIP_RETURN_CODE 77
    ENVIRONMENT "${GATEHOUSE_TEST_ENVIRONMENT}")
endfunction()

# gh_program(<target> <file.c> [LIBRARIES...]): an executable of one file and the layers whose headers it includes.
function(gh_program target source)
  add_executable(${target} "${source}")
  set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  file(STRINGS "${source}" includes REGEX "^#include \"[a-z]+/")
  list(TRANSFORM includes REPLACE "^#include \"([a-z]+)/.*" "\\1")
  list(REMOVE_DUPLICATES includes)
  foreach(layer IN LISTS includes)
    if(TARGET gh_${layer})
      target_link_libraries(${target} PRIVATE gh_${layer})
    endif()
  endforeach()
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(${target} PRIVATE GATEHOUSE_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures")
  target_link_libraries(${target} PRIVATE ${ARGN})
endfunction()

# gh_script_tests(<folder> <pattern> LABEL <label> [TIMEOUT_S <seconds>] COMMAND <words>...): an entry for each file;
# the word FILE stands for it.
function(gh_script_tests folder pattern)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT_S" "COMMAND" ${ARGN})
  file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${folder}/${pattern}")
  foreach(file IN LISTS files)
    cmake_path(GET file STEM name)
    string(REGEX REPLACE "^test_" "" name "${name}")
    list(TRANSFORM arg_COMMAND REPLACE "^FILE$" "${file}" OUTPUT_VARIABLE command)
    gh_test(${arg_LABEL}.${name} LABEL ${arg_LABEL} TIMEOUT_S ${arg_TIMEOUT_S} COMMAND ${command})
  endforeach()
endfunction()

function(gh_tests)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

  file(GLOB unit_tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/unit/test_*.c")
  foreach(source IN LISTS unit_tests)
    cmake_path(GET source STEM target)
    gh_program(${target} "${source}" PkgConfig::CMOCKA)
    string(REGEX REPLACE "^test_" "unit." name "${target}")
    gh_test(${name} LABEL unit COMMAND ${target})
  endforeach()

  file(GLOB tools CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/tools/*.c")
  foreach(source IN LISTS tools)
    cmake_path(GET source STEM target)
    gh_program(${target} "${source}" OpenSSL::Crypto)
  endforeach()

  gh_script_tests(lint "test_*.py" LABEL lint COMMAND Python3::Interpreter FILE)
  if(TARGET gatehouse)
    gh_script_tests(lua "*.lua" LABEL lua
      COMMAND Python3::Interpreter tests/lua/run.py --gatehouse "$<TARGET_FILE:gatehouse>" FILE)
    gh_script_tests(cli "test_*.py" LABEL cli COMMAND Python3::Interpreter FILE "$<TARGET_FILE:gatehouse>")
    # They measure times: nothing else runs beside them.
    set_tests_properties(cli.hostile cli.reloads_short PROPERTIES RUN_SERIAL TRUE)
    if(GATEHOUSE_SOAK)
      gh_script_tests(soak "*.py" LABEL soak TIMEOUT_S 3600
        COMMAND Python3::Interpreter FILE "$<TARGET_FILE:gatehouse>")
    endif()
  endif()
endfunction()

# tests/fuzz/fuzz_<module>.c, started from the seeds in tests/fuzz/corpus/<module>/. What a run finds goes into the
# build folder: `finds` keeps growing from run to run there, a crash leaves its input beside it.
function(gh_fuzz_targets)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_*.c")
  math(EXPR timeout_s "${GATEHOUSE_FUZZ_SECONDS} + 60")
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM target)
    string(REGEX REPLACE "^fuzz_" "" module "${target}")
    gh_program(${target} "${source}")
    # libFuzzer finds its entry by name; nothing else declares it.
    target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)

    set(finds "${PROJECT_BINARY_DIR}/fuzz/${module}/finds")
    file(MAKE_DIRECTORY "${finds}")
    set(arguments -max_total_time=${GATEHOUSE_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=2048
      -print_final_stats=1 "-artifact_prefix=${PROJECT_BINARY_DIR}/fuzz/${module}/")
    if(EXISTS "${PROJECT_SOURCE_DIR}/tests/fuzz/${module}.dict")
      list(APPEND arguments "-dict=${PROJECT_SOURCE_DIR}/tests/fuzz/${module}.dict")
    endif()
    list(APPEND arguments "${finds}")
    if(IS_DIRECTORY "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${module}")
      list(APPEND arguments "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${module}")
    endif()
    gh_test(fuzz.${module} LABEL fuzz TIMEOUT_S ${timeout_s} COMMAND ${target} ${arguments})
  endforeach()
endfunction()
