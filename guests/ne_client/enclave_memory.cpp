// SPDX-License-Identifier: Apache-2.0
#include "ne_client/enclave_memory.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/mman.h>

namespace alcove::ne_client {

namespace {

constexpr uint64_t kWordsAPage = kSmallPage / sizeof(uint64_t);

uint64_t pattern_at(uint64_t word) {
    return kPatternMark << 32 | word / kWordsAPage;
}

}  // namespace

Result<EnclaveMemory> EnclaveMemory::create(std::span<const uint64_t> sizes) {
    EnclaveMemory memory;
    for (const uint64_t size : sizes) {
        void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
        if (data == MAP_FAILED) return fail_errno(errno, "mmap of huge pages");
        memory.regions_.push_back({.words = static_cast<uint64_t*>(data), .size = size});
    }
    return memory;
}

EnclaveMemory::~EnclaveMemory() {
    for (const auto& region : regions_)
        ::munmap(region.words, region.size);
}

void EnclaveMemory::fill_pattern() {
    uint64_t word = 0;
    for (const auto& region : regions_)
        for (uint64_t i = 0; i < region.size / sizeof(uint64_t); ++i)
            region.words[i] = pattern_at(word++);
}

void EnclaveMemory::clear() {
    for (const auto& region : regions_)
        std::memset(region.words, 0, region.size);
}

template <typename Expected>
std::optional<uint64_t> EnclaveMemory::find_other(Expected expected) const {
    uint64_t word = 0;
    for (const auto& region : regions_)
        for (uint64_t i = 0; i < region.size / sizeof(uint64_t); ++i, ++word)
            if (region.words[i] != expected(word)) return word;
    return std::nullopt;
}

std::optional<uint64_t> EnclaveMemory::find_not_pattern() const {
    return find_other(pattern_at);
}

std::optional<uint64_t> EnclaveMemory::find_not_zero() const {
    return find_other([](uint64_t) { return uint64_t{0}; });
}

}  // namespace alcove::ne_client
