// SPDX-License-Identifier: Apache-2.0
//
// What enclave.S is to whoever builds and enters it: its pages, what it is asked in RDI, and what RSI points
// to then. The unikernel has it without an operating system, guests/sgx_program under Linux.
#pragma once

#include <cstdint>

#include "sgx/spec_report.hpp"
#include "sgx/spec_signature.hpp"

extern "C" {
struct EnclavePage {
    const uint8_t* source;
    uint64_t offset;
    uint64_t flags;  // SECINFO.FLAGS
};
constexpr uint64_t kEnclavePages = 14;
extern struct {
    uint64_t size, frame_pages, count;
    EnclavePage pages[kEnclavePages];
} enclave_layout;
extern alcove::sgx::SIGSTRUCT enclave_sigstruct;
}

constexpr uint64_t kSecret = 0x5ec2'e7ab'1e5e'c2e7;
constexpr uint64_t kDataPage =
    4;  // of the enclave's linear pages: TCS, two of SSA, code, data; the sum is its start

enum Command : uint64_t {
    kNothing,
    kAdd,
    kSum,
    kSpin,
    kRun,
    kLoad,
    kStore,
    kJump,
    kGuard,
    kHypercall,
    kReport,
    kGetKey,
    kAccept,
    kCompute,
    kSweep,
    kLook,
    kNested
};

// kReport
struct ReportIo {
    alcove::sgx::TARGETINFO target;
    alcove::sgx::REPORT report;

    // A report for an enclave of this image that is not open to debuggers.
    void ask() {
        namespace sgx = alcove::sgx;
        *this = {};
        target.MEASUREMENT = enclave_sigstruct.ENCLAVEHASH;
        target.ATTRIBUTES.FLAGS = sgx::attributes::INIT | sgx::attributes::MODE64BIT;
        target.ATTRIBUTES.XFRM = sgx::xcr0::X87 | sgx::xcr0::SSE;
    }
};

// kGetKey
struct KeyIo {
    alcove::sgx::KEYREQUEST request;
    uint64_t key[2];

    void ask(alcove::sgx::KeyName name, uint16_t policy, const alcove::sgx::KeyId& id) {
        request = {};
        request.KEYNAME = static_cast<uint16_t>(name);
        request.KEYPOLICY = policy;
        request.KEYID = id;
    }
};
