// SPDX-License-Identifier: Apache-2.0
//
// With `disk`: a kernel of a primary VM that has its disk write the enclave's pages out, and read into them.
// Each line is compared by a test, and so is what is on the disk then.
#include "unikernel/virtqueue.hpp"
#include "virtio/blk_spec.hpp"

using alcove::sgx::kPageSize;
namespace virtio = alcove::virtio;
namespace blk = virtio::blk;
namespace status = virtio::status;
using virtio::virtio_pci::CommonConfig;

namespace {

constexpr uint64_t kData = 1 + kDataPage;                // EPC page
constexpr uint64_t kFunction = 0xe000'0000 + (3 << 15);  // its configuration space, by ECAM
constexpr uint64_t kCommand = 0x04, kBar = 0x10;
constexpr uint32_t kMemoryAndBusMaster = 6;
constexpr uint64_t kNotifications = 0x3000;  // of the BAR; its common configuration is at 0
constexpr uint8_t kAcknowledged = status::ACKNOWLEDGE | status::DRIVER;
constexpr uint8_t kNothingYet = 0xff;

alignas(kPageSize) volatile struct : Virtqueue {
    uint32_t header[4];  // blk::RequestHeader
    uint8_t status;
    uint64_t data[blk::kSectorSize / sizeof(uint64_t)];
} ram;

template <typename Word>
volatile Word& at(uint64_t linear) {
    return *reinterpret_cast<volatile Word*>(linear);
}
template <typename Word>
void set(uint64_t offset, Word value) {
    at<Word>((at<uint32_t>(kFunction + kBar) & ~15U) + offset) = value;
}
template <typename Word>
Word get(uint64_t offset) {
    return at<Word>((at<uint32_t>(kFunction + kBar) & ~15U) + offset);
}

void start() {
    at<uint16_t>(kFunction + kCommand) = kMemoryAndBusMaster;
    set<uint8_t>(offsetof(CommonConfig, device_status), 0);
    set<uint8_t>(offsetof(CommonConfig, device_status), kAcknowledged);
    set<uint32_t>(offsetof(CommonConfig, driver_feature_select), 1);
    set<uint32_t>(offsetof(CommonConfig, driver_feature), 1);  // VERSION_1
    set<uint8_t>(offsetof(CommonConfig, device_status), kAcknowledged | status::FEATURES_OK);
    set<uint16_t>(offsetof(CommonConfig, queue_select), 0);
    set<uint16_t>(offsetof(CommonConfig, queue_size), 4);
    const auto set_address = [](uint64_t offset, const volatile void* ring) {
        set<uint32_t>(offset, static_cast<uint32_t>(address(ring)));
        set<uint32_t>(offset + 4, 0);
    };
    set_address(offsetof(CommonConfig, queue_desc), ram.descriptors);
    set_address(offsetof(CommonConfig, queue_driver), ram.available);
    set_address(offsetof(CommonConfig, queue_device), ram.used);
    set<uint16_t>(offsetof(CommonConfig, queue_enable), 1);
    set<uint8_t>(offsetof(CommonConfig, device_status),
                 kAcknowledged | status::FEATURES_OK | status::DRIVER_OK);
}

// One sector from or to `data`: the request's status, or NEEDS_RESET if that is what the device says.
uint64_t request(uint32_t type, uint64_t sector, uint64_t data) {
    for (auto& word : ram.used)
        word = 0;
    ram.header[0] = type;
    ram.header[2] = static_cast<uint32_t>(sector);
    ram.status = kNothingYet;
    constexpr uint16_t kNext = virtio::descriptor_flag::NEXT, kWrite = virtio::descriptor_flag::WRITE;
    const auto describe = [](uint16_t number, uint64_t where, uint32_t length, uint16_t flags) {
        ram.descriptors[number].address = where;
        ram.descriptors[number].length = length;
        ram.descriptors[number].flags = flags;
        ram.descriptors[number].next = number + 1;
    };
    describe(0, address(ram.header), sizeof ram.header, kNext);
    describe(1, data, sizeof ram.data, type == blk::T_IN ? kNext | kWrite : kNext);
    describe(2, address(&ram.status), 1, kWrite);
    ram.available[1] = 1;
    start();
    set<uint16_t>(kNotifications, 0);
    const auto device_status = [] { return get<uint8_t>(offsetof(CommonConfig, device_status)); };
    return needs_reset_instead(ram, device_status) ? status::DEVICE_NEEDS_RESET : ram.status;
}

}  // namespace

void use_disk() {
    for (auto& word : ram.data)
        word = kSecret;
    line("write from ram", request(blk::T_OUT, 0, address(ram.data)));
    line("write from epc", request(blk::T_OUT, 1, epc_address(kData)));
    line("read into epc", request(blk::T_IN, 2, epc_address(kData)));
    line("read into ram", request(blk::T_IN, 2, address(ram.data)));
    line("it read", ram.data[0]);
    line("sum", enter(kSum));
}
