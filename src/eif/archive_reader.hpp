// SPDX-License-Identifier: Apache-2.0
//
// The door to libarchive: an open archive that frees itself, and its errors as ours. Internal to this folder.
#pragma once

#include <memory>
#include <string>

#include <archive.h>
#include <archive_entry.h>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct FreeArchive {
    void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using ArchiveReader = std::unique_ptr<archive, FreeArchive>;

enum class ArchiveKind {
    Tar,
    Raw,  // one stream without names, such as foo.ko.xz
};

// With the compressions that the library undoes in the process: gzip, bzip2, xz, zstd or none. (It knows
// others for which it would start programs; those stay off.)
inline ArchiveReader new_archive_reader(ArchiveKind kind) {
    ArchiveReader reader(::archive_read_new());
    if (reader == nullptr) return reader;
    ::archive_read_support_filter_gzip(reader.get());
    ::archive_read_support_filter_bzip2(reader.get());
    ::archive_read_support_filter_xz(reader.get());
    ::archive_read_support_filter_zstd(reader.get());
    if (kind == ArchiveKind::Tar) {
        ::archive_read_support_format_tar(reader.get());
    } else {
        ::archive_read_support_format_raw(reader.get());
    }
    return reader;
}

inline Failure archive_failure(const ArchiveReader& reader, const std::string& what) {
    const char* reason = reader == nullptr ? nullptr : ::archive_error_string(reader.get());
    return fail(ErrorCode::ImageBuildInput, what + ": " + (reason == nullptr ? "no reason given" : reason));
}

// The content of the entry the reader stands at, at most `limit` bytes.
Result<Bytes> read_archive_content(const ArchiveReader& reader, uint64_t limit);

}  // namespace alcove::eif
