// SPDX-License-Identifier: Apache-2.0
//
// An enclave's bytes against its NSM: requests with lying lengths and strange types, in buffers of any size,
// and chains of any shape. The first byte chooses the way in; then follow rows of [capacity, 2 bytes][size, 2
// bytes][request]:
//
//     even: straight to the service      every request is answered once, with CBOR that fits
//     odd:  over the device's ring       what comes back fits its chain, and nothing comes back twice
//
// Whatever is asked, the registers that were measured stay as they are.
#include <algorithm>
#include <cstdlib>

#include "codec/cbor.hpp"
#include "nsm/device.hpp"
#include "nsm/fake_attestor.hpp"
#include "nsm/service.hpp"
#include "virtio/driver_fake.hpp"

namespace {

using namespace alcove;

void require(bool condition) {
    if (!condition) std::abort();
}

struct Row {
    uint32_t capacity;
    ByteView request;
};

std::vector<Row> rows_of(ByteView rest) {
    std::vector<Row> rows;
    while (rest.size() >= 4) {
        const uint32_t capacity = (uint32_t{rest[0]} << 8 | rest[1]) & 0x3fff;
        const size_t length = std::min<size_t>(size_t{rest[2]} << 8 | rest[3], rest.size() - 4);
        rows.push_back({.capacity = capacity, .request = rest.subspan(4, length)});
        rest = rest.subspan(4 + length);
    }
    return rows;
}

void ask_service(nsm::FakeAttestor& attestor, const std::vector<Row>& rows) {
    nsm::NsmService service(attestor);
    for (const auto& row : rows) {
        int answers = 0;
        service.handle(row.request, row.capacity, [&](const Bytes& response) {
            ++answers;
            require(response.size() <= row.capacity);
            require(response.empty() || codec::cbor::decode(response).has_value());
        });
        require(answers == 1);
    }
}

// A row with a request and a capacity makes one chain of both; the others make chains that have to find a
// partner.
void ask_device(nsm::FakeAttestor& attestor, const std::vector<Row>& rows) {
    static virtio::FakeMachine machine;
    machine.release_all();
    nsm::NsmDevice device(attestor);
    virtio::FakeDriver driver(machine, device);
    driver.start();
    attestor.at_once = rows.size() % 2 == 0;
    auto& queue = driver.queue(0);
    size_t added = 0;
    for (const auto& row : rows) {
        if (row.capacity == 0 && row.request.empty()) continue;
        const auto writable =
            row.capacity > 0 ? std::vector<uint32_t>{row.capacity} : std::vector<uint32_t>{};
        if (!queue.add(row.request, writable)) break;
        ++added;
        driver.notify(0);
        machine.run();
    }
    while (attestor.deliver()) {
    }
    size_t taken = 0;
    while (const auto used = queue.take_used()) {
        ++taken;
        uint64_t room = 0;
        for (const auto& piece : queue.pieces(used->head))
            if (piece.is_writable) room += piece.length;
        require(used->length <= room);
    }
    require(taken <= added);
    driver.reset();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    nsm::FakeAttestor attestor;
    const auto rows = rows_of({data + 1, size - 1});
    if ((data[0] & 1) == 0) {
        ask_service(attestor, rows);
    } else {
        ask_device(attestor, rows);
    }
    for (uint32_t index = 0; index < attestation::PcrBank::kFirstOfEnclave; ++index)
        require(attestor.pcrs.is_locked(index) && attestor.pcrs.value(index) == attestation::PcrValue{});
    return 0;
}
