// SPDX-License-Identifier: Apache-2.0
//
// Gives EPC back: the program in a guest of a VM with a balloon. Its host asks, at a port, for so many bytes of
// EPC to be held without use (src/vmm/epc_balloon.hpp has the messages), and it holds them through the kernel's
// own interface: an enclave that was created and has no page is a SECS and a page of versions, which Linux
// keeps in the EPC until the enclave's file is closed. Each is one open file.
//
// It goes step by step, says how far it has come, and tries again after a while when Linux has no more EPC to
// give: what other enclaves use, Linux evicts for it as for any enclave. Where it ends, all it holds is free.
#define _GNU_SOURCE
#include <asm/sgx.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define PORT_NAME "alcove.epc-balloon"
#define PORTS "/sys/class/virtio-ports"

enum {
    PAGE = 4096,
    UNIT = 2 * PAGE,     // of EPC, what an enclave without pages takes
    STEP = 64,           // enclaves between two looks at the port
    RETRY = 1000,        // milliseconds until Linux is asked again for what it had not
    FILES_OF_OURS = 16,  // that are no enclaves
    VERSION = 1,
    HOLD = 1,
    HELD = 2,
};

struct message {
    uint16_t version;
    uint16_t kind;
    uint32_t reserved;
    uint64_t bytes;
};
_Static_assert(sizeof(struct message) == 16, "as the host has it");

// SDM vol. 3D, "SGX Enclave Control Structure (SECS)": as much as has to be said.
struct secs {
    uint64_t size;
    uint64_t base;
    uint32_t ssa_frame_size;
    uint32_t miscselect;
    uint8_t reserved1[24];
    uint64_t attributes;
    uint64_t xfrm;
    uint8_t rest[PAGE - 64];
};
_Static_assert(sizeof(struct secs) == PAGE, "a page");

enum { MODE64BIT = 4, X87_AND_SSE = 3 };

static struct secs smallest = {
    .size = 2 * PAGE, .ssa_frame_size = 1, .attributes = MODE64BIT, .xfrm = X87_AND_SSE};

struct balloon {
    int* enclaves;
    size_t held;
    size_t target;
    size_t most;  // files that may be open
};

static void fail(const char* format, ...) {
    const int error = errno;
    va_list arguments;

    fprintf(stderr, "epc_balloon: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (error != 0) fprintf(stderr, ": %s", strerror(error));
    fprintf(stderr, "\n");
    exit(1);
}

static int has_name(const char* port, const char* name) {
    char path[512];
    char text[128] = "";
    FILE* file;

    snprintf(path, sizeof path, PORTS "/%s/name", port);
    file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fgets(text, sizeof text, file) == NULL) text[0] = '\0';
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, name) == 0;
}

static int open_port(void) {
    DIR* folder = opendir(PORTS);
    struct dirent* entry;
    char path[512] = "";
    int port;

    if (folder == NULL) fail("this machine has no ports (" PORTS ")");
    while (path[0] == '\0' && (entry = readdir(folder)) != NULL)
        if (has_name(entry->d_name, PORT_NAME)) snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    closedir(folder);
    errno = 0;
    if (path[0] == '\0') fail("this VM's EPC has no balloon: there is no port " PORT_NAME);
    port = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (port < 0) fail("%s", path);
    return port;
}

// As many files as the kernel lets root have.
static size_t raise_limit(void) {
    FILE* file = fopen("/proc/sys/fs/nr_open", "re");
    unsigned long most = 0;
    struct rlimit limit;

    if (file != NULL) {
        if (fscanf(file, "%lu", &most) != 1) most = 0;
        fclose(file);
    }
    limit.rlim_cur = limit.rlim_max = most;
    if (most == 0 || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0) fail("getrlimit");
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail("setrlimit");
    }
    return limit.rlim_cur > FILES_OF_OURS ? (size_t)limit.rlim_cur - FILES_OF_OURS : 0;
}

// The last of what the host has said, if it has said anything.
static void hear(int port, struct balloon* balloon) {
    struct message message;
    ssize_t size;

    while ((size = read(port, &message, sizeof message)) > 0) {
        uint64_t units;

        if (size != sizeof message || le16toh(message.version) != VERSION || le16toh(message.kind) != HOLD)
            continue;
        units = le64toh(message.bytes) / UNIT;
        balloon->target = units < balloon->most ? (size_t)units : balloon->most;
    }
    if (size < 0 && errno != EAGAIN && errno != EINTR) fail("the port");
}

static void say(int port, size_t held) {
    const struct message message = {
        .version = htole16(VERSION), .kind = htole16(HELD), .bytes = htole64((uint64_t)held * UNIT)};

    // A host that does not listen hears the next one.
    if (write(port, &message, sizeof message) < 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE)
        fail("the port");
}

// Another enclave; 0 when there is nothing to make it of now.
static int hold_one(struct balloon* balloon) {
    struct sgx_enclave_create create = {.src = (uint64_t)(uintptr_t)&smallest};
    const int enclave = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC);

    if (enclave < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EINTR) return 0;
        fail("/dev/sgx_enclave");
    }
    if (ioctl(enclave, SGX_IOC_ENCLAVE_CREATE, &create) < 0) {
        close(enclave);
        return 0;
    }
    balloon->enclaves[balloon->held++] = enclave;
    return 1;
}

// Whether there is more to do at once.
static int step(struct balloon* balloon) {
    for (int i = 0; i < STEP; ++i) {
        if (balloon->held == balloon->target) return 0;
        if (balloon->held > balloon->target)
            close(balloon->enclaves[--balloon->held]);
        else if (!hold_one(balloon))
            return 0;
    }
    return 1;
}

int main(void) {
    struct balloon balloon = {.most = raise_limit()};
    struct pollfd port = {.fd = open_port(), .events = POLLIN};
    int goes_on = 0;

    balloon.enclaves = calloc(balloon.most, sizeof *balloon.enclaves);
    if (balloon.enclaves == NULL) fail("no memory");
    say(port.fd, 0);
    for (;;) {
        const int is_there = balloon.held == balloon.target;
        const size_t before = balloon.held;

        if (poll(&port, 1, goes_on ? 0 : is_there ? -1 : RETRY) < 0 && errno != EINTR) fail("poll");
        if ((port.revents & (POLLHUP | POLLERR)) != 0) poll(NULL, 0, RETRY);  // the host is not there
        hear(port.fd, &balloon);
        goes_on = step(&balloon);
        if (balloon.held != before) say(port.fd, balloon.held);
    }
}
