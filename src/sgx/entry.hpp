// SPDX-License-Identifier: Apache-2.0
//
// What EENTER and ERESUME have in common. From the first look at the EPCM on, the processor counts as inside
// (EpcmState::is_tracked, EREMOVE): nothing that it finds valid can go until it has left again, by this
// object's end or by an exit. It carries the epoch of that first look.
#pragma once

#include "sgx/leaves.hpp"

namespace alcove::sgx {

class Entering {
  public:
    // The page in RBX is a TCS of an initialized enclave and may be entered, else #PF(RBX) or #GP(0). The
    // page is held for the time of the leaf.
    static Outcome<Entering> begin(Call& call);

    Entering(Entering&& other) noexcept
        : call_(std::exchange(other.call_, nullptr)),
          hold_(std::move(other.hold_)),
          pin_(std::move(other.pin_)),
          inside_(other.inside_),
          tcs_(other.tcs_),
          frame_size_(other.frame_size_),
          active_(other.active_) {}
    Entering& operator=(Entering&&) = delete;
    Entering(const Entering&) = delete;
    Entering& operator=(const Entering&) = delete;
    ~Entering();

    const TCS& tcs() const { return tcs_; }  // a copy
    const Inside& inside() const { return inside_; }

    // The TCS and the processor's mode are fit for each other, else #GP(0).
    Outcome<void> check_mode() const;
    // The frame's pages can be read and written by the enclave, else #PF.
    Outcome<SsaFrame> find_frame(uint32_t slot) const;
    // TCS.STATE becomes active, else #GP(0): somebody else is inside through it, or was since tcs() was
    // copied and left another CSSA. From here on the frames are this processor's.
    Outcome<void> activate();
    // The processor is inside. TCS.AEP and CSSA are stored, outside state is kept, the world changes.
    void complete(const SsaFrame& frame, uint32_t cssa);

  private:
    Entering(Call& call, Hold hold, PagePin pin, const Inside& inside, uint64_t frame_size)
        : call_(&call),
          hold_(std::move(hold)),
          pin_(std::move(pin)),
          inside_(inside),
          tcs_(pin_.read<TCS>(0)),
          frame_size_(frame_size) {}
    Outcome<PageIndex> frame_page(uint64_t linear) const;

    Call* call_;  // null: over, one way or the other
    Hold hold_;
    PagePin pin_;
    Inside inside_;
    TCS tcs_;
    uint64_t frame_size_;
    bool active_ = false;
};

// FS or GS inside.
Segment enclave_segment(uint64_t base);

// Ends the processor's stay: TCS.STATE, the count of those inside, segments, XCR0 and TF, the world. What
// becomes of the other registers is the leaf's business.
void leave_enclave(Call& call, const PagePin& tcs);

}  // namespace alcove::sgx
