// SPDX-License-Identifier: Apache-2.0
//
// The consoles of a primary VM's debug enclaves, as the primary's programs read them: streams of the
// hypervisor (context id 0), port 10000 and the enclave's context id. A reader gets what the enclave's ring
// (api/console_ring.hpp) still has, then what comes, until the enclave is gone or the reader is. An enclave
// without a console is as one that does not exist: nobody listens.
//
// The service is an ordinary program at the other end of a socket pair; a HostBackend makes streams of it. It
// reads each ring again and again while somebody looks: rings have no doorbell, for nobody may hold up who
// writes them.
#pragma once

#include <map>
#include <unordered_map>

#include "api/console_ring.hpp"
#include "support/event_loop.hpp"
#include "vsock/port_opener.hpp"

namespace alcove::vsock {

class ConsoleService : public PortOpener {
  public:
    static constexpr uint32_t kFirstPort = 10'000;
    // Each may hold a ring's worth of output.
    static constexpr size_t kMaxReaders = 16;
    static constexpr std::chrono::milliseconds kInterval{20};

    // The loop is borrowed.
    explicit ConsoleService(EventLoop& loop) : loop_(loop) {}
    ~ConsoleService() override;
    ConsoleService(const ConsoleService&) = delete;
    ConsoleService& operator=(const ConsoleService&) = delete;

    // In the place of a console of the same enclave that there is.
    void add(Cid enclave, Fd ring);
    // Readers get the rest, and the end behind it.
    void remove(Cid enclave);

    void open(Port port, Done done) override;
    size_t reader_count() const { return readers_.size(); }

  private:
    using ReaderId = uint64_t;
    struct Reader {
        Cid enclave;
        api::ConsoleRingReader ring;
        Fd socket;
        Bytes piece;      // of the console, to be written
        size_t done = 0;  // ... of which so much is
        bool is_last = false;
        bool waits = false;  // until the socket takes more
        EventLoop::WatchId watch = 0;
    };

    Result<Fd> start(Cid enclave, const Fd& ring);
    // False when the reader is done with.
    bool pump(Reader& reader);
    bool write_piece(Reader& reader);
    void pump_all();
    void schedule();
    void finish(ReaderId id);

    EventLoop& loop_;
    std::map<Cid, Fd> consoles_;
    ReaderId next_reader_ = 1;
    std::unordered_map<ReaderId, Reader> readers_;
    EventLoop::TimerId timer_ = 0;
};

}  // namespace alcove::vsock
