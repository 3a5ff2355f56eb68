// SPDX-License-Identifier: Apache-2.0
//
// Serves alcoved: alcove-broker is this and a main(). It keeps no state beyond what runs at the moment; what
// there is, is in the file systems (VmFolders), so a broker that is restarted finds everything again.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "api/connection.hpp"
#include "broker/spawner.hpp"
#include "broker/vm_folders.hpp"

namespace alcove::broker {

class Broker {
  public:
    // What is referred to is borrowed and outlives the broker.
    struct Parts {
        VmFolders& folders;
        Spawner& spawner;
        SiblingsOf siblings_of;
        std::function<Result<void>()> check_siblings_can_be_shared;
        std::function<Result<Fd>(const LaunchPlan&)> open_at_attestor;
        std::function<Result<api::SgxRootSecret>(const LaunchPlan&)> sgx_root;
        std::string kvm;
        // Of the host's processors: for EPC, opened for each section, and for the provisioning key.
        std::string sgx_vepc;
        std::string sgx_provision;
        uid_t daemon_uid;  // whom it serves
    };

    // Takes up the VMs that are there already. The loop is borrowed and outlives the broker.
    static Result<std::unique_ptr<Broker>> create(EventLoop& loop, Parts parts, Fd listener);
    ~Broker();
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;

  private:
    static constexpr size_t kMaxConnections = 64;

    // A shim that runs: its end is the end of the VM's processes.
    struct Shim {
        Fd pidfd;
        EventLoop::WatchId watch = 0;
    };
    // A launch whose programs have not begun yet.
    struct Launching {
        uint64_t client = 0;
        api::broker::Launched answer{};  // if all goes well
        std::string note;
        Fd report;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;
    };

    Broker(EventLoop& loop, Parts parts, Fd listener)
        : loop_(loop), parts_(std::move(parts)), listener_(std::move(listener)) {}
    Result<void> adopt();
    void accept();
    Result<void> on_request(uint64_t client, const api::Envelope& envelope, std::vector<Fd> descriptors);
    void reply(uint64_t client, Bytes message, std::vector<Fd> descriptors = {});
    void refuse_if_failed(uint64_t client, uint32_t request, const Result<void>& outcome);

    Result<void> launch(uint64_t client, const api::broker::Launch& body, std::vector<Fd> descriptors);
    Result<void> open_sgx_devices(const api::Sgx& sgx, VmDescriptors& given) const;
    Result<VmDescriptors> gather(const LaunchPlan& plan, std::vector<Fd> descriptors);
    Result<void> start(const LaunchPlan& plan, VmPlaces places, VmDescriptors descriptors);
    void finish_launch(const std::string& id, Result<void> outcome);
    void remove(uint64_t client, uint32_t request, const api::VmId& id, EventLoop::Clock::time_point give_up);
    Result<void> assign_cores(uint64_t client, const api::broker::AssignCores& body);
    Result<void> limit_memory(uint64_t client, const api::broker::LimitMemory& body);
    Result<void> list(uint64_t client, const api::broker::List& body);

    Result<void> keep(const api::VmId& id, Fd shim_pidfd);
    void shim_ended(const api::VmId& id);

    EventLoop& loop_;
    Parts parts_;
    Fd listener_;
    EventLoop::WatchId listener_watch_ = 0;
    uint64_t next_client_ = 1;
    std::map<uint64_t, std::unique_ptr<api::Connection>> clients_;
    std::map<std::string, Shim> running_;
    std::map<std::string, Launching> launching_;
};

}  // namespace alcove::broker
