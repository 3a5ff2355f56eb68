// SPDX-License-Identifier: Apache-2.0
//
// This folder's own look behind a GuestSlice.
#pragma once

#include "memory/guest_memory.hpp"

namespace alcove::memory {

struct GuestSliceAccess {
    static uint8_t* data(const GuestSlice& slice) { return slice.data_; }
    static const Fences& fences(const GuestSlice& slice) { return *slice.fences_; }
};

}  // namespace alcove::memory
