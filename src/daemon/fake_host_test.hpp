// SPDX-License-Identifier: Apache-2.0
//
// For tests: a broker and the shims it starts, played on a thread of their own over real sockets in a
// directory of the test's. VMs run when the test says so; what the daemon asked for is written down.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/broker_messages.hpp"
#include "api/console_ring.hpp"
#include "api/shim_messages.hpp"
#include "support/channel.hpp"
#include "support/event_loop.hpp"

namespace alcove::daemon {

class FakeHost {
  public:
    // What happens by itself after a launch.
    enum class Script {
        Ready,         // all phases up to the heartbeat
        Measured,      // up to Running, without a heartbeat
        Hold,          // stays at Copying until the test says more
        Fail,          // ends at once: LaunchFailed, ImageCrc
        FailEnclaves,  // so do enclaves, and primary VMs run
    };

    explicit FakeHost(std::string run_directory);
    ~FakeHost();
    FakeHost(const FakeHost&) = delete;
    FakeHost& operator=(const FakeHost&) = delete;

    void set_script(Script script);
    void refuse_launches(std::optional<Error> error);
    void refuse_removals(bool refuse, const std::string& of = {});  // of one VM, or of all
    void hold_launches(bool hold);                                  // no answer to Launch until false again
    void hold_memory(bool hold);                                    // nor to AddMemory
    void hold_cores(bool hold);  // nor to AssignCores of an enclave, which is refused then
    void ignore_stops(bool ignore);
    void set_metadata(const std::string& section);  // of every image
    void set_core_note(const std::string& note);    // why no cores are exclusive

    void set_phase(const std::string& id, api::shim::Phase phase);
    void reset(const std::string& id);  // of a primary VM: another life
    void end(const std::string& id, api::StopReason reason, const std::string& detail = {});
    void kill_shim(const std::string& id);        // its socket and process are gone at once
    void drop_connection(const std::string& id);  // the shim lives on and can be connected anew
    void send_raw(const std::string& id, Bytes message);
    void write_console(const std::string& id, const std::string& text);
    void add_leftover(const std::string& id);  // a VM the daemon does not know
    // Of a primary VM that may carve: its VMM asks for its NE line, and gets it.
    void want_ne_line(const std::string& id, uint32_t restarts);
    Fd ne_line(const std::string& id);
    void refuse_give_backs(const std::string& id, int times);  // the host has no memory
    void refuse_next_memory(Error error);                      // of whatever enclave gets a region next
    void refuse_next_budget(Error error);                      // so does a VMM, or a balloon
    void hold_epc(const std::string& id, uint64_t bytes);      // the guest of a VM with a balloon
    void refuse_next_limit(Error error);                       // so does the broker
    void close_broker();                                       // as if the broker had been killed
    void open_broker();

    std::vector<api::broker::Launch> launches();
    std::vector<std::string> removed();
    // What shims and broker were told of carving, in order: "cores i-... 2,3", "add i-...-enc... 64+64 at 0".
    std::vector<std::string> orders();
    std::vector<std::string> present();  // VMs that have not been removed
    std::string image_content(const std::string& id);
    size_t disk_count(const std::string& id);  // descriptors that came with its launch, but for the image
    int attaches(const std::string& id);

  private:
    struct Shim;
    struct Connection;
    template <typename F>
    auto on_thread(F function);
    void listen();
    void accept_daemon();
    void broker_message();
    void launch(const Channel::Message& message);
    void limit_memory(const api::broker::Launch& launch);
    void serve_sgx(Shim& shim, const api::shim::SgxRequest& question);
    void start_shim(const std::string& id, const api::broker::Launch& order);
    void accept_shim(Shim& shim);
    void shim_message(Shim& shim);
    void push(Shim& shim, uint32_t request);
    void play(Shim& shim);
    void answer_held();
    void send(const Channel& channel, const Bytes& message, const std::vector<int>& descriptors = {});

    std::string directory_;
    std::unique_ptr<EventLoop> loop_;
    Fd listener_;
    EventLoop::WatchId listener_watch_ = 0;
    Channel daemon_;
    EventLoop::WatchId daemon_watch_ = 0;
    std::map<std::string, std::unique_ptr<Shim>> shims_;
    std::vector<api::broker::Launch> launches_;
    std::vector<std::string> orders_;
    std::vector<std::string> removed_;
    std::map<std::string, std::string> images_;
    std::map<std::string, size_t> disks_;
    std::vector<std::pair<Bytes, int>> held_;
    Script script_ = Script::Ready;
    std::optional<Error> refuse_launch_;
    std::optional<Error> refuse_memory_;
    std::optional<Error> refuse_budget_;
    std::optional<Error> refuse_limit_;
    std::string metadata_;
    std::string core_note_;
    bool refuse_removal_ = false;
    std::string unremovable_;  // empty: all, if any
    bool hold_launch_ = false;
    bool hold_memory_ = false;
    bool hold_cores_ = false;
    std::optional<uint32_t> held_cores_;
    bool ignore_stops_ = false;
    std::thread thread_;
};

// A directory that is gone with the test. Short, because socket paths are.
class TestDirectory {
  public:
    TestDirectory();
    ~TestDirectory();
    TestDirectory(const TestDirectory&) = delete;
    TestDirectory& operator=(const TestDirectory&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace alcove::daemon
