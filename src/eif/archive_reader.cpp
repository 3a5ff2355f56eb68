// SPDX-License-Identifier: Apache-2.0
//
// Content comes in blocks of the library's; a sparse file's holes are read as zeros, and count.
#include "eif/archive_reader.hpp"

#include "support/bits.hpp"

namespace alcove::eif {

Result<Bytes> read_archive_content(const ArchiveReader& reader, uint64_t limit) {
    Bytes content;
    Bytes piece(256_KiB);
    for (;;) {
        const la_ssize_t count = ::archive_read_data(reader.get(), piece.data(), piece.size());
        if (count < 0) return archive_failure(reader, "the archive can not be read");
        if (count == 0) return content;
        if (content.size() + static_cast<uint64_t>(count) > limit)
            return fail(ErrorCode::ImageBuildInput, "the archive unpacks to more than is allowed");
        content.insert(content.end(), piece.begin(), piece.begin() + count);
    }
}

}  // namespace alcove::eif
