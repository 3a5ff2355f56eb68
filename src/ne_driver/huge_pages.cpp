// SPDX-License-Identifier: Apache-2.0
#include "ne_driver/huge_pages.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include <linux/mman.h>
#include <sys/mman.h>

namespace alcove::ne_driver {

HugePage::~HugePage() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

std::optional<HugePage> HugePagePool::take(uint64_t size) {
    const int size_flag = std::countr_zero(size) << MAP_HUGE_SHIFT;
    void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | size_flag, -1, 0);
    if (data == MAP_FAILED) return std::nullopt;
    HugePage page(data, size);
    // A page is reserved, but a memory cgroup may still deny it at the first touch, and that would be SIGBUS.
    if (::madvise(data, size, MADV_POPULATE_WRITE) != 0) return std::nullopt;
    return page;
}

namespace {

// Pages of one size until `needed` is covered; with `whole` none that is larger than what is needed.
enum class Fit { Whole, Over };
void take_of_size(PageSource& source, uint64_t size, Fit fit, uint64_t& needed,
                  std::vector<HugePage>& pages) {
    while (needed > 0 && (fit == Fit::Over || needed >= size)) {
        auto page = source.take(size);
        if (!page) return;
        needed -= std::min(needed, size);
        pages.push_back(std::move(*page));
    }
}

}  // namespace

Result<std::vector<HugePage>> take_pages(PageSource& source, uint64_t bytes) {
    std::vector<HugePage> pages;
    uint64_t needed = bytes;
    for (const uint64_t size : kHugePageSizes)
        take_of_size(source, size, Fit::Whole, needed, pages);
    // What is left is smaller than every page that is left: the smallest of them wastes least.
    for (auto size = kHugePageSizes.rbegin(); size != kHugePageSizes.rend(); ++size)
        take_of_size(source, *size, Fit::Over, needed, pages);
    if (needed > 0)
        return fail(ErrorCode::NoHugePages, std::to_string((needed + 1_MiB - 1) / 1_MiB) + " MiB of " +
                                                std::to_string(bytes / 1_MiB) + " MiB are missing");
    std::ranges::stable_sort(pages, std::ranges::greater(), &HugePage::size);
    // A large page at the end may have made smaller ones needless.
    uint64_t rest = total_size(pages) - bytes;
    while (!pages.empty() && pages.back().size() <= rest) {
        rest -= pages.back().size();
        pages.pop_back();
    }
    return pages;
}

uint64_t total_size(const std::vector<HugePage>& pages) {
    uint64_t size = 0;
    for (const auto& page : pages)
        size += page.size();
    return size;
}

}  // namespace alcove::ne_driver
