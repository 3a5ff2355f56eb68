// SPDX-License-Identifier: Apache-2.0
//
// The life of one VM as its shim sees it: which event leads where, and what has to be done about it.
// No descriptor, clock or process is touched here; the shim feeds events in and carries the effects out.
//
//   Copying --image accepted--> Reserving --attested, memory usable----> Starting
//      |                            |                                       | VMM: Started, and
//      |                            |                                       v all memory reserved
//      |                            |               Stopping <--- Ready <-- Running
//      +-------- failed, stop ------+----------------->  |         VMM: Ready
//                                                        | the VMM process is gone
//                                                        v
//                                                      Ended          (from every phase)
//
// Stopping is entered by a failure of the launch, by a stop, by the VMM's own Stopped and by anything it says
// that it may not say. Whatever the phase, the process's end is the only way to Ended. The reason of the end
// is decided by what came first and is not changed by what follows.
//
// A primary VM is not attested and has no Ready. When its guest resets, its VMM's end is not the VM's:
//
//   Running --Stopped, a reset--> Reserving --VMM gone, memory there--> Starting --> Running
//
// A carved enclave begins in Gathering, where it gets its memory, and goes on to Copying when it is begun;
// the memory it reserves is the same, cleared, and complete when its image is not held any more.
#pragma once

#include <chrono>

#include "api/shim_messages.hpp"
#include "api/vmm_messages.hpp"
#include "crypto/digest.hpp"
#include "support/error.hpp"

namespace alcove::enclave {

// What is learned from an image before it runs.
struct ImageFacts {
    crypto::Sha384Value pcr0{};
    crypto::Sha384Value pcr1{};
    crypto::Sha384Value pcr2{};
    crypto::Sha384Value pcr8{};  // zero when unsigned
    bool is_signed = false;
    std::string certificate_subject;
    uint64_t certificate_not_before = 0;  // seconds since 1970
    uint64_t certificate_not_after = 0;
    Bytes metadata;  // the section, as it is; empty when there is none, or too much
};

// How the VMM process ended: by a signal, or with a code.
struct ProcessEnd {
    bool by_signal = false;
    int value = 0;
};

// What the shim has to do after an event, in this order.
struct Effects {
    bool stop_preparing = false;              // copying and reserving are of no use any more
    bool take_image = false;                  // of a carved enclave: find it in the memory
    bool clear_memory = false;                // of a carved enclave: the image has been copied out of it
    bool complete_memory = false;             // of a carved enclave: the VMM has loaded the image
    bool attest = false;                      // tell the attestor the measurements
    bool launch = false;                      // send Launch to the VMM
    bool begin_anew = false;                  // reserve memory for the next life, which may begin
    bool end_lives = false;                   // no further life: the parent of the VMMs is not needed
    bool send_stop = false;                   // send Stop to the VMM
    bool resume_at_attestor = false;          // get the VMM a new line to the attestor
    bool ask_for_ne_line = false;             // tell alcoved that the VMM wants a line to it
    bool leave_attestor = false;              // tell the attestor that this VM is over
    bool kill = false;                        // kill the VMM
    std::chrono::milliseconds kill_after{0};  // call overdue() then, if not 0
};

class Lifecycle {
  public:
    // How long a VMM may take to exit after it said that it ends, or after its channel closed.
    static constexpr std::chrono::milliseconds kExitGrace{5000};

    struct Traits {
        api::VmRole role = api::VmRole::Enclave;
        bool debug = false;
        bool carved = false;    // an enclave, out of a primary VM
        bool enclaves = false;  // a primary VM that may carve
    };

    Lifecycle(const api::VmId& vm_id, Traits traits, uint32_t vmm_pid, uint64_t now_ns);

    // A carved enclave has all its memory. Nothing happens but in Gathering.
    enum class Mode { Production, Debug };
    Effects begin(Mode mode);

    // Preparation. What comes after a failure or a stop is ignored.
    Effects image_accepted(const ImageFacts& facts, uint64_t now_ns);
    Effects attested();
    Effects memory_usable();    // the guest may begin, while the rest of its memory is reserved
    Effects memory_reserved();  // all of it
    Effects preparation_failed(const Error& error);

    // The VMM's messages, and what a VMM may do instead.
    Effects started(const api::vmm::Started& message);
    Effects ready(const api::vmm::Ready& message);
    Effects app_exited(const api::vmm::AppExit& message);
    Effects stopped(const api::vmm::Stopped& message, std::string_view detail);
    Effects attestor_lost();
    Effects ne_line_wanted();
    Effects launch_refused(const Error& error);   // it can not build this machine
    Effects protocol_broken(const Error& error);  // nonsense on the channel
    Effects channel_lost();                       // hung up, and still alive
    // The shim's child has ended: an enclave's VMM, or the parent of a primary VM's lives.
    Effects vmm_gone(ProcessEnd end, std::string_view last_words, uint64_t now_ns);

    // Of a primary VM: one of its VMMs began, or ended.
    Effects life_begun(uint32_t vmm_pid);
    Effects life_ended(ProcessEnd end, std::string_view last_words);

    // The VMM has another line to the attestor.
    void attestor_resumed() { attestor_lost_ = false; }

    // Of a primary VM that may carve: its VMM waits for a line to alcoved. Which life is said by `restarts`.
    // Not before all of its memory is there: what is given away must not be reserved behind that.
    bool is_ne_line_wanted() const {
        return ne_line_wanted_ && memory_reserved_ && !resetting_ && !has_ended();
    }
    bool is_life(uint32_t restarts) const { return state_.restarts == restarts; }
    void ne_line_given() { ne_line_wanted_ = false; }

    // The daemon's wish, and the time given to the VMM being over.
    Effects stop_requested(std::chrono::milliseconds force_after);
    Effects memory_wanted_back();  // of a carved enclave: it ends at once
    Effects overdue();

    api::shim::Phase phase() const { return phase_; }
    bool has_ended() const { return phase_ == api::shim::Phase::Ended; }
    bool is_ending() const { return has_ended() || phase_ == api::shim::Phase::Stopping; }
    bool is_running() const {
        return phase_ == api::shim::Phase::Running || phase_ == api::shim::Phase::Ready;
    }
    bool is_primary() const { return traits_.role == api::VmRole::Primary; }
    bool is_carved() const { return traits_.carved; }
    bool has_enclaves() const { return traits_.enclaves; }
    bool has_console() const { return is_primary() || (state_.flags & api::shim::State::kDebug) != 0; }
    // Everything, for the daemon. `detail` goes with it as the tail.
    const api::shim::State& state() const { return state_; }
    const std::string& detail() const { return detail_; }

  private:
    bool is_preparing() const;
    bool has_started() const {
        return is_running() || (phase_ == api::shim::Phase::Starting && vmm_started_);
    }
    void run_if_complete();
    void take_exit(ProcessEnd end);
    Effects launch_if_complete();
    Effects fail_launch(const Error& error);
    void enter(api::shim::Phase phase);
    void decide(api::StopReason reason, std::string detail);
    bool is_decided() const { return state_.reason != 0; }

    Traits traits_;
    api::shim::Phase phase_ = api::shim::Phase::Copying;
    api::shim::State state_{};
    std::string detail_;
    bool attested_ = false;
    bool memory_usable_ = false;
    bool memory_reserved_ = false;
    bool vmm_started_ = false;  // by what it says
    bool stop_requested_ = false;
    bool attestor_lost_ = false;
    bool ne_line_wanted_ = false;
    bool resetting_ = false;  // the VMM of this life has told of a reset and not ended yet
    bool exit_known_ = false;
};

}  // namespace alcove::enclave
