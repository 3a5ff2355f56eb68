// SPDX-License-Identifier: Apache-2.0
#include "ne_client/image_run.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "ne_client/enclave.hpp"
#include "ne_client/enclave_memory.hpp"
#include "support/fd.hpp"

namespace alcove::ne_client {

namespace {

constexpr uint64_t kLeastMemory = 64 << 20;
constexpr int kImageEndsWithin = 110'000;  // ms

Result<std::vector<uint8_t>> read_image(const char* path) {
    const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) return fail_errno(errno, path);
    std::vector<uint8_t> content(static_cast<size_t>(::lseek(file.get(), 0, SEEK_END)));
    const ssize_t read = ::pread(file.get(), content.data(), content.size(), 0);
    if (read != static_cast<ssize_t>(content.size())) return fail_errno(errno, path);
    return content;
}

// Everything that is not the image is full of what no enclave may find.
void place(const EnclaveMemory& memory, const std::vector<uint8_t>& image, uint64_t offset) {
    uint64_t begin = 0;
    for (const auto& region : memory.regions()) {
        const uint64_t from = std::max(begin, offset);
        const uint64_t to = std::min(begin + region.size, offset + image.size());
        if (from < to)
            std::memcpy(reinterpret_cast<uint8_t*>(region.words) + (from - begin),
                        image.data() + (from - offset), to - from);
        begin += region.size;
    }
}

Result<void> run_once(Report& report, const std::vector<uint8_t>& image) {
    // The image has to fit beside what it unpacks to: four times its size, as other clients demand.
    const uint64_t bytes = std::max<uint64_t>(kLeastMemory, 4 * image.size());
    const std::vector<uint64_t> sizes((bytes + kHugePage - 1) / kHugePage, kHugePage);
    auto memory = TRY(EnclaveMemory::create(sizes));
    auto enclave = TRY(Enclave::create());
    uint64_t offset = 0;
    report.expect_equal(enclave.image_offset(NE_EIF_IMAGE, offset), 0, "NE_GET_IMAGE_LOAD_INFO");
    memory.fill_pattern();
    place(memory, image, offset);
    for (const auto& region : memory.regions())
        report.expect_equal(enclave.add_memory(region.words, region.size), 0, "NE_SET_USER_MEMORY_REGION");
    for (int i = 0; i < 2; ++i) {
        uint32_t vcpu = 0;
        report.expect_equal(enclave.add_vcpu(vcpu), 0, "NE_ADD_VCPU");
    }
    uint64_t cid = 0;
    report.expect_equal(enclave.start(NE_ENCLAVE_PRODUCTION_MODE, cid), 0, "NE_START_ENCLAVE");
    report.expect(enclave.wait_for_end(kImageEndsWithin), "the enclave ends");
    report.expect(enclave.has_hung_up(), "EPOLLHUP");
    enclave.close();
    report.expect(!memory.find_not_zero(), "memory is zero after close");
    return {};
}

}  // namespace

Result<void> run_image(Report& report, const char* path, int count) {
    const auto image = TRY(read_image(path));
    for (int i = 0; i < count; ++i)
        TRY(run_once(report, image));
    return {};
}

}  // namespace alcove::ne_client
