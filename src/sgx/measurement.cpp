// SPDX-License-Identifier: Apache-2.0
#include "sgx/measurement.hpp"

#include <algorithm>

namespace alcove::sgx {

namespace {

using Tag = std::array<uint8_t, 8>;

struct EcreateBlock {
    Tag tag{'E', 'C', 'R', 'E', 'A', 'T', 'E', 0};  // 0
    Le32 SSAFRAMESIZE;                              // 8
    Le64 SIZE;                                      // 12
    std::array<uint8_t, 44> zero{};                 // 20
};
struct EaddBlock {
    Tag tag{'E', 'A', 'D', 'D', 0, 0, 0, 0};  // 0
    Le64 offset;                              // 8
    std::array<uint8_t, 48> secinfo{};        // 16
};
struct EextendBlock {
    Tag tag{'E', 'E', 'X', 'T', 'E', 'N', 'D', 0};  // 0
    Le64 offset;                                    // 8
    std::array<uint8_t, 48> zero{};                 // 16
};
static_assert(sizeof(EcreateBlock) == 64 && sizeof(EaddBlock) == 64 && sizeof(EextendBlock) == 64);

}  // namespace

crypto::Sha256Blocks measure_ecreate(uint32_t ssa_frame_size, uint64_t size) {
    EcreateBlock block;
    block.SSAFRAMESIZE = ssa_frame_size;
    block.SIZE = size;
    crypto::Sha256Blocks measurement;
    measurement.update(object_bytes(block));
    return measurement;
}

void measure_eadd(crypto::Sha256Blocks& measurement, uint64_t offset, const SECINFO& secinfo) {
    EaddBlock block;
    block.offset = offset;
    const ByteView bytes = object_bytes(secinfo).first(block.secinfo.size());
    std::copy(bytes.begin(), bytes.end(), block.secinfo.begin());
    measurement.update(object_bytes(block));
}

void measure_eextend(crypto::Sha256Blocks& measurement, uint64_t offset,
                     const std::array<uint8_t, kChunkSize>& chunk) {
    EextendBlock block;
    block.offset = offset;
    measurement.update(object_bytes(block));
    measurement.update(chunk);
}

}  // namespace alcove::sgx
