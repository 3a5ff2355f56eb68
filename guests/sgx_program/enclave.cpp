// SPDX-License-Identifier: Apache-2.0
#include "sgx_program/enclave.hpp"

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <utility>

#include <asm/sgx.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "sgx/spec_enclave.hpp"
#include "sgx_program/vdso.hpp"

namespace alcove::sgx_program {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint32_t kEenter = 2;
constexpr uint64_t kGrown = 64;  // the first page that may be taken later, behind those of the image

extern "C" {
// call_enclave.S
int call_enclave(uint64_t command, uint64_t argument, unsigned function, sgx_enclave_run* run, void* vdso);
void enter_without_vdso(uint64_t command, uint64_t argument, uint64_t tcs);
}

constexpr uint64_t kTcs = 1 << 8;

int protection_of(const EnclavePage& page) {
    if ((page.flags & kTcs) != 0) return PROT_READ | PROT_WRITE;
    return static_cast<int>(page.flags & (PROT_READ | PROT_WRITE | PROT_EXEC));
}

// ELRANGE has to lie at a multiple of its size.
Result<uint8_t*> reserve(uint64_t size) {
    auto* all =
        static_cast<uint8_t*>(::mmap(nullptr, 2 * size, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (all == MAP_FAILED) return fail_errno(errno, "mmap of ELRANGE");
    const uint64_t before = -reinterpret_cast<uint64_t>(all) % size;
    if (before != 0) ::munmap(all, before);
    ::munmap(all + before + size, size - before);
    return all + before;
}

Result<void> ask(const Fd& device, unsigned long request, void* argument, const char* name) {
    if (::ioctl(device.get(), request, argument) != 0) return fail_errno(errno, name);
    return {};
}

Result<void> add(const Fd& device, const EnclavePage& page) {
    alignas(64) uint64_t secinfo[8] = {page.flags};
    sgx_enclave_add_pages request{.src = reinterpret_cast<uint64_t>(page.source),
                                  .offset = page.offset,
                                  .length = kPage,
                                  .secinfo = reinterpret_cast<uint64_t>(secinfo),
                                  .flags = SGX_PAGE_MEASURE,
                                  .count = 0};
    return ask(device, SGX_IOC_ENCLAVE_ADD_PAGES, &request, "SGX_IOC_ENCLAVE_ADD_PAGES");
}

int keep_answer(long, long rsi, long, long, long, long, sgx_enclave_run* run) {
    run->user_data = static_cast<uint64_t>(rsi);
    return 0;
}

}  // namespace

Result<Enclave> Enclave::begin(bool debug) {
    Fd device(::open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC));
    if (!device.is_open()) return fail_errno(errno, "/dev/sgx_enclave");
    Enclave enclave(std::move(device), TRY(reserve(enclave_layout.size)));

    alignas(kPage) static sgx::SECS secs;
    secs = {};
    secs.SIZE = enclave_layout.size;
    secs.BASEADDR = reinterpret_cast<uint64_t>(enclave.base_);
    secs.SSAFRAMESIZE = static_cast<uint32_t>(enclave_layout.frame_pages);
    secs.ATTRIBUTES.FLAGS = sgx::attributes::MODE64BIT | (debug ? sgx::attributes::DEBUG : 0);
    secs.ATTRIBUTES.XFRM = sgx::xcr0::X87 | sgx::xcr0::SSE;
    sgx_enclave_create create{.src = reinterpret_cast<uint64_t>(&secs)};
    TRY(ask(enclave.device_, SGX_IOC_ENCLAVE_CREATE, &create, "SGX_IOC_ENCLAVE_CREATE"));
    TRY(add(enclave.device_, enclave_layout.pages[0]));
    return enclave;
}

Result<void> Enclave::add_rest() const {
    for (uint64_t i = 1; i < enclave_layout.count; ++i)
        TRY(add(device_, enclave_layout.pages[i]));
    sgx_enclave_init init{.sigstruct = reinterpret_cast<uint64_t>(&enclave_sigstruct)};
    TRY(ask(device_, SGX_IOC_ENCLAVE_INIT, &init, "SGX_IOC_ENCLAVE_INIT"));

    for (uint64_t i = 0; i < enclave_layout.count; ++i) {
        const auto& page = enclave_layout.pages[i];
        void* mapped =
            ::mmap(base_ + page.offset, kPage, protection_of(page), MAP_SHARED | MAP_FIXED, device_.get(), 0);
        if (mapped == MAP_FAILED) return fail_errno(errno, "mmap of an enclave's page");
    }
    return {};
}

Result<Enclave> Enclave::build(bool debug) {
    auto enclave = TRY(begin(debug));
    TRY(enclave.add_rest());
    return enclave;
}

Enclave::Enclave(Enclave&& other) noexcept
    : device_(std::move(other.device_)), base_(std::exchange(other.base_, nullptr)) {}

Enclave::~Enclave() {
    if (base_ != nullptr) ::munmap(base_, enclave_layout.size);
}

uint64_t Enclave::sum_address() const {
    return reinterpret_cast<uint64_t>(base_) + kDataPage * kPage;
}

uint64_t Enclave::grow(uint64_t pages) const {
    uint8_t* const begin = base_ + kGrown * kPage;
    void* const mapped =
        ::mmap(begin, pages * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device_.get(), 0);
    if (mapped == MAP_FAILED) return 0;
    const uint64_t range[] = {reinterpret_cast<uint64_t>(begin), pages};
    return enter(kAccept, reinterpret_cast<uint64_t>(range)).answer;
}

uint32_t Enclave::sweep_grown(uint64_t pages) const {
    const uint64_t in_order[] = {reinterpret_cast<uint64_t>(base_ + kGrown * kPage), pages, pages, 0};
    return enter(kSweep, reinterpret_cast<uint64_t>(in_order)).function;
}

Exit Enclave::enter(Command command, uint64_t argument) const {
    static void* const vdso = find_in_vdso("__vdso_sgx_enter_enclave");
    ALCOVE_CHECK(vdso != nullptr, "a kernel with SGX has __vdso_sgx_enter_enclave");
    sgx_enclave_run run{};
    run.tcs = reinterpret_cast<uint64_t>(base_);
    run.user_handler = reinterpret_cast<uint64_t>(&keep_answer);
    call_enclave(static_cast<uint64_t>(command), argument, kEenter, &run, vdso);
    return {.function = run.function,
            .answer = run.user_data,
            .vector = run.exception_vector,
            .error_code = run.exception_error_code,
            .address = run.exception_addr};
}

int Enclave::signal_of_entry(Command command, uint64_t argument) const {
    static sigjmp_buf before;
    struct sigaction action {};
    action.sa_handler = [](int signal) { ::siglongjmp(before, signal); };
    for (const int signal : {SIGSEGV, SIGBUS})
        ::sigaction(signal, &action, nullptr);
    const int signal = sigsetjmp(before, 1);
    if (signal == 0)
        enter_without_vdso(static_cast<uint64_t>(command), argument, reinterpret_cast<uint64_t>(base_));
    for (const int each : {SIGSEGV, SIGBUS})
        ::signal(each, SIG_DFL);
    return signal;
}

}  // namespace alcove::sgx_program
