// SPDX-License-Identifier: Apache-2.0
#include "daemon/disk_json.hpp"

#include <nlohmann/json.hpp>

#include "support/bits.hpp"

namespace alcove::daemon {

using codec::json::Json;

Json to_json(const std::vector<DiskRecord>& disks) {
    Json list = Json::array();
    for (const auto& disk : disks)
        list.push_back({{"bytes", disk.bytes},
                        {"read_only", disk.read_only},
                        {"serial", disk.serial.empty() ? Json(nullptr) : Json(disk.serial)}});
    return list;
}

Result<std::vector<DiskRecord>> parse_disks(std::string_view text) {
    const auto list = TRY(codec::json::parse(text, {.bytes = 64_KiB, .depth = 3}));
    if (!list.is_array()) return fail(ErrorCode::JsonMalformed, "a list of disks is expected");
    std::vector<DiskRecord> disks;
    for (const auto& item : list) {
        DiskRecord disk;
        disk.bytes = TRY(codec::json::unsigned_field(item, "bytes"));
        disk.read_only = TRY(codec::json::boolean_field(item, "read_only"));
        auto serial = TRY(codec::json::optional_text_field(item, "serial"));
        disk.serial = serial.value_or("");
        disks.push_back(std::move(disk));
    }
    return disks;
}

}  // namespace alcove::daemon
