# SPDX-License-Identifier: Apache-2.0
# Compiler and linker flags for everything that is ours.
add_library(alcove_flags INTERFACE)
target_include_directories(alcove_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(alcove_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Wcast-align -Wnon-virtual-dtor
    -fno-strict-aliasing -fstack-protector-strong)
# Paths in messages begin at the project's root, wherever that is: the same sources give the same programs, and the
# compiler's cache, which makes paths relative, serves every checkout.
file(RELATIVE_PATH to_root ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/)
target_compile_options(alcove_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffile-prefix-map=${to_root}=)
target_compile_definitions(alcove_flags INTERFACE _FILE_OFFSET_BITS=64 ALCOVE_VERSION="${PROJECT_VERSION}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # A statement expression is how TRY works; clang calls it an extension only under -Wpedantic.
    # -Wconversion then means what it means to g++.
    target_compile_options(alcove_flags INTERFACE -Wno-gnu-statement-expression -Wno-sign-conversion)
endif()
if(ALCOVE_WERROR)
    target_compile_options(alcove_flags INTERFACE -Werror)
endif()
if(ALCOVE_SANITIZE)
    target_compile_options(alcove_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(alcove_flags INTERFACE -fsanitize=address,undefined)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")  # a third of the time for a test program
        target_link_options(alcove_flags INTERFACE -fuse-ld=lld)
    endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_definitions(alcove_flags INTERFACE _FORTIFY_SOURCE=2)
    # A program has in it what it uses and no more, and loads no library for code that is not in it: a VMM has none that
    # unpacks archives.
    target_compile_options(alcove_flags INTERFACE -ffunction-sections -fdata-sections)
    target_link_options(alcove_flags INTERFACE -fuse-ld=lld -Wl,--gc-sections -Wl,--as-needed)
endif()
if(ALCOVE_FUZZERS)
    target_compile_options(alcove_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_options(alcove_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
