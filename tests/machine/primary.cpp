// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/primary.hpp"

#include <algorithm>
#include <fstream>

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include "support/bits.hpp"
#include "support/system.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {

namespace {

const boot::SystemIdentity kPrimaryIdentity{.asset_tag = "i-0123456789abcdef0",
                                            .uuid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

// Less than the smallest region, so that each takes several.
constexpr uint64_t kChunk = 512_KiB;
constexpr uint8_t kDiskSlot = 3;  // guests/asm/disk.inc
constexpr std::chrono::seconds kPatience(30);
constexpr const char* kHugePages = "/proc/sys/vm/nr_hugepages";

}  // namespace

Result<std::unique_ptr<Primary>> Primary::create(PrimaryOptions options) {
    TRY(cpu::VcpuThread::install_kick_signal());
    std::unique_ptr<Primary> primary(new Primary(std::move(options)));
    const uint64_t size = primary->options_.memory_bytes;
    primary->loop_ = TRY(EventLoop::create());
    primary->ram_ = TRY(ram_file("primary-ram", primary->options_.page_size, size));
    if (primary->options_.pages == PrimaryOptions::Pages::All) TRY(sys::allocate(primary->ram_, 0, 0, size));
    machine::MachinePlan plan;
    plan.kvm = TRY(sys::open("/dev/kvm", O_RDWR));
    plan.ram = TRY(sys::duplicate(primary->ram_.get()));
    plan.memory_bytes = size;
    plan.vcpu_count = primary->options_.vcpus;
    plan.primary = {.identity = kPrimaryIdentity, .memory_block = primary->options_.memory_block};
    plan.console = [primary = primary.get()](uint8_t byte) {
        primary->console_.with([&](std::string& text) { text.push_back(static_cast<char>(byte)); });
    };
    primary->machine_ = TRY(machine::Machine::create(std::move(plan), *primary->loop_));
    if (primary->options_.disk.is_open()) {
        auto content = TRY(virtio::BlockFile::create(std::move(primary->options_.disk),
                                                     virtio::BlockFile::Access::ReadWrite));
        primary->disk_ = TRY(virtio::BlockDevice::create(*primary->loop_, std::move(content), "disk"));
        TRY(primary->machine_->add_virtio_pci(kDiskSlot, *primary->disk_));
    }
    primary->carver_ = std::make_unique<machine::Carver>(*primary->machine_, *primary->loop_);
    return primary;
}

Primary::~Primary() {
    if (carver_) carver_->machine_ended();
}

Result<void> Primary::boot() {
    const auto kernel = TRY(map_test_file(options_.kernel));
    boot::BootInputs inputs;
    inputs.kernel = kernel.bytes();
    inputs.command_line = options_.command_line;
    Mapping initrd;
    if (options_.initrd) {
        initrd = TRY(map_test_file(*options_.initrd));
        inputs.ramdisks.push_back(initrd.bytes());
    }
    TRY(machine_->load(std::move(inputs)));
    return machine_->start([this](const machine::MachineEnd& end) {
        end_ = end;
        carver_->machine_ended();
    });
}

bool Primary::run_until(const std::function<bool()>& condition, std::chrono::seconds within) {
    const auto deadline = EventLoop::Clock::now() + within;
    while (!condition()) {
        if (EventLoop::Clock::now() > deadline) return false;
        if (!loop_->run_once(std::chrono::milliseconds(20))) return false;
    }
    return true;
}

Result<void> Primary::wait_for(const std::optional<Result<void>>& done) {
    if (!run_until([&] { return done.has_value(); }, kPatience))
        return fail(ErrorCode::Timeout, "the vCPUs do not stand still");
    return *done;
}

Result<void> Primary::take(memory::GuestRange range, memory::FilePart to) {
    std::optional<Result<void>> withdrawn;
    carver_->withdraw(range, [&](Result<void> result) { withdrawn = std::move(result); });
    TRY(wait_for(withdrawn));
    return memory::move_region(ram_at(range.base), to, range.size, move_sizes(), moved_);
}

Result<void> Primary::give_back(memory::GuestRange range, memory::FilePart from) {
    TRY(memory::return_region(from, ram_at(range.base), range.size, move_sizes(), moved_));
    return readmit(range);
}

Result<void> Primary::readmit(memory::GuestRange range) {
    std::optional<Result<void>> readmitted;
    carver_->readmit({range}, [&](Result<void> result) { readmitted = std::move(result); });
    return wait_for(readmitted);
}

memory::MoveSizes Primary::move_sizes() const {
    return {.page = options_.page_size, .chunk = std::max(options_.page_size, kChunk)};
}

memory::FilePart Primary::ram_at(memory::GuestAddress address) const {
    for (const auto& mapped : machine_->memory()->mapped_regions())
        if (mapped.region.range.contains(address))
            return {ram_, mapped.region.file_offset + (address.value() - mapped.region.range.base.value())};
    ALCOVE_CHECK(false, "only RAM is carved");
    return {ram_, 0};
}

std::string Primary::console() const {
    return console_.with([](const std::string& text) { return text; });
}

size_t Primary::count_on_console(char wanted) const {
    return console_.with([&](const std::string& text) {
        return static_cast<size_t>(std::count(text.begin(), text.end(), wanted));
    });
}

uint64_t Primary::unclaimed() const {
    uint64_t sum = 0;
    for (const auto& vcpu : machine_->vcpus())
        sum += vcpu->counters().unclaimed;
    return sum;
}

uint64_t Primary::mmio() const {
    uint64_t sum = 0;
    for (const auto& vcpu : machine_->vcpus())
        sum += vcpu->counters().mmio;
    return sum;
}

HugePages::HugePages(uint64_t pages) {
    change(pages);
    std::ifstream(kHugePages) >> had_;
}

HugePages::~HugePages() {
    change(0);
}

void HugePages::change(uint64_t pages) {
    std::ofstream(kHugePages) << pages;
}

Result<Fd> ram_file(const char* name, uint64_t page_size, uint64_t size) {
    auto file = TRY(sys::memfd(name, page_size == 4_KiB ? 0U : MFD_HUGETLB | MFD_HUGE_2MB));
    TRY(sys::truncate(file, size));
    return file;
}

uint64_t bytes_in_use(const Fd& file) {
    const auto status = sys::stat(file);
    return status ? static_cast<uint64_t>(status->st_blocks) * 512 : 0;
}

uint64_t pattern_at(uint64_t address) {
    return address * 0x9e3779b97f4a7c15;
}

}  // namespace alcove::tests
