// SPDX-License-Identifier: Apache-2.0
#include "ne_client/enclave_memory.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/fd.hpp"

namespace alcove::ne_client {

namespace {

uint64_t pattern_at(uint64_t word) {
    return kPatternMark << 32 | word / static_cast<uint64_t>(Step::Page);
}

Result<void*> map_huge(uint64_t size, int protection, int flags) {
    void* data = ::mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);
    if (data == MAP_FAILED) return fail_errno(errno, "mmap of huge pages");
    return data;
}

struct Page {
    uint64_t frame;  // of 4 KiB
    uint64_t* words;
};

// Linux, Documentation/admin-guide/mm/pagemap.rst.
Result<std::vector<Page>> pages_by_frame(const EnclaveMemory::Region& region) {
    constexpr uint64_t kFrame = (uint64_t{1} << 55) - 1;
    const Fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    std::vector<Page> pages;
    for (uint64_t at = 0; at < region.size; at += kHugePage) {
        uint64_t* const words = region.words + at / sizeof(uint64_t);
        uint64_t entry = 0;
        const auto offset = static_cast<off_t>(reinterpret_cast<uint64_t>(words) / kSmallPage * sizeof entry);
        if (::pread(pagemap.get(), &entry, sizeof entry, offset) != ssize_t{sizeof entry})
            return fail_errno(errno, "/proc/self/pagemap");
        pages.push_back({.frame = entry & kFrame, .words = words});
    }
    std::ranges::sort(pages, {}, &Page::frame);
    return pages;
}

}  // namespace

Result<EnclaveMemory> EnclaveMemory::create(std::span<const uint64_t> sizes) {
    EnclaveMemory memory;
    for (const uint64_t size : sizes) {
        void* data = TRY(map_huge(size, PROT_READ | PROT_WRITE, MAP_POPULATE));
        memory.regions_.push_back({.words = static_cast<uint64_t*>(data), .size = size});
    }
    return memory;
}

Result<EnclaveMemory> EnclaveMemory::create_in_runs(uint64_t size) {
    const auto scattered = TRY(create(std::array{size}));
    const auto pages = TRY(pages_by_frame(scattered.regions_.front()));
    void* const room = TRY(map_huge(size, PROT_NONE, MAP_NORESERVE));
    auto* words = static_cast<uint64_t*>(room);
    EnclaveMemory sorted;
    uint64_t next_frame = 0;
    for (const auto& page : pages) {
        if (::mremap(page.words, kHugePage, kHugePage, MREMAP_MAYMOVE | MREMAP_FIXED, words) == MAP_FAILED)
            return fail_errno(errno, "moving a huge page");
        if (page.frame != next_frame) sorted.regions_.push_back({.words = words, .size = 0});
        sorted.regions_.back().size += kHugePage;
        next_frame = page.frame + kHugePage / kSmallPage;
        words += kHugePage / sizeof(uint64_t);
    }
    return sorted;
}

EnclaveMemory::~EnclaveMemory() {
    for (const auto& region : regions_)
        ::munmap(region.words, region.size);
}

void EnclaveMemory::fill_pattern(Step step) {
    const auto words = static_cast<uint64_t>(step);
    uint64_t word = 0;
    for (const auto& region : regions_)
        for (uint64_t i = 0; i < region.size / sizeof(uint64_t); i += words, word += words)
            region.words[i] = pattern_at(word);
}

void EnclaveMemory::clear() {
    for (const auto& region : regions_)
        std::memset(region.words, 0, region.size);
}

template <typename Expected>
std::optional<uint64_t> EnclaveMemory::find_other(Step step, Expected expected) const {
    const auto words = static_cast<uint64_t>(step);
    uint64_t word = 0;
    for (const auto& region : regions_)
        for (uint64_t i = 0; i < region.size / sizeof(uint64_t); i += words, word += words)
            if (region.words[i] != expected(word)) return word;
    return std::nullopt;
}

std::optional<uint64_t> EnclaveMemory::find_not_pattern() const {
    return find_other(Step::Word, pattern_at);
}

std::optional<uint64_t> EnclaveMemory::find_not_zero(Step step) const {
    return find_other(step, [](uint64_t) { return uint64_t{0}; });
}

}  // namespace alcove::ne_client
