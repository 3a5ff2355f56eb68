// SPDX-License-Identifier: Apache-2.0
//
// Keeps exceptions out of init. Nothing here throws, but the standard library's headers refer to functions
// that would, and with them come the unwinder and its tables: about 60 KiB, a tenth of a static program that
// is part of every image. These definitions come before the library's; each ends the machine.
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>

#include <sys/reboot.h>
#include <unistd.h>

namespace {

// Allocates nothing: memory may be what ran out.
[[noreturn]] void end_init(const char* what) {
    for (const char* part : {"init: ", what, "\n"}) {
        [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, part, strlen(part));
    }
    reboot(RB_AUTOBOOT);
    abort();
}

}  // namespace

namespace std {

void __throw_length_error(const char* what) {
    end_init(what);
}
void __throw_logic_error(const char* what) {
    end_init(what);
}
void __throw_out_of_range_fmt(const char* what, ...) {
    end_init(what);
}
void __throw_bad_alloc() {
    end_init("out of memory");
}
void __throw_bad_array_new_length() {
    end_init("bad array length");
}

}  // namespace std

void* operator new(size_t bytes) {
    // malloc(0) may be null, which new never is.
    void* memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == nullptr) end_init("out of memory");
    return memory;
}

void operator delete(void* memory) noexcept {
    free(memory);
}

void operator delete(void* memory, size_t) noexcept {
    free(memory);
}
