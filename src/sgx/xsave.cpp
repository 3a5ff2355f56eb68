// SPDX-License-Identifier: Apache-2.0
#include "sgx/xsave.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "sgx/reserved.hpp"

namespace alcove::sgx::xsave {

namespace {

constexpr uint16_t kInitialFcw = 0x037f;
constexpr uint32_t kMxcsrReserved = 0xffff'0000;
constexpr uint64_t kLegacy = xcr0::X87 | xcr0::SSE;

XsaveHead head_of(const XsaveArea& area) {
    XsaveHead head;
    std::memcpy(&head, area.data(), sizeof head);
    return head;
}
void put_head(XsaveArea& area, const XsaveHead& head) {
    std::memcpy(area.data(), &head, sizeof head);
}
void copy_component(XsaveArea& to, const XsaveArea& from, const XsaveComponent& component) {
    std::copy_n(from.begin() + component.offset, component.size, to.begin() + component.offset);
}

// x87 and SSE as after a reset, and nothing in the header.
XsaveHead initial_head() {
    XsaveHead head{};
    head.FCW = kInitialFcw;
    return head;
}

}  // namespace

XsaveArea saved(const XsaveArea& now, uint64_t xfrm, const Features& features) {
    const XsaveHead from = head_of(now);
    XsaveHead head = from;
    head.available = {};
    head.XSTATE_BV = from.XSTATE_BV & xfrm;
    head.XCOMP_BV = 0;
    head.RESERVED = {};
    XsaveArea area{};
    put_head(area, head);
    for (const auto& component : features.components)
        if ((head.XSTATE_BV & bit<uint64_t>(component.bit)) != 0) copy_component(area, now, component);
    return area;
}

XsaveArea after_exit(const XsaveArea& now, uint64_t xfrm, const Features& features,
                     uint8_t exception_vector) {
    const XsaveHead from = head_of(now);
    XsaveHead head = initial_head();
    head.MXCSR = exception_vector == vector::XM ? 0x1f01 : 0x1fb0;
    head.MXCSR_MASK = from.MXCSR_MASK;
    if (exception_vector == vector::MF) {
        head.FCW = 0x037e;
        head.FSW = 0x8081;
    }
    // Both are said to be there, so that FCW, FSW and MXCSR are taken from here.
    head.XSTATE_BV = (from.XSTATE_BV & ~xfrm) | kLegacy;
    XsaveArea area = now;
    put_head(area, head);
    for (const auto& component : features.components)
        if ((xfrm & bit<uint64_t>(component.bit)) != 0)
            std::fill_n(area.begin() + component.offset, component.size, uint8_t{0});
    return area;
}

bool is_restorable(const XsaveHead& frame, uint64_t xfrm) {
    // Of the bytes behind XCOMP_BV only the first eight are looked at.
    const ByteView reserved = ByteView(frame.RESERVED).first(8);
    return (frame.XSTATE_BV & ~xfrm) == 0 && frame.XCOMP_BV == 0 && is_zero(reserved) &&
           (frame.MXCSR & kMxcsrReserved) == 0;
}

XsaveArea restored(const XsaveArea& now, const XsaveArea& frame, uint64_t xfrm, const Features& features) {
    const XsaveHead from = head_of(now);
    const XsaveHead wanted = head_of(frame);
    XsaveHead head = initial_head();
    head.MXCSR = wanted.MXCSR;  // also when XSTATE_BV says that SSE is in its initial state
    head.MXCSR_MASK = from.MXCSR_MASK;
    if ((wanted.XSTATE_BV & xcr0::X87) != 0) {
        head.FCW = wanted.FCW;
        head.FSW = wanted.FSW;
        head.x87_rest = wanted.x87_rest;
        head.st = wanted.st;
    }
    if ((wanted.XSTATE_BV & xcr0::SSE) != 0) head.xmm = wanted.xmm;
    head.XSTATE_BV = (from.XSTATE_BV & ~xfrm) | wanted.XSTATE_BV | kLegacy;
    XsaveArea area = now;
    put_head(area, head);
    for (const auto& component : features.components)
        if ((wanted.XSTATE_BV & bit<uint64_t>(component.bit)) != 0) copy_component(area, frame, component);
    return area;
}

}  // namespace alcove::sgx::xsave
