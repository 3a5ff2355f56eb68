// SPDX-License-Identifier: Apache-2.0
//
// One VM's launcher and keeper: alcove-shim is this and a main(). It prepares the VM (Preparation), gives the
// VMM what it needs and watches it (VmmLink, ChildProcess, VmmLog), opens host ports for it (PortOpener),
// keeps an enclave's place at the attestor (AttestorKeeper), and tells alcoved everything (DaemonDoor). A
// primary VM has one VMM after the other (LivesLink), each with new memory and the same of everything else.
// What follows from what is decided by Lifecycle alone.
//
// It is the VMM's parent, so it outlives every restart of the others, keeps the reason of the end and the
// console until alcoved has read them and says Release, and waits without limit when alcoved is away.
#pragma once

#include <functional>
#include <memory>

#include "api/start_messages.hpp"
#include "enclave/attestor_keeper.hpp"
#include "enclave/child_process.hpp"
#include "enclave/daemon_door.hpp"
#include "enclave/lifecycle.hpp"
#include "enclave/lives_link.hpp"
#include "enclave/port_opener.hpp"
#include "enclave/preparation.hpp"
#include "enclave/vmm_link.hpp"
#include "enclave/vmm_log.hpp"

namespace alcove::enclave {

class Shim {
  public:
    // Between the beginnings of two lives; a guest that does nothing but reset costs no more than this.
    static constexpr std::chrono::milliseconds kShortestLife{1000};

    // The loop is borrowed and outlives the shim. `on_released` is called once, from the loop, when alcoved
    // needs this shim no more; it must not destroy it.
    static Result<std::unique_ptr<Shim>> create(EventLoop& loop, api::start::Order order,
                                                PreparationWork work, std::function<void()> on_released);
    ~Shim();
    Shim(const Shim&) = delete;
    Shim& operator=(const Shim&) = delete;

    // For tests and the log.
    const Lifecycle& lifecycle() const { return lifecycle_; }

  private:
    Shim(EventLoop& loop, api::start::Order order, PreparationWork work, std::function<void()> on_released);
    Result<void> connect();
    Result<void> connect_child();
    Preparation::Callbacks preparation_callbacks();
    VmmLink::Callbacks vmm_callbacks();
    LivesLink::Callbacks lives_callbacks();

    // Carries out what the lifecycle asks for and tells alcoved.
    void apply(const Effects& effects);
    void give_back();
    void launch();
    Result<api::vmm::LaunchDescriptors> launch_descriptors();
    Result<void> begin_life();
    void begin_anew();
    void publish();

    void resume_at_attestor();
    void open_port(const api::vmm::OpenPort& message);
    void give_statistics(const api::vmm::StatisticsReply& reply);
    void fail_statistics(const Error& error);

    Result<void> on_request(const api::Envelope& envelope);
    void refuse(uint32_t request, ErrorCode code, std::string why);
    void attach(uint32_t request);
    void stop(uint32_t request, uint32_t force_after_ms);
    void ask_statistics(uint32_t request);
    void give_console(uint32_t request);
    void give_pidfd(uint32_t request);
    void release(uint32_t request);

    EventLoop& loop_;
    api::start::Order order_;  // an enclave's descriptors leave it as they are handed on
    PreparationWork work_;
    std::function<void()> on_released_;
    Lifecycle lifecycle_;
    Fd ram_;
    Fd image_;
    Fd console_for_writing_;  // of an enclave: until it is with the VMM
    Fd console_for_reading_;  // where there is a console
    ImageFacts facts_;
    bool attached_ = false;                     // the daemon that is there has asked for State
    Bytes published_;                           // the last State that was pushed
    std::vector<uint32_t> statistics_waiting_;  // the daemon's request ids
    uint32_t statistics_request_ = 0;           // ours to the VMM, the last one
    EventLoop::TimerId statistics_timer_ = 0;
    EventLoop::TimerId kill_timer_ = 0;
    EventLoop::TimerId life_timer_ = 0;
    EventLoop::Clock::time_point life_began_{};
    AttestorKeeper attestor_;
    std::unique_ptr<PortOpener> ports_;
    std::unique_ptr<VmmLog> vmm_log_;
    std::unique_ptr<ChildProcess> child_;
    std::unique_ptr<LivesLink> lives_;  // of a primary VM
    std::unique_ptr<VmmLink> vmm_;      // of a primary VM: of the life that there is
    std::unique_ptr<DaemonDoor> door_;
    std::unique_ptr<Preparation> preparation_;  // last: its threads go first
};

}  // namespace alcove::enclave
