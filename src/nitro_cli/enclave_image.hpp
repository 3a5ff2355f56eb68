// SPDX-License-Identifier: Apache-2.0
//
// The image of an enclave that is to be started: looked at before, and put where the hypervisor looks for it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "crypto/certificate.hpp"
#include "ne_driver/huge_pages.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

class EnclaveImage {
  public:
    static Result<EnclaveImage> open(const std::string& path);  // FileOperation

    const Fd& file() const { return file_; }
    uint64_t size() const { return size_; }

    // The enclave needs four times its image (nitro.md 2.4): InsufficientMemoryRequested.
    Result<void> check_memory(uint64_t memory_bytes) const;
    // EifParsing, or SignatureChecker when there is a signature and it is not its certificate's, or the
    // certificate is not valid at `time`. Measuring is left to the hypervisor: it would take as long as the
    // start.
    Result<void> check(crypto::TimePoint time) const;
    // Into the pages in a row, from `offset` on. MemoryOverflow; EifParsing when the file became shorter.
    Result<void> load(const std::vector<ne_driver::HugePage>& pages, uint64_t offset) const;

  private:
    EnclaveImage(Fd file, std::string path, uint64_t size)
        : file_(std::move(file)), path_(std::move(path)), size_(size) {}
    Fd file_;
    std::string path_;
    uint64_t size_;
};

}  // namespace alcove::nitro_cli
