// SPDX-License-Identifier: Apache-2.0
//
// One VM's launcher and keeper: alcove-shim is this and a main(). It prepares the VM (Preparation), gives the
// VMM what it needs and watches it (VmmLink, ChildProcess, VmmLog), opens host ports for it (PortOpener),
// keeps an enclave's place at the attestor (AttestorKeeper), and tells alcoved everything (DaemonDoor). A
// primary VM has one VMM after the other (LivesLink), each with new memory and the same of everything else; a
// carved enclave has a primary's memory (MemoryRequests), and its image in it. What follows from what is
// decided by Lifecycle alone.
//
// It is the VMM's parent, so it outlives every restart of the others, keeps the reason of the end and the
// console until alcoved has read them and says Release, and waits without limit when alcoved is away.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "api/start_messages.hpp"
#include "enclave/attestor_keeper.hpp"
#include "enclave/child_process.hpp"
#include "enclave/daemon_door.hpp"
#include "enclave/fabric_joins.hpp"
#include "enclave/lifecycle.hpp"
#include "enclave/lives_link.hpp"
#include "enclave/memory_requests.hpp"
#include "enclave/port_opener.hpp"
#include "enclave/preparation.hpp"
#include "enclave/sgx_relay.hpp"
#include "enclave/statistics_relay.hpp"
#include "enclave/vmm_link.hpp"
#include "enclave/vmm_log.hpp"

namespace alcove::enclave {

class Shim {
  public:
    // Between the beginnings of two lives; a guest that does nothing but reset costs no more than this.
    static constexpr std::chrono::milliseconds kShortestLife{1000};
    // How long a release waits for the attestor to have heard of the VM's end.
    static constexpr std::chrono::milliseconds kReleasePatience{3000};

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
    Result<void> make_console();
    Result<void> prepare();
    Preparation::Callbacks preparation_callbacks();
    VmmLink::Callbacks vmm_callbacks();
    LivesLink::Callbacks lives_callbacks();

    // Carries out what the lifecycle asks for and tells alcoved.
    void apply(const Effects& effects);
    void let_go();
    void attest();
    void sealed(const Result<api::attestor::ResumeToken>& token);
    void take_image_from_memory();
    void clear_memory();
    void complete_memory();

    void launch();
    Result<api::vmm::LaunchDescriptors> launch_descriptors();
    Result<void> begin_life();
    void begin_anew();
    void publish();

    void resume_at_attestor();
    void ask_for_ne_line();
    void open_port(const api::vmm::OpenPort& message);
    Result<void> on_request(const api::Envelope& envelope, std::vector<Fd> descriptors);
    template <typename T>
    Result<void> serve(const api::Envelope& envelope, void (Shim::*handler)(const T&));
    void done(uint32_t request);
    void answer(uint32_t request, const Result<void>& outcome);
    void refuse(uint32_t request, ErrorCode code, std::string why);
    template <typename T>
    void answer_with_copy(const T& answer, const Fd& descriptor);
    void attach(const api::shim::Attach& wish);
    void tell_metadata();
    void stop(const api::shim::Stop& wish);
    void ask_statistics(const api::shim::StatisticsRequest& wish);
    void ask_sgx(const api::shim::SgxRequest& wish);
    void sgx_answered(const api::vmm::SgxReply& reply);
    void fail_questions(const Error& error);
    void give_console(const api::shim::Console& wish);
    void give_pidfd(const api::shim::GetPidfd& wish);
    void add_memory(const api::shim::AddMemory& wish);
    void begin(const api::shim::Begin& wish);
    void give_memory_back(const api::shim::GiveBack& wish);
    void give_ram(const api::shim::GetRam& wish);
    Result<void> pass_ne_line(const api::Envelope& envelope, std::vector<Fd> descriptors);
    Result<void> join_fabric(const api::Envelope& envelope, std::vector<Fd> descriptors);
    void leave_fabric(const api::shim::FabricLeave& wish);
    void release(const api::shim::Release& wish);
    void release_when_over(uint32_t request, EventLoop::Clock::time_point deadline);

    EventLoop& loop_;
    api::start::Order order_;  // an enclave's descriptors leave it as they are handed on
    PreparationWork work_;
    std::function<void()> on_released_;
    Lifecycle lifecycle_;
    Fd ram_;  // until it is with the VMM; of a primary VM that may carve, as long as the life lasts
    Fd image_;
    std::unique_ptr<MemoryRequests> carved_;  // of a carved enclave: its memory
    Fd console_for_writing_;                  // of an enclave: until it is with the VMM
    Fd console_for_reading_;                  // where there is a console
    ImageFacts facts_;
    bool sealing_ = false;   // the attestor has been told of this VM, and the token is on its way
    bool attached_ = false;  // the daemon that is there has asked for State
    Bytes published_;        // the last State that was pushed
    StatisticsRelay statistics_;
    SgxRelay sgx_;
    EventLoop::TimerId kill_timer_ = 0;
    EventLoop::TimerId life_timer_ = 0;
    EventLoop::TimerId release_timer_ = 0;
    EventLoop::Clock::time_point life_began_{};
    AttestorKeeper attestor_;
    FabricJoins fabric_{[this](Bytes message, std::vector<Fd> descriptors) {
        vmm_->send(std::move(message), std::move(descriptors));
    }};
    std::unique_ptr<PortOpener> ports_;
    std::unique_ptr<VmmLog> vmm_log_;
    std::unique_ptr<ChildProcess> child_;
    std::unique_ptr<LivesLink> lives_;  // of a primary VM
    std::unique_ptr<VmmLink> vmm_;      // of a primary VM: of the life that there is
    std::unique_ptr<DaemonDoor> door_;
    std::unique_ptr<Preparation> preparation_;  // last: its threads go first
};

}  // namespace alcove::enclave
