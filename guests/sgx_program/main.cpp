// SPDX-License-Identifier: Apache-2.0
//
// sgx_program: what programs with enclaves do under an unmodified Linux, a thing a word (program.hpp). It
// prints a line for each thing it saw; tests/machine/sgx_linux_test.cpp says what that has to be.
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "sgx/spec_report.hpp"
#include "sgx_program/program.hpp"

namespace alcove::sgx_program {

void line(const char* name, uint64_t value) {
    std::printf("%s %lx\n", name, value);
    std::fflush(stdout);
}

void line(const char* name, const Exit& exit) {
    std::printf("%s function %x vector %x error %x\n", name, exit.function, exit.vector, exit.error_code);
    std::fflush(stdout);
}

Enclave build(bool debug) {
    auto enclave = Enclave::build(debug);
    if (!enclave) {
        std::printf("FAILED %s\n", enclave.error().to_string().c_str());
        std::exit(kFailure);
    }
    return std::move(enclave).value();
}

void use() {
    line("sum", build(false).enter(kAdd, 42).answer);
}

namespace {

constexpr int kMoreThanFit = 60;  // enclaves, one after the other: all of the EPC and more

void print_words(const char* name, const void* from, size_t bytes) {
    std::printf("%s", name);
    for (size_t i = 0; i < bytes / 8; ++i) {
        uint64_t word;
        std::memcpy(&word, static_cast<const uint8_t*>(from) + 8 * i, sizeof word);
        std::printf(" %016lx", word);
    }
    std::printf("\n");
    std::fflush(stdout);
}

ReportIo report_io;
KeyIo key_io;

void get_key(const char* name, const Enclave& enclave, sgx::KeyName key, uint16_t policy) {
    key_io.ask(key, policy, report_io.report.KEYID);
    const auto exit = enclave.enter(kGetKey, reinterpret_cast<uint64_t>(&key_io));
    if (exit.answer != 0) return line(name, exit.answer);
    print_words(name, key_io.key, sizeof key_io.key);
}

// From the one that is open to debuggers to the other.
void report(const Enclave& to, const Enclave& from) {
    report_io.ask();
    from.enter(kReport, reinterpret_cast<uint64_t>(&report_io));
    print_words("report", &report_io.report, sizeof report_io.report);
    print_words("mrenclave", &enclave_sigstruct.ENCLAVEHASH, sizeof enclave_sigstruct.ENCLAVEHASH);
    get_key("report key", to, sgx::KeyName::REPORT_KEY, 0);
    get_key("other report key", from, sgx::KeyName::REPORT_KEY, 0);
}

// As debuggers do it.
void debug(const char* name, const Enclave& enclave) {
    const int memory = ::open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    const auto at = static_cast<off_t>(enclave.sum_address());
    uint64_t word = 0;
    if (::pread(memory, &word, sizeof word, at) == sizeof word)
        line(name, word);
    else
        line(name, static_cast<uint64_t>(-errno));
    word = 99;
    if (::pwrite(memory, &word, sizeof word, at) != sizeof word)
        line("write refused", static_cast<uint64_t>(errno));
    ::close(memory);
    line("sum", enclave.enter(kSum, 0).answer);
}

void set_online(bool on) {
    const int file = ::open("/sys/devices/system/cpu/cpu1/online", O_WRONLY | O_CLOEXEC);
    if (::write(file, on ? "1" : "0", 1) != 1) line("FAILED cpu1/online", static_cast<uint64_t>(errno));
    ::close(file);
}

// A processor goes and comes back while a thread of its is inside.
void take_processor(const Enclave& enclave) {
    std::atomic<uint64_t> enough = 0;
    std::atomic<bool> entered = false;
    Exit exit{};
    std::thread inside([&] {
        cpu_set_t second;
        CPU_ZERO(&second);
        CPU_SET(1, &second);
        ::pthread_setaffinity_np(::pthread_self(), sizeof second, &second);
        entered = true;
        exit = enclave.enter(kSpin, reinterpret_cast<uint64_t>(&enough));
    });
    while (!entered)
        ::usleep(1000);
    ::usleep(50'000);
    set_online(false);
    ::usleep(50'000);
    set_online(true);
    enough = 1;
    inside.join();
    line("processor taken", exit);
    line("sum", enclave.enter(kSum, 0).answer);
}

// Pages of enclaves that nobody used since leave the EPC, as another one needs so many.
void crowd_out() {
    constexpr uint64_t kNearlyAll = 760;  // of 768 pages
    line("crowded out by", build(false).grow(kNearlyAll));
}

// The host takes all EPC away when it reads a line. One enclave is in use then, one is not, one's pages are
// not in EPC, and one is not built yet.
void lose_epc(std::optional<Enclave> enclave, const Enclave& other) {
    const Enclave evicted = build(false);
    evicted.enter(kAdd, 1);
    crowd_out();
    enclave->enter(kSum, 0);
    other.enter(kSum, 0);
    auto half = Enclave::begin(false);
    if (!half) line("FAILED half an enclave", 0);

    const uint64_t never = 0;
    line("spinning", 1);
    line("lost", enclave->enter(kSpin, reinterpret_cast<uint64_t>(&never)));
    line("other lost", other.enter(kSum, 0));
    line("signal of other", static_cast<uint64_t>(other.signal_of_entry(kSum, 0)));
    line("evicted lost", evicted.enter(kSum, 0));
    line("signal of evicted", static_cast<uint64_t>(evicted.signal_of_entry(kSum, 0)));
    const auto rest = half->add_rest();
    line("half lost", rest ? 0 : static_cast<uint64_t>(rest.error().errno_value()));
}

// Everything that a program may meet.
void meet_everything() {
    std::optional<Enclave> enclave(build(false));
    const Enclave other = build(true);
    enclave->enter(kAdd, 40);
    line("sum", enclave->enter(kAdd, 2).answer);
    other.enter(kAdd, 77);

    report(*enclave, other);
    get_key("seal key", *enclave, sgx::KeyName::SEAL_KEY, sgx::keypolicy::MRENCLAVE);
    get_key("other seal key", other, sgx::KeyName::SEAL_KEY, sgx::keypolicy::MRENCLAVE);
    debug("debug", other);
    debug("no debug", *enclave);
    debug_processes();
    take_processor(*enclave);
    enclave.reset();
    enclave.emplace(build(false));
    get_key("seal key again", *enclave, sgx::KeyName::SEAL_KEY, sgx::keypolicy::MRENCLAVE);

    lose_epc(std::move(enclave), other);
    for (int i = 0; i < kMoreThanFit; ++i)
        if (build(false).enter(kAdd, 5).answer != 5) line("FAILED an enclave after the loss", 0);
    line("built again", kMoreThanFit);
}

int run(std::string_view word, const char* command_line) {
    if (word == "use") use();
    if (word == "outgrow") outgrow_epc();
    if (word == "kexec") hand_over(Way::Kexec, command_line);
    if (word == "crash") hand_over(Way::Crash, command_line);
    if (word.empty()) meet_everything();
    return 0;
}

}  // namespace

}  // namespace alcove::sgx_program

int main(int count, char** words) {
    return alcove::sgx_program::run(count > 1 ? words[1] : "", count > 2 ? words[2] : "");
}
