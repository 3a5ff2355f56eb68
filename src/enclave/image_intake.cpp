// SPDX-License-Identifier: Apache-2.0
#include "enclave/image_intake.hpp"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/stat.h>

#include "api/limits.hpp"
#include "api/shim_messages.hpp"
#include "eif/measure.hpp"
#include "eif/verify.hpp"
#include "enclave/image_room.hpp"
#include "memory/page_mover.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace {

constexpr uint64_t kPiece = 256_KiB;  // stays in the cache between reading, writing and hashing
constexpr uint64_t kReportEvery = 4_MiB;
// What a machine needs beside kernel and ramdisks before anything is unpacked: tables, parameters, stack.
constexpr uint64_t kLeastSpareMemory = 1_MiB;

// To the end of the last section, whose header is at its beginning. Whether anything else is right is seen
// in the copy.
Result<uint64_t> size_by_itself(const Fd& source, uint64_t offset, uint64_t available) {
    Bytes header(std::min<uint64_t>(available, sizeof(eif::spec::Header)));
    TRY(sys::read_exact_at(source, header, offset));
    const auto table = TRY(eif::SectionTable::parse(header, available));
    const uint64_t last = table.entries.back().offset;  // there are two at least
    Bytes section(sizeof(eif::spec::SectionHeader));
    TRY(sys::read_exact_at(source, section, offset + last));
    const uint64_t begin = last + section.size();
    const uint64_t size = read_object<eif::spec::SectionHeader>(section)->size;  // as long as `section`
    if (!range_within(begin, size, std::min(available, api::kMaxImageBytes)))
        return fail(ErrorCode::ImageMalformed,
                    "the last section ends behind the memory that the image is in");
    return begin + size;
}

Result<uint64_t> size_of(const Fd& source, const ImageLocation& location) {
    const uint64_t end = TRY(sys::file_size(source).context("the image"));
    const uint64_t available = end - std::min(end, location.offset);
    if (!location.bytes) return size_by_itself(source, location.offset, available);
    if (available >= *location.bytes) return *location.bytes;
    return fail(ErrorCode::Truncated, "the image has " + std::to_string(available) + " bytes, not the " +
                                          std::to_string(*location.bytes) + " that were announced");
}

struct CopyFile {
    Fd file;
    uint64_t file_size;  // bytes
    bool huge;           // pages
};

Result<CopyFile> make_copy_file(uint64_t size, bool huge) {
    auto file = TRY(sys::memfd("alcove-image", huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
    if (::fchmod(file.get(), 0600) < 0) return fail_errno(errno, "fchmod of the image's copy");
    const uint64_t file_size = huge ? align_up<uint64_t>(size, api::kHugePage) : size;
    TRY(sys::truncate(file, file_size));
    return CopyFile{.file = std::move(file), .file_size = file_size, .huge = huge};
}

// There is no write(2) to huge pages.
Result<void> put(const CopyFile& copy, ByteView piece, uint64_t at) {
    if (!copy.huge) return sys::write_all_at(copy.file, piece, at);
    TRY(memory::reserve_pages({copy.file, at}, api::kHugePage));
    const auto page = TRY(Mapping::shared(copy.file, api::kHugePage, at));
    std::memcpy(page.data(), piece.data(), piece.size());
    return {};
}

// What is released is held by the buffer alone until it is in the copy, so that a host without a page more
// can do it as well.
Result<void> copy_all(const Fd& source, const CopyFile& copy, uint64_t size, const ImageIntake& intake,
                      const std::atomic<bool>& cancelled, eif::Measurer& measurer) {
    const auto page_size = intake.released_page_size;
    Bytes buffer(std::max<uint64_t>(kPiece, page_size.value_or(0)));
    for (uint64_t at = 0; at < size;) {
        if (cancelled) return fail(ErrorCode::Cancelled, "copying the image was cancelled");
        const auto piece = MutableByteView(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
        const uint64_t offset = intake.location.offset + at;
        TRY(sys::read_exact_at(source, piece, offset).context("reading the image"));
        if (page_size)
            TRY(memory::release_pages({source, offset}, align_up<uint64_t>(piece.size(), *page_size)));
        TRY(put(copy, piece, at).context("copying the image"));
        at += piece.size();
        measurer.announce(at);
        if (intake.report && (at % kReportEvery == 0 || at == size)) intake.report(at, size);
    }
    return {};
}

// The loader says exactly; this is the part of its answer that needs no machine.
Result<void> check_fits(const eif::Image& image, uint64_t memory) {
    uint64_t payload = image.kernel().size();
    for (const auto& ramdisk : image.ramdisks())
        payload += ramdisk.size();  // all inside one file: no overflow
    if (payload + kLeastSpareMemory <= memory) return {};
    return fail(ErrorCode::RamdiskTooLarge, "kernel and ramdisks have " + std::to_string(payload / 1_KiB) +
                                                " KiB, the enclave's memory " +
                                                std::to_string(memory / 1_KiB) + " KiB");
}

uint64_t seconds(crypto::TimePoint time) {
    const auto count = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
    return count < 0 ? 0 : static_cast<uint64_t>(count);
}

ImageFacts facts_of(const eif::Measurer::Measured& image,
                    const std::optional<eif::ImageSignature>& signature) {
    const auto& measured = image.measurements;
    ImageFacts facts;
    const auto metadata = image.image.metadata();
    if (metadata && metadata->size() <= api::shim::ImageMetadata::kMaxTail)
        facts.metadata = to_bytes(*metadata);
    facts.pcr0 = measured.pcr0;
    facts.pcr1 = measured.pcr1;
    facts.pcr2 = measured.pcr2;
    if (!signature) return facts;
    facts.pcr8 = signature->pcr8();
    facts.is_signed = true;
    facts.certificate_subject = api::printable(as_byte_view(signature->certificate.subject_text()));
    facts.certificate_not_before = seconds(signature->certificate.not_before());
    facts.certificate_not_after = seconds(signature->certificate.not_after());
    return facts;
}

}  // namespace

Result<TakenImage> take_image(const Fd& source, const ImageIntake& intake,
                              const std::atomic<bool>& cancelled) {
    const uint64_t size = TRY(size_of(source, intake.location));
    // Of the pages that it had, as far as they are not there again before it is gone.
    const bool huge = intake.released_page_size == api::kHugePage &&
                      room_for_image(size, intake.guest_memory_bytes).has_value();
    const auto copy = TRY(make_copy_file(size, huge));
    // A private mapping for reading: it shows the file's pages and does not stand in the way of sealing.
    const auto view = TRY(Mapping::read_only(copy.file, copy.file_size));
    eif::Measurer measurer(view.bytes().first(size));
    TRY(copy_all(source, copy, size, intake, cancelled, measurer));
    TRY(sys::add_seals(copy.file, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
    const auto measured = TRY(measurer.finish());
    if (measured.image.architecture() != eif::Architecture::X86_64)
        return fail(ErrorCode::KernelInvalid, "the image is for aarch64, this host is x86-64");
    const auto signature = TRY(eif::verify_image(measured.image, measured.measurements, intake.time));
    TRY(check_fits(measured.image, intake.guest_memory_bytes));
    auto for_reading = TRY(sys::open("/proc/self/fd/" + std::to_string(copy.file.get()), O_RDONLY));
    return TakenImage{.image = std::move(for_reading), .bytes = size, .facts = facts_of(measured, signature)};
}

}  // namespace alcove::enclave
