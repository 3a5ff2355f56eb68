// SPDX-License-Identifier: Apache-2.0
//
// For tests: a kernel with virtual EPC. Its devices are memory files; it writes down what it was asked for,
// knows which enclave has pages in which device, and refuses what it is told to.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "sgx_hardware/hardware_calls.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::sgx_hardware {

class FakeKernel : public HardwareCalls {
  public:
    // The devices that its SECS and its other pages are in.
    struct Enclave {
        std::string secs;
        std::set<std::string> pages;
    };
    std::vector<Enclave> enclaves;
    bool in_use = false;  // a page of EPC, by a processor
    std::vector<std::string> calls;
    std::string refused;  // the call that is, as it would be written down

    // One of these, by its name; room for 16 MiB.
    static Fd device(const std::string& name) {
        auto made = sys::memfd("fake-" + name).value();
        sys::truncate(made, 16_MiB).value();
        return made;
    }
    static std::vector<Fd> devices(const std::vector<std::string>& names) {
        std::vector<Fd> made;
        for (const auto& name : names)
            made.push_back(device(name));
        return made;
    }
    static std::string name_of(const Fd& device) {
        const auto target = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(device.get()));
        const std::string name = target.string();  // "/memfd:fake-NAME (deleted)"
        const auto begin = name.find('-') + 1;
        return name.substr(begin, name.find(' ') - begin);
    }
    // Descriptors and mappings of devices that this process has.
    static size_t held() {
        size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code closed;  // the directory's own descriptor
            const auto target = std::filesystem::read_symlink(entry.path(), closed);
            if (!closed && target.string().starts_with("/memfd:fake-")) ++count;
        }
        std::ifstream maps("/proc/self/maps");
        for (std::string line; std::getline(maps, line);)
            if (line.find("/memfd:fake-") != std::string::npos) ++count;
        return count;
    }

    Result<Mapping> map(const Fd& device, uint64_t bytes) override {
        TRY(write_down("map " + name_of(device) + " " + std::to_string(bytes / 1_MiB)));
        return Mapping::shared(device, bytes);
    }
    Result<void> touch(const Mapping& epc) override {
        return write_down("touch " + std::to_string(epc.size() / 1_MiB));
    }
    // As the kernel, which goes through a device's pages once and finds a SECS before what is below it.
    Result<uint64_t> remove_all(const Fd& device) override {
        const std::string name = name_of(device);
        TRY(write_down("remove " + name));
        if (in_use) return fail_errno(EBUSY, "the fake kernel");
        std::erase_if(enclaves, [&](const Enclave& one) { return one.secs == name && one.pages.empty(); });
        const auto left =
            std::ranges::count_if(enclaves, [&](const Enclave& one) { return one.secs == name; });
        for (auto& one : enclaves)
            one.pages.erase(name);
        return static_cast<uint64_t>(left);
    }
    Result<void> allow_provisioning(const kvm::Vm&, const Fd& device) override {
        return write_down("allow " + name_of(device));
    }
    Result<void> set_msr(const kvm::Vcpu&, uint32_t index, uint64_t value) override {
        char text[48];
        std::snprintf(text, sizeof text, "msr %x = %llx", index, static_cast<unsigned long long>(value));
        return write_down(text);
    }

  private:
    Result<void> write_down(const std::string& call) {
        calls.push_back(call);
        if (call == refused) return fail_errno(EIO, "the fake kernel");
        return {};
    }
};

}  // namespace alcove::sgx_hardware
