// SPDX-License-Identifier: Apache-2.0
#include "key_service/nsm_device.hpp"

#include "key_service/nsm_codec.hpp"

namespace alcove::key_service {

Result<NsmDevice> NsmDevice::open() {
    auto module = TRY(secure_module::KernelSecureModule::open());
    return NsmDevice(std::move(module));
}

Result<Bytes> NsmDevice::attest(ByteView public_key, ByteView nonce) {
    const Bytes reply = TRY(module_.ask(encode_attestation_request(public_key, nonce)));
    return decode_attestation_reply(reply);
}

}  // namespace alcove::key_service
