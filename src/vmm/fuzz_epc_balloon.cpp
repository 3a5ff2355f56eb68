// SPDX-License-Identifier: Apache-2.0
//
// A program in the guest that says anything about the EPC it holds, in pieces of any size, and closes and
// opens its port meanwhile. What is kept of it is the last whole message of the right kind.
//
// Input: rows of one byte and what it says: 0 closes the port, 0xff opens it, else so many bytes are sent.
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "virtio/driver_fake.hpp"
#include "vmm/epc_balloon.hpp"

namespace {

using namespace alcove;
using vmm::BalloonMessage;
namespace port = virtio::port;

class Guest {
  public:
    Guest() {
        driver_.start(virtio::FakeDriver::kUsualFeatures | port::feature::MULTIPORT);
        open(true);
    }

    void open(bool is_open) {
        const port::Control control{
            .id = 0, .event = port::PORT_OPEN, .value = static_cast<uint16_t>(is_open ? 1 : 0)};
        send(port::kControlTransmitQueue, object_bytes(control));
        if (is_open == is_open_) return;
        is_open_ = is_open;
        said_.clear();
        held_ = 0;
    }
    void say(ByteView bytes) {
        send(port::kTransmitQueue, bytes);
        if (!is_open_) return;
        said_.insert(said_.end(), bytes.begin(), bytes.end());
        for (; said_.size() >= sizeof(BalloonMessage);
             said_.erase(said_.begin(), said_.begin() + sizeof(BalloonMessage))) {
            const auto message = read_object<BalloonMessage>(ByteView(said_)).value();
            if (message.version == 1 && message.kind == 2) held_ = message.bytes;
        }
    }
    bool is_understood() const { return balloon_.reported() == held_; }

  private:
    void send(uint16_t queue, ByteView bytes) {
        if (bytes.empty()) return;
        driver_.queue(queue).add(bytes, {});
        driver_.notify(queue);
        machine_.run();
        while (driver_.queue(queue).take_used())
            continue;
    }

    virtio::FakeMachine machine_;
    vmm::EpcBalloon balloon_{machine_.loop(), 0};
    virtio::FakeDriver driver_{machine_, balloon_.device()};
    bool is_open_ = false;
    Bytes said_;
    uint64_t held_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input({data, size});
    Guest guest;
    for (int steps = 0; !input.is_empty() && steps < 64; ++steps) {
        const uint8_t what = input.byte();
        if (what == 0 || what == 0xff)
            guest.open(what != 0);
        else
            guest.say(input.take(what));
        if (!guest.is_understood()) std::abort();
    }
    return 0;
}
