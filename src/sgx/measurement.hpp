// SPDX-License-Identifier: Apache-2.0
//
// What MRENCLAVE absorbs: one block for each step of an enclave's building, and the contents of what is
// measured. BASEADDR, ATTRIBUTES and pages that are not extended are not in it.
//
// Source: SDM vol. 3D, "Measuring an Enclave" and the operation of ECREATE, EADD and EEXTEND.
#pragma once

#include "crypto/sha256_blocks.hpp"
#include "sgx/spec_enclave.hpp"

namespace alcove::sgx {

crypto::Sha256Blocks measure_ecreate(uint32_t ssa_frame_size, uint64_t size);
// `offset` is from BASEADDR; `secinfo` as it took effect.
void measure_eadd(crypto::Sha256Blocks& measurement, uint64_t offset, const SECINFO& secinfo);
void measure_eextend(crypto::Sha256Blocks& measurement, uint64_t offset,
                     const std::array<uint8_t, kChunkSize>& chunk);

}  // namespace alcove::sgx
