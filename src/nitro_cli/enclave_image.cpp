// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/enclave_image.hpp"

#include <algorithm>

#include <fcntl.h>

#include "eif/image.hpp"
#include "eif/signature.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr uint64_t kMemoryPerImage = 4;

uint64_t in_mib(uint64_t bytes) {
    return bytes / 1_MiB + (bytes % 1_MiB != 0 ? 1 : 0);
}

}  // namespace

Result<EnclaveImage> EnclaveImage::open(const std::string& path) {
    auto file = TRY(coded(FailureCode::FileOperation, sys::open(path, O_RDONLY)));
    const auto size = TRY(coded(FailureCode::FileOperation, sys::file_size(file).context(path)));
    return EnclaveImage(std::move(file), path, size);
}

Result<void> EnclaveImage::check_memory(uint64_t memory_bytes) const {
    if (memory_bytes / kMemoryPerImage >= size_ && memory_bytes > 0) return {};
    const uint64_t least = std::max<uint64_t>(in_mib(size_) * kMemoryPerImage, 64);
    return fail(FailureCode::InsufficientMemoryRequested,
                "`memory` is " + std::to_string(memory_bytes / 1_MiB) + " MiB; an image of " +
                    std::to_string(in_mib(size_)) + " MiB needs at least " + std::to_string(least) + " MiB");
}

Result<void> EnclaveImage::check(crypto::TimePoint time) const {
    const auto mapping = TRY(coded(FailureCode::EifParsing, Mapping::read_only(file_, size_).context(path_)));
    const auto image = TRY(coded(FailureCode::EifParsing, eif::Image::parse(mapping.bytes()).context(path_)));
    if (!image.signature()) return {};
    const auto signature = TRY(
        coded(FailureCode::SignatureChecker, eif::ImageSignature::parse(*image.signature()).context(path_)));
    return coded(FailureCode::SignatureChecker, signature.verify(signature.pcr0, time).context(path_));
}

Result<void> EnclaveImage::load(const std::vector<ne_driver::HugePage>& pages, uint64_t offset) const {
    const auto end = checked_add(offset, size_);
    if (!end || *end > ne_driver::total_size(pages))
        return fail(FailureCode::MemoryOverflow, "the image does not fit behind the first " +
                                                     std::to_string(offset / 1_MiB) + " MiB of the memory");
    uint64_t at = 0;  // of the page, in all memory
    for (const auto& page : pages) {
        const uint64_t first = std::max(at, offset);
        const uint64_t last = std::min(at + page.size(), *end);
        if (first < last) {
            const auto into = page.bytes().subspan(first - at, last - first);
            TRY(coded(FailureCode::EifParsing,
                      sys::read_exact_at(file_, into, first - offset).context(path_)));
        }
        at += page.size();
    }
    return {};
}

}  // namespace alcove::nitro_cli
