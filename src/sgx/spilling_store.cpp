// SPDX-License-Identifier: Apache-2.0
#include "sgx/spilling_store.hpp"

#include <array>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "crypto/random.hpp"
#include "crypto/secret.hpp"
#include "sgx/small_pages.hpp"
#include "support/check.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::sgx {

namespace {

uint64_t offset_of(PageIndex page) {
    return number(page) * kPageSize;
}

// A page is at one place in the file; the tag says which.
Le32 associated_of(PageIndex page) {
    return number(page);
}

}  // namespace

Result<std::unique_ptr<SpillingStore>> SpillingStore::create(Plan plan) {
    if (plan.budget < kMinBudget)
        return fail(ErrorCode::InvalidArgument, "an EPC budget is at least 64 pages (256 KiB)");
    auto mapping = TRY(Mapping::shared(plan.memory, uint64_t{plan.pages} * kPageSize));
    TRY(use_small_pages(mapping));
    auto memory = TRY(sys::duplicate(plan.memory.get()));
    const auto key = TRY(crypto::random_array<sizeof(crypto::AesKey)>());
    return std::unique_ptr<SpillingStore>(
        new SpillingStore(std::move(plan), std::move(mapping), std::move(memory), key));
}

SpillingStore::SpillingStore(Plan plan, Mapping mapping, Fd memory, const crypto::AesKey& key)
    : mapping_(std::move(mapping)),
      memory_(std::move(memory)),
      spill_(std::move(plan.spill)),
      mappings_(plan.mappings),
      key_(key),
      pages_(plan.pages),
      budget_(plan.budget) {}

SpillingStore::~SpillingStore() {
    crypto::cleanse(key_);
}

MutableByteView SpillingStore::bytes_of(PageIndex page) const {
    return mapping_.mutable_bytes().subspan(offset_of(page), kPageSize);
}

Result<PagePin> SpillingStore::pin(PageIndex page) {
    Lock lock(mutex_);
    Page& it = pages_.at(number(page));
    settled_.wait(lock, [&] { return it.state != State::Moving; });
    while (it.state != State::Resident) {
        TRY(make_room(lock, budget_));
        // Making room takes the lock away for a while: somebody else may have brought the page in.
        settled_.wait(lock, [&] { return it.state != State::Moving; });
        if (it.state != State::Resident) TRY(bring_in(lock, page));
    }
    it.used = true;
    ++it.pins;
    return make_pin(page, bytes_of(page).data());
}

void SpillingStore::unpin(PageIndex page) {
    const Lock lock(mutex_);
    --pages_.at(number(page)).pins;
}

void SpillingStore::settle(Page& page, State state) {
    page.state = state;
    settled_.notify_all();
}

Result<void> SpillingStore::bring_in(Lock& lock, PageIndex page) {
    Page& it = pages_.at(number(page));
    const State before = it.state;
    if (resident_ >= budget_) ++statistics_.overdrafts;
    ++resident_;
    it.state = State::Moving;
    if (before == State::Evicted) {
        lock.unlock();
        auto done = read_back(page, it.version, it.tag);  // a Moving page is ours alone
        if (!done) static_cast<void>(punch(page));
        lock.lock();
        if (!done) {
            --resident_;
            settle(it, State::Evicted);
            return done;
        }
        --evicted_;
        ++statistics_.loads;
    }
    settle(it, State::Resident);
    return {};
}

std::optional<PageIndex> SpillingStore::next_candidate() {
    // Twice round: the first time every page may have been used since.
    for (size_t steps = 0; steps < 2 * pages_.size(); ++steps) {
        const uint32_t at = hand_;
        hand_ = (hand_ + 1) % static_cast<uint32_t>(pages_.size());
        Page& page = pages_[at];
        if (page.state != State::Resident || page.pins != 0) continue;
        if (!page.used) return PageIndex{at};
        page.used = false;
    }
    return std::nullopt;
}

Result<void> SpillingStore::make_room(Lock& lock, uint32_t limit) {
    // The hand passes a page twice before it must find one, and pages that the guest uses meanwhile may be
    // refused in between; so many refusals mean that none can leave.
    for (size_t refusals = 0; resident_ >= limit && refusals < 2 * pages_.size();) {
        const auto candidate = next_candidate();
        if (!candidate) break;
        if (!TRY(try_evict(lock, *candidate))) ++refusals;
    }
    return {};
}

// Whether it left.
Result<bool> SpillingStore::try_evict(Lock& lock, PageIndex page) {
    Page& it = pages_.at(number(page));
    it.state = State::Moving;
    const uint64_t version = ++last_version_;
    lock.unlock();
    Result<bool> left = false;
    crypto::AesTag tag{};
    const bool was_used = mappings_.was_accessed(page);
    if (!was_used && mappings_.unmap(page)) {
        auto written = write_out(page, version, tag);
        if (written)
            left = true;
        else
            left = Failure{std::move(written).error().context("moving EPC to the spill file")};
    }
    lock.lock();
    if (left && *left) {
        it.version = version;
        it.tag = tag;
        --resident_;
        ++evicted_;
        ++statistics_.evictions;
        settle(it, State::Evicted);
    } else {
        it.used = was_used;
        settle(it, State::Resident);
    }
    return left;
}

Result<void> SpillingStore::write_out(PageIndex page, uint64_t version, crypto::AesTag& tag) {
    std::array<uint8_t, kPageSize> sealed;
    const Le32 associated = associated_of(page);
    tag = crypto::aes_gcm_seal(key_, crypto::gcm_nonce(version), object_bytes(associated), bytes_of(page),
                               sealed);
    TRY(sys::write_all_at(spill_, sealed, offset_of(page)));
    return punch(page);
}

Result<void> SpillingStore::read_back(PageIndex page, uint64_t version, const crypto::AesTag& tag) {
    std::array<uint8_t, kPageSize> sealed;
    auto read = sys::read_exact_at(spill_, sealed, offset_of(page));
    if (!read) return Failure{std::move(read).error().context("fetching EPC from the spill file")};
    const Le32 associated = associated_of(page);
    if (!crypto::aes_gcm_open(key_, crypto::gcm_nonce(version), object_bytes(associated), sealed, tag,
                              bytes_of(page)))
        return fail(ErrorCode::CryptoFailed,
                    "the EPC spill file was changed: an evicted page is not what it was");
    return {};
}

Result<void> SpillingStore::punch(PageIndex page) {
    return sys::allocate(memory_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_of(page), kPageSize);
}

void SpillingStore::discard(PageIndex page) {
    Lock lock(mutex_);
    Page& it = pages_.at(number(page));
    settled_.wait(lock, [&] { return it.state != State::Moving; });
    ALCOVE_CHECK(it.pins == 0, "a page that nobody uses");
    if (it.state == State::Empty) return;
    const State before = it.state;
    it.state = State::Moving;
    lock.unlock();
    // What cannot be given back to the host is at least wiped.
    if (before == State::Resident && !punch(page)) std::memset(bytes_of(page).data(), 0, kPageSize);
    lock.lock();
    --(before == State::Resident ? resident_ : evicted_);
    it = Page{};
    settled_.notify_all();
}

PageStore::Occupancy SpillingStore::occupancy() const {
    const Lock lock(mutex_);
    return {.resident = resident_, .evicted = evicted_};
}

SpillingStore::Statistics SpillingStore::statistics() const {
    const Lock lock(mutex_);
    return statistics_;
}

Result<void> SpillingStore::set_budget(uint32_t pages) {
    if (pages < kMinBudget)
        return fail(ErrorCode::InvalidArgument, "an EPC budget is at least 64 pages (256 KiB)");
    Lock lock(mutex_);
    const uint32_t before = std::exchange(budget_, pages);
    const uint64_t evictions = statistics_.evictions;
    auto made = make_room(lock, budget_ + 1);
    const bool written = statistics_.evictions != evictions;
    if (!made) budget_ = before;
    lock.unlock();
    if (!made || !written) return made;
    return write_back();
}

uint32_t SpillingStore::budget() const {
    const Lock lock(mutex_);
    return budget_;
}

// What the kernel keeps of the file is memory, too; when it is on the disk the kernel can do without.
Result<void> SpillingStore::write_back() const {
    if (::fdatasync(spill_.get()) < 0) return fail_errno(errno, "writing the EPC spill file to its disk");
    return {};
}

}  // namespace alcove::sgx
