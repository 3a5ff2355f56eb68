// SPDX-License-Identifier: Apache-2.0
#include "enclave/image_intake.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>

#include "api/limits.hpp"
#include "eif/measure.hpp"
#include "eif/verify.hpp"
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

Result<Fd> make_copy_file(uint64_t size) {
    auto copy = TRY(sys::memfd("alcove-image"));
    if (::fchmod(copy.get(), 0600) < 0) return fail_errno(errno, "fchmod of the image's copy");
    TRY(sys::truncate(copy, size));
    return copy;
}

Result<void> copy_all(const Fd& source, const Fd& copy, uint64_t size, const ImageIntake& intake,
                      const std::atomic<bool>& cancelled, eif::Measurer& measurer) {
    Bytes buffer(kPiece);
    for (uint64_t at = 0; at < size;) {
        if (cancelled) return fail(ErrorCode::Cancelled, "copying the image was cancelled");
        const auto piece = MutableByteView(buffer).first(std::min(kPiece, size - at));
        TRY(sys::read_exact_at(source, piece, intake.location.offset + at).context("reading the image"));
        TRY(sys::write_all_at(copy, piece, at).context("copying the image"));
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

ImageFacts facts_of(const eif::Measurements& measured, const std::optional<eif::ImageSignature>& signature) {
    ImageFacts facts;
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
    const auto copy = TRY(make_copy_file(size));
    // A private mapping for reading: it shows the file's pages and does not stand in the way of sealing.
    const auto view = TRY(Mapping::read_only(copy, size));
    eif::Measurer measurer(view.bytes());
    TRY(copy_all(source, copy, size, intake, cancelled, measurer));
    TRY(sys::add_seals(copy, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
    const auto measured = TRY(measurer.finish());
    if (measured.image.architecture() != eif::Architecture::X86_64)
        return fail(ErrorCode::KernelInvalid, "the image is for aarch64, this host is x86-64");
    const auto signature = TRY(eif::verify_image(measured.image, measured.measurements, intake.time));
    TRY(check_fits(measured.image, intake.guest_memory_bytes));
    auto for_reading = TRY(sys::open("/proc/self/fd/" + std::to_string(copy.get()), O_RDONLY));
    return TakenImage{
        .image = std::move(for_reading), .bytes = size, .facts = facts_of(measured.measurements, signature)};
}

}  // namespace alcove::enclave
