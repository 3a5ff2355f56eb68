# SPDX-License-Identifier: Apache-2.0
# One folder of src/ is one library, alcove_<folder>.
#
#   alcove_library(eif SOURCES a.cpp b.cpp USES crypto codec support LIBS OpenSSL::Crypto)
#   alcove_test(eif reader_test.cpp writer_test.cpp)      one test program, alcove_<folder>_test
#   alcove_fuzzer(eif fuzz_eif.cpp)                       with clang and ALCOVE_FUZZERS only
#
# USES names folders of src/; one that does not stand below the library's own folder in src/ORDER stops
# the configuration, so that the order of includes is also the order of linking.

# `headers` is one of the two targets of AlcovePrecompiled.cmake.
function(alcove_precompile target headers)
    if(ALCOVE_PRECOMPILE)
        target_precompile_headers(${target} REUSE_FROM ${headers})
    endif()
endfunction()

function(alcove_library folder)
    cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBS" ${ARGN})
    list(FIND ALCOVE_ORDER ${folder} own)
    if(own EQUAL -1)
        message(FATAL_ERROR "src/${folder} is not listed in src/ORDER")
    endif()
    if(ARG_SOURCES)
        add_library(alcove_${folder} STATIC ${ARG_SOURCES})
        set(scope PUBLIC)
        alcove_precompile(alcove_${folder} alcove_library_headers)
    else()
        add_library(alcove_${folder} INTERFACE)
        set(scope INTERFACE)
    endif()
    target_link_libraries(alcove_${folder} ${scope} alcove_flags ${ARG_LIBS})
    foreach(used IN LISTS ARG_USES)
        list(FIND ALCOVE_ORDER ${used} other)
        if(NOT other GREATER own)
            message(FATAL_ERROR "src/${folder} may not use src/${used}: it does not stand below it in src/ORDER")
        endif()
        target_link_libraries(alcove_${folder} ${scope} alcove_${used})
    endforeach()
endfunction()

function(alcove_test folder)
    if(NOT ALCOVE_TESTS)
        return()
    endif()
    add_executable(alcove_${folder}_test ${ARGN})
    alcove_precompile(alcove_${folder}_test alcove_program_headers)
    target_link_libraries(alcove_${folder}_test PRIVATE alcove_${folder} GTest::gmock GTest::gtest_main)
    add_test(NAME ${folder} COMMAND alcove_${folder}_test --gtest_brief=1)
    set_tests_properties(${folder} PROPERTIES TIMEOUT 600)
endfunction()

function(alcove_fuzzer folder source)
    if(NOT ALCOVE_FUZZERS)
        return()
    endif()
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    alcove_precompile(${name} alcove_program_headers)
    target_link_libraries(${name} PRIVATE alcove_${folder})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_property(GLOBAL APPEND PROPERTY ALCOVE_FUZZER_NAMES ${name})
endfunction()
