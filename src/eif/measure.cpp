// SPDX-License-Identifier: Apache-2.0
//
// Both threads walk the sections by themselves, in bounds that SectionTable::parse and read_section give. A
// thread that meets nonsense stops; what it computed is never looked at, because finish() parses the whole
// image and returns the error.
#include "eif/measure.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "codec/crc32.hpp"
#include "support/bits.hpp"
#include "support/check.hpp"

namespace alcove::eif {

namespace {

// Small enough that what the first thread has touched is still in a shared cache when the second comes.
constexpr uint64_t kPiece = 256_KiB;

bool is_measured(uint16_t type) {
    return type == static_cast<uint16_t>(SectionType::Kernel) ||
           type == static_cast<uint16_t>(SectionType::CommandLine) ||
           type == static_cast<uint16_t>(SectionType::Ramdisk);
}

bool is_ramdisk(uint16_t type) {
    return type == static_cast<uint16_t>(SectionType::Ramdisk);
}

}  // namespace

// How much of the image is there. Written by the copying thread with release, read by the two others with
// acquire, so that the bytes below the number are seen with it.
class Measurer::Progress {
  public:
    void announce(uint64_t size) {
        available_.store(size, std::memory_order_release);
        available_.notify_all();
    }
    void cancel() { announce(kCancelled); }

    // False when the copy was given up.
    bool wait_for(uint64_t size) const {
        uint64_t available = available_.load(std::memory_order_acquire);
        while (available < size) {
            available_.wait(available, std::memory_order_acquire);
            available = available_.load(std::memory_order_acquire);
        }
        return available != kCancelled;
    }

  private:
    static constexpr uint64_t kCancelled = UINT64_MAX;
    std::atomic<uint64_t> available_ = 0;
};

class Measurer::Work {
  public:
    explicit Work(ByteView image) : image_(image) {}
    ~Work() {
        progress_.cancel();
        join();
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    ByteView image() const { return image_; }
    Progress& progress() { return progress_; }

    void start_both() {
        first_ = std::thread([this] { hash_image(); });
        start_second();
    }
    void start_second() {
        second_ = std::thread([this] { hash_application_and_sum(); });
    }
    void join() {
        if (first_.joinable()) first_.join();
        if (second_.joinable()) second_.join();
    }

    // PCR0 and PCR1.
    void hash_image();
    // PCR2 and the CRC.
    void hash_application_and_sum();

    // After join(), of an image that Image::parse accepts.
    Measurements take() {
        ALCOVE_CHECK(pcr0_ && pcr1_ && pcr2_ && crc32_, "a well-formed image is measured to its end");
        return {*pcr0_, *pcr1_, *pcr2_, *crc32_};
    }

  private:
    std::optional<SectionTable> wait_for_table() const;
    // Waits until the section's header is there. Its payload may not be.
    std::optional<RawSection> wait_for_section(const SectionTable& table, size_t index) const;

    // Calls `consume` with the pieces of `range`, each when it is there. False when the copy was given up.
    template <typename Consume>
    bool each_piece(ByteView range, Consume&& consume) const;

    ByteView image_;
    Progress progress_;
    std::thread first_;
    std::thread second_;
    // Each written by one thread, read after join().
    std::optional<Pcr> pcr0_;
    std::optional<Pcr> pcr1_;
    std::optional<Pcr> pcr2_;
    std::optional<uint32_t> crc32_;
};

std::optional<SectionTable> Measurer::Work::wait_for_table() const {
    if (image_.size() < sizeof(spec::Header) || !progress_.wait_for(sizeof(spec::Header)))
        return std::nullopt;
    auto table = SectionTable::parse(image_, image_.size());
    if (!table) return std::nullopt;
    return std::move(table).value();
}

std::optional<RawSection> Measurer::Work::wait_for_section(const SectionTable& table, size_t index) const {
    if (!progress_.wait_for(table.entries[index].offset + sizeof(spec::SectionHeader))) return std::nullopt;
    const auto section = read_section(image_, table, index);
    if (!section) return std::nullopt;
    return *section;
}

template <typename Consume>
bool Measurer::Work::each_piece(ByteView range, Consume&& consume) const {
    while (!range.empty()) {
        const ByteView piece = range.first(std::min<uint64_t>(kPiece, range.size()));
        if (!progress_.wait_for(static_cast<uint64_t>(piece.data() + piece.size() - image_.data())))
            return false;
        consume(piece);
        range = range.subspan(piece.size());
    }
    return true;
}

void Measurer::Work::hash_image() {
    const auto table = wait_for_table();
    if (!table) return;
    PcrHash hash;
    std::optional<PcrHash> boot;
    for (size_t index = 0; index < table->entries.size(); ++index) {
        const auto section = wait_for_section(*table, index);
        if (!section) return;
        if (!is_measured(section->type)) continue;
        if (!each_piece(section->payload, [&](ByteView piece) { hash.update(piece); })) return;
        if (is_ramdisk(section->type) && !boot) boot = hash.copy();
    }
    if (!boot) boot = hash.copy();
    pcr1_ = std::move(*boot).finish();
    pcr0_ = std::move(hash).finish();
}

void Measurer::Work::hash_application_and_sum() {
    const auto table = wait_for_table();
    if (!table) return;
    PcrHash hash;
    codec::Crc32 crc;
    const auto sum = [&](ByteView piece) { crc.update(piece); };

    crc.update(image_.first(offsetof(spec::Header, crc32)));
    uint64_t summed = sizeof(spec::Header);
    size_t ramdisks = 0;
    for (size_t index = 0; index < table->entries.size(); ++index) {
        const auto section = wait_for_section(*table, index);
        if (!section) return;
        // The gap before the section, and the section's header.
        const auto begin = static_cast<uint64_t>(section->payload.data() - image_.data());
        if (!each_piece(image_.subspan(summed, begin - summed), sum)) return;
        const bool application = is_ramdisk(section->type) && ramdisks++ > 0;
        const bool complete = each_piece(section->payload, [&](ByteView piece) {
            crc.update(piece);
            if (application) hash.update(piece);
        });
        if (!complete) return;
        summed = begin + section->payload.size();
    }
    pcr2_ = std::move(hash).finish();
    crc32_ = crc.value();
}

Measurements measure(const Image& image) {
    Measurer::Work work(image.bytes());
    work.progress().announce(image.bytes().size());
    work.start_second();
    work.hash_image();  // the longer half, on this thread
    work.join();
    return work.take();
}

Measurer::Measurer(ByteView image) : work_(std::make_unique<Work>(image)) {
    work_->start_both();
}

Measurer::~Measurer() = default;

void Measurer::announce(uint64_t size) {
    ALCOVE_CHECK(size <= work_->image().size(), "no more is announced than the image has");
    work_->progress().announce(size);
}

Result<Measurer::Measured> Measurer::finish() {
    ALCOVE_CHECK(work_->progress().wait_for(work_->image().size()), "the whole image was announced");
    const auto image = TRY(Image::parse(work_->image()));
    work_->join();
    return Measured{image, work_->take()};
}

}  // namespace alcove::eif
