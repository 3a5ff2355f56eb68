// SPDX-License-Identifier: Apache-2.0
//
// The extended processor state at the border of an enclave: what an asynchronous exit stores and leaves
// behind, what ERESUME accepts and loads. Components that the enclave's XFRM lacks are the outside's and stay
// as they are.
//
// Source: SDM vol. 3D, "Asynchronous Enclave Exit", "ERESUME"; vol. 1, "XSAVE Area", "Operation of XRSTOR".
#pragma once

#include "sgx/features.hpp"
#include "sgx/leaf_context.hpp"

namespace alcove::sgx::xsave {

// `now` is the processor's state in each.

// For the start of a frame; xsave_size(xfrm) bytes of it count.
XsaveArea saved(const XsaveArea& now, uint64_t xfrm, const Features& features);
// After the exit: nothing of the enclave's is left. An exception of the floating point units leaves a trace.
XsaveArea after_exit(const XsaveArea& now, uint64_t xfrm, const Features& features, uint8_t exception_vector);
// XRSTOR would take it.
bool is_restorable(const XsaveHead& frame, uint64_t xfrm);
// What XRSTOR makes of a frame that is restorable.
XsaveArea restored(const XsaveArea& now, const XsaveArea& frame, uint64_t xfrm, const Features& features);

}  // namespace alcove::sgx::xsave
