// SPDX-License-Identifier: Apache-2.0
//
// The shortest way from an image to an enclave, with nothing but the C library and the kernel's own headers:
// for a primary VM, and for reading. Each step is a function below; main() goes through them.
//
// Unlike the sample of the kernel, it is told sizes on its command line, watches the enclave while it waits
// for the heartbeat, and ends when the enclave does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nitro_enclaves.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    HUGE_PAGE = 2 << 20,
    MOST_PAGES = 8192,
    PARENT_CID = 3,
    HEARTBEAT_PORT = 9000,
    HEARTBEAT = 0xb7,
    HEARTBEAT_PATIENCE = 180,  // seconds
};

struct plan {
    const char* image;
    unsigned pages;
    unsigned vcpus;
    unsigned hold;  // seconds after the heartbeat, if it does not end before
    uint64_t cid;
    uint64_t flags;
};

static void* pages[MOST_PAGES];

static void fail(const char* format, ...) {
    const int error = errno;
    va_list arguments;

    printf("ne_sample: FAILED ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    // The driver has errnos of its own, from 256 on: see linux/nitro_enclaves.h.
    if (error != 0)
        printf(": %s (%d)", error < NE_ERR_VCPU_ALREADY_USED ? strerror(error) : "the driver refused", error);
    printf("\n");
    exit(1);
}

static unsigned number(const char* text, unsigned most) {
    char* end = NULL;
    const unsigned long value = strtoul(text, &end, 10);

    errno = 0;
    if (*text == '\0' || *end != '\0' || value > most) fail("%s is no number up to %u", text, most);
    return (unsigned)value;
}

static struct plan read_arguments(int argc, char** argv) {
    struct plan plan = {.pages = 256, .vcpus = 2, .hold = 300};
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; ++at) {
        const char* option = argv[at];

        if (strcmp(option, "--debug") == 0)
            plan.flags = NE_ENCLAVE_DEBUG_MODE;
        else if (at + 1 == argc)
            break;
        else if (strcmp(option, "--memory") == 0)
            plan.pages = number(argv[++at], MOST_PAGES * 2) / 2;
        else if (strcmp(option, "--cpus") == 0)
            plan.vcpus = number(argv[++at], 256);
        else if (strcmp(option, "--cid") == 0)
            plan.cid = number(argv[++at], UINT32_MAX);
        else if (strcmp(option, "--hold") == 0)
            plan.hold = number(argv[++at], 1 << 20);
        else
            break;
    }
    if (at + 1 != argc) {
        fprintf(stderr,
                "usage: ne_sample [--debug] [--memory MIB] [--cpus N] [--cid CID] [--hold SECONDS] IMAGE\n");
        exit(2);
    }
    plan.image = argv[at];
    return plan;
}

static int create_enclave(void) {
    const int device = open("/dev/nitro_enclaves", O_RDWR | O_CLOEXEC);
    uint64_t slot_uid = 0;
    int enclave;

    if (device < 0) fail("/dev/nitro_enclaves");
    enclave = ioctl(device, NE_CREATE_VM, &slot_uid);
    if (enclave < 0) fail("NE_CREATE_VM");
    close(device);
    printf("ne_sample: slot %llx\n", (unsigned long long)slot_uid);
    return enclave;
}

static void map_pages(const struct plan* plan) {
    for (unsigned i = 0; i < plan->pages; ++i) {
        pages[i] = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);
        if (pages[i] == MAP_FAILED) fail("huge page %u of %u", i, plan->pages);
    }
}

// The enclave sees the pages in a row, in the order in which they are added; the image begins at an offset
// there that the driver knows. All of it is written before the first page is given away.
static void load_image(int enclave, const struct plan* plan) {
    struct ne_image_load_info info = {.flags = NE_EIF_IMAGE};
    const uint64_t memory = (uint64_t)plan->pages * HUGE_PAGE;
    const int file = open(plan->image, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (file < 0 || fstat(file, &status) != 0) fail("%s", plan->image);
    if (ioctl(enclave, NE_GET_IMAGE_LOAD_INFO, &info) != 0) fail("NE_GET_IMAGE_LOAD_INFO");
    errno = 0;
    if (info.memory_offset > memory || (uint64_t)status.st_size > memory - info.memory_offset)
        fail("%s does not fit into the memory", plan->image);
    for (uint64_t at = info.memory_offset; at < memory;) {
        const uint64_t inside = at % HUGE_PAGE;
        const ssize_t got = read(file, (char*)pages[at / HUGE_PAGE] + inside, HUGE_PAGE - inside);

        if (got < 0) fail("reading %s", plan->image);
        if (got == 0) break;
        at += (uint64_t)got;
    }
    close(file);
}

static void give_memory(int enclave, const struct plan* plan) {
    for (unsigned i = 0; i < plan->pages; ++i) {
        const struct ne_user_memory_region region = {
            .flags = NE_DEFAULT_MEMORY_REGION,
            .memory_size = HUGE_PAGE,
            .userspace_addr = (uint64_t)(uintptr_t)pages[i],
        };

        if (ioctl(enclave, NE_SET_USER_MEMORY_REGION, &region) != 0)
            fail("NE_SET_USER_MEMORY_REGION, page %u", i);
    }
}

static void give_vcpus(int enclave, const struct plan* plan) {
    for (unsigned i = 0; i < plan->vcpus; ++i) {
        uint32_t vcpu = 0;  // the driver chooses

        if (ioctl(enclave, NE_ADD_VCPU, &vcpu) != 0) fail("NE_ADD_VCPU");
        printf("ne_sample: vCPU %u\n", vcpu);
    }
}

static int listen_for_heartbeat(void) {
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = PARENT_CID, .svm_port = HEARTBEAT_PORT};
    const int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (const struct sockaddr*)&address, sizeof address) != 0 ||
        listen(listener, 1) != 0)
        fail("listening at CID 3, port 9000");
    return listener;
}

static void start(int enclave, const struct plan* plan) {
    struct ne_enclave_start_info info = {.flags = plan->flags, .enclave_cid = plan->cid};

    if (ioctl(enclave, NE_START_ENCLAVE, &info) != 0) fail("NE_START_ENCLAVE");
    printf("ne_sample: started with CID %llu\n", (unsigned long long)info.enclave_cid);
    fflush(stdout);
}

static time_t now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

// Whether `other` (-1: nothing) can be read before the enclave ends; 0 when the seconds are over first.
enum happening { NOTHING, READABLE, ENDED };
static enum happening wait_for(int enclave, int other, unsigned seconds) {
    const time_t end = now() + seconds;

    for (;;) {
        // The enclave's descriptor says EPOLLHUP when it has ended, and nothing else ever.
        struct pollfd polled[2] = {{.fd = other, .events = POLLIN}, {.fd = enclave}};
        const time_t left = end - now();

        if (left <= 0) return NOTHING;
        if (poll(polled, 2, (int)left * 1000) < 0 && errno != EINTR) fail("poll");
        if (polled[0].revents != 0) return READABLE;
        if (polled[1].revents != 0) return ENDED;
    }
}

static void expect_readable(int enclave, int other) {
    const enum happening happened = wait_for(enclave, other, HEARTBEAT_PATIENCE);

    errno = 0;
    if (happened == ENDED) fail("the enclave ended before its heartbeat");
    if (happened == NOTHING) fail("no heartbeat within %d s", HEARTBEAT_PATIENCE);
}

static void exchange_heartbeat(int enclave, int listener) {
    unsigned char byte = 0;
    int connection;

    expect_readable(enclave, listener);
    connection = accept(listener, NULL, NULL);
    if (connection < 0) fail("accept");
    expect_readable(enclave, connection);
    if (read(connection, &byte, 1) != 1 || byte != HEARTBEAT)
        fail("the enclave said %#x, which is no heartbeat", byte);
    if (write(connection, &byte, 1) != 1) fail("answering the heartbeat");
    close(connection);
    close(listener);
    printf("ne_sample: heartbeat\n");
    fflush(stdout);
}

int main(int argc, char** argv) {
    const struct plan plan = read_arguments(argc, argv);
    const int enclave = create_enclave();
    int listener;

    map_pages(&plan);
    load_image(enclave, &plan);
    give_memory(enclave, &plan);
    give_vcpus(enclave, &plan);
    listener = listen_for_heartbeat();
    start(enclave, &plan);
    exchange_heartbeat(enclave, listener);
    if (wait_for(enclave, -1, plan.hold) == ENDED) printf("ne_sample: the enclave has ended\n");
    // This frees the enclave: memory and vCPUs are the machine's again when it returns.
    close(enclave);
    printf("ne_sample: ok\n");
    return 0;
}
