// SPDX-License-Identifier: Apache-2.0
//
// What VIRTIO 1.2, 5.2 lays down for block devices, and nothing more. Sectors have 512 bytes, whatever the
// block size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::virtio::blk {

inline constexpr uint64_t kSectorSize = 512;

// 5.2.3
namespace feature {
inline constexpr uint64_t SEG_MAX = bit<uint64_t>(2);
inline constexpr uint64_t RO = bit<uint64_t>(5);
inline constexpr uint64_t BLK_SIZE = bit<uint64_t>(6);
inline constexpr uint64_t FLUSH = bit<uint64_t>(9);
inline constexpr uint64_t DISCARD = bit<uint64_t>(13);
inline constexpr uint64_t WRITE_ZEROES = bit<uint64_t>(14);
}  // namespace feature

// 5.2.4
struct Config {
    Le64 capacity;                       // 0   sectors
    Le32 size_max;                       // 8
    Le32 seg_max;                        // 12
    Le16 cylinders;                      // 16
    uint8_t heads = 0;                   // 18
    uint8_t sectors = 0;                 // 19
    Le32 blk_size;                       // 20
    uint8_t physical_block_exp = 0;      // 24
    uint8_t alignment_offset = 0;        // 25
    Le16 min_io_size;                    // 26
    Le32 opt_io_size;                    // 28
    uint8_t writeback = 0;               // 32
    uint8_t unused0 = 0;                 // 33
    Le16 num_queues;                     // 34
    Le32 max_discard_sectors;            // 36
    Le32 max_discard_seg;                // 40
    Le32 discard_sector_alignment;       // 44
    Le32 max_write_zeroes_sectors;       // 48
    Le32 max_write_zeroes_seg;           // 52
    uint8_t write_zeroes_may_unmap = 0;  // 56
    uint8_t unused1[3] = {0, 0, 0};      // 57
};
static_assert(sizeof(Config) == 60 && offsetof(Config, blk_size) == 20 &&
              offsetof(Config, num_queues) == 34 && offsetof(Config, max_write_zeroes_seg) == 52);

// 5.2.6
struct RequestHeader {
    Le32 type;      // 0
    Le32 reserved;  // 4
    Le64 sector;    // 8
};
static_assert(sizeof(RequestHeader) == 16);

inline constexpr uint32_t T_IN = 0;
inline constexpr uint32_t T_OUT = 1;
inline constexpr uint32_t T_FLUSH = 4;
inline constexpr uint32_t T_GET_ID = 8;
inline constexpr uint32_t T_DISCARD = 11;
inline constexpr uint32_t T_WRITE_ZEROES = 13;

inline constexpr size_t kIdSize = 20;

struct Segment {       // of DISCARD and WRITE_ZEROES
    Le64 sector;       // 0
    Le32 num_sectors;  // 8
    Le32 flags;        // 12
};
static_assert(sizeof(Segment) == 16);
inline constexpr uint32_t UNMAP = 1;  // in flags

inline constexpr uint8_t S_OK = 0;
inline constexpr uint8_t S_IOERR = 1;
inline constexpr uint8_t S_UNSUPP = 2;

}  // namespace alcove::virtio::blk
