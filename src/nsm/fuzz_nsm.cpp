// SPDX-License-Identifier: Apache-2.0
//
// An enclave's bytes against its NSM: requests with lying lengths and strange types, in buffers of any size.
// An input is a row of [capacity, 2 bytes][size, 2 bytes][request]. Whatever comes in, an answer comes back
// that fits and is CBOR, and the registers that were measured stay as they are.
#include <cstdlib>

#include "codec/cbor.hpp"
#include "nsm/fake_attestor.hpp"
#include "nsm/service.hpp"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    nsm::FakeAttestor attestor;
    nsm::NsmService service(attestor);
    ByteView rest(data, size);
    while (rest.size() >= 4) {
        const size_t capacity = (size_t{rest[0]} << 8 | rest[1]) & 0x3fff;
        const size_t length = std::min<size_t>(size_t{rest[2]} << 8 | rest[3], rest.size() - 4);
        const auto request = rest.subspan(4, length);
        rest = rest.subspan(4 + length);
        int answers = 0;
        service.handle(request, capacity, [&](const Bytes& response) {
            ++answers;
            require(response.size() <= capacity);
            require(response.empty() || codec::cbor::decode(response).has_value());
        });
        require(answers == 1);
    }
    for (uint32_t index = 0; index < attestation::PcrBank::kFirstOfEnclave; ++index)
        require(attestor.pcrs.is_locked(index) && attestor.pcrs.value(index) == attestation::PcrValue{});
    return 0;
}
