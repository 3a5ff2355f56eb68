# SPDX-License-Identifier: Apache-2.0
# Two precompiled headers, one for libraries and one for the programs that test them: the standard library and
# GoogleTest are most of what a compiler reads, and the same in every file. For clang only: g++ takes a precompiled
# header only with the very same flags, and a library and a program differ in theirs.
#
# CMake would name the header beside its precompiled form, in a way in which the compiler's cache does not see that it is a
# path: another checkout would compile all of it anew.
set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -include-pch <PCH_FILE>)
set(ALCOVE_STANDARD_HEADERS
    <algorithm> <array> <atomic> <chrono> <condition_variable> <deque> <filesystem> <functional> <future> <list> <map>
    <memory> <mutex> <optional> <set> <span> <string> <string_view> <thread> <unordered_map> <utility> <variant>
    <vector> <fmt/core.h> <nlohmann/json.hpp>)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "// Nothing but its precompiled header is wanted.\n")
foreach(headers alcove_library_headers alcove_program_headers)
    add_library(${headers} OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
    target_link_libraries(${headers} PRIVATE alcove_flags fmt::fmt nlohmann_json::nlohmann_json)
    target_compile_options(${headers} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    target_precompile_headers(${headers} PRIVATE ${ALCOVE_STANDARD_HEADERS})
endforeach()
# As it is for a program; what is compiled for a library differs.
target_compile_options(alcove_program_headers PRIVATE -fPIE)
if(ALCOVE_TESTS)
    target_link_libraries(alcove_program_headers PRIVATE GTest::gmock)
    target_precompile_headers(alcove_program_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
endif()

# A precompiled header has its folder's path in it, so the compiler's cache would take that of another checkout for
# another one. Beside each stands what it is made of (CCACHE_PCH_EXTSUM, which tools/dev sets).
foreach(headers alcove_library_headers alcove_program_headers)
    get_target_property(list ${headers} PRECOMPILE_HEADERS)
    string(REGEX REPLACE "(<[^;]*>);?" "#include \\1\n" text "${list}")
    file(WRITE ${CMAKE_BINARY_DIR}/${headers}.hpp "${text}")
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -std=gnu++20 -E -P -x c++ ${CMAKE_BINARY_DIR}/${headers}.hpp
        OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
    string(SHA256 sum "${CMAKE_CXX_COMPILER_VERSION} ${text}")
    file(WRITE ${CMAKE_BINARY_DIR}/CMakeFiles/${headers}.dir/cmake_pch.hxx.pch.sum "${sum}\n")
endforeach()
