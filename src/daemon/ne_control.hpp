// SPDX-License-Identifier: Apache-2.0
//
// alcoved's side of one primary VM's NE device: takes its VMM's commands (api/ne_messages.hpp), decides by
// its own ne::SlotTable and nothing else, has the work done by a Host, and answers when both are on disk.
//
//     command ─► judged by its number ─► SlotTable::begin ─┬─ answer at once
//                 seen before: the same answer again       └─ Host does the work ─► SlotTable::finish ─►
//                 answer
//
//     ReleaseAll, a life that is over ─► the command in hand is finished ─► every slot is freed ─► Released
//
// A line is lost when alcoved or the VMM's life ends. The slots stay: the next line of the same life goes on
// with them, and one of another life first waits until all of them are gone.
//
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/connection.hpp"
#include "daemon/carving_record.hpp"
#include "host/units.hpp"
#include "ne/request.hpp"
#include "support/event_loop.hpp"

namespace alcove::daemon {

class NeControl {
  public:
    // What is done for a primary's slots. Each `done` is called once, from within the call or later; what has
    // been done already (before alcoved was restarted) is done again without harm.
    class Host {
      public:
        using Done = std::function<void(Result<void>)>;
        using Freed = std::function<void()>;

        virtual ~Host() = default;
        // A slot was allocated: an enclave will probably be made in it.
        virtual void open_slot(ne::SlotUid slot) = 0;
        virtual void add_memory(const ne::work::AddMemory& work, Done done) = 0;
        virtual void start(const ne::Slot& slot, Done done) = 0;
        // Can not fail.
        virtual void stop(ne::SlotUid slot, Freed done) = 0;
        // Everything of the slot is the primary's again, or the host's when the primary's life is over.
        virtual void free(ne::SlotUid slot, Freed done) = 0;
        // The primary's VMM broke the rules of the line: the VM ends.
        virtual void protocol_broken(const Error& error) = 0;
        // The CPU policy of slots that are allocated from now on: what it is, after it was set to `wanted` if
        // anything is.
        virtual Result<host::CpuPolicy> policy(std::optional<host::CpuPolicy> wanted) = 0;
        virtual Result<void> save(const CarvingRecord& record) = 0;
    };

    // The loop and the host are borrowed and outlive this.
    static Result<std::unique_ptr<NeControl>> create(EventLoop& loop, ne::Parent parent, Host& host);
    // ErrorCode::InvalidArgument when the record breaks a rule. Goes on with what was in hand.
    static Result<std::unique_ptr<NeControl>> restore(EventLoop& loop, ne::Parent parent, Host& host,
                                                      const CarvingRecord& record);
    ~NeControl();
    NeControl(const NeControl&) = delete;
    NeControl& operator=(const NeControl&) = delete;

    // The line of a VMM, instead of the one before.
    Result<void> take_line(Fd socket, uint32_t life);
    // An enclave ended by itself.
    void enclave_ended(ne::SlotUid slot);
    // Of an enclave that was started with the primary.
    void hold_cid(ne::Cid cid) { static_cast<void>(table_.hold_cid(cid)); }
    // The primary has ended: nobody is told anything any more, and the caller sees to the slots.
    void close() { line_.reset(); }

    const ne::SlotTable& table() const { return table_; }
    uint32_t life() const { return life_; }

  private:
    NeControl(EventLoop& loop, ne::SlotTable table, Host& host)
        : loop_(loop), host_(host), table_(std::move(table)) {}
    Result<void> connect(Fd socket);
    Result<void> on_message(const api::Envelope& envelope);
    Result<void> on_command(const api::Envelope& envelope);
    Result<void> on_policy(const api::Envelope& envelope);
    void run(const ne::Work& work);
    void finish(const Result<void>& outcome);
    void answer(const ne::Reply& reply);
    void tell_changed(const ne::Slot& slot);
    void release_when_idle();
    void free_slots();
    void released();
    void save();
    void send(Bytes message);

    EventLoop& loop_;
    Host& host_;
    ne::SlotTable table_;
    ne::LastAnswer last_;
    uint32_t life_ = 0;
    std::optional<ne::SlotUid> ended_early_;  // while its START was not answered
    bool release_wanted_ = false;             // as soon as no command is in hand
    uint32_t release_request_ = 0;
    bool release_asked_ = false;  // by the VMM, which is told
    size_t slots_to_free_ = 0;
    bool new_life_ = false;  // slots of the life before are still there
    Fd waiting_line_;        // of the new life, until they are gone
    std::unique_ptr<api::Connection> line_;
    std::shared_ptr<NeControl*> self_ = std::make_shared<NeControl*>(this);  // answers hold it weakly
};

}  // namespace alcove::daemon
