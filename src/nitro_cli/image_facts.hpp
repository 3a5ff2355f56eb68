// SPDX-License-Identifier: Apache-2.0
//
// What describe-eif says of an image, found out beside everything else: measuring takes as long as a small
// enclave's boot. A process of its own does it, because somebody who shortens a file that is mapped kills who
// reads it, and whoever accompanies an enclave has to live as long as it.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

// The same at once.
Result<codec::json::Json> describe_image(const Fd& image);

class ImageFacts {
  public:
    // To be called before anything is opened that must not stay open in another process a moment longer.
    static Result<ImageFacts> begin(const Fd& image);
    ImageFacts(ImageFacts&& other) noexcept;
    ImageFacts& operator=(ImageFacts&&) = delete;
    ImageFacts(const ImageFacts&) = delete;
    ImageFacts& operator=(const ImageFacts&) = delete;
    ~ImageFacts();

    // Waits for them the first time. An empty object when they were not to be had.
    const codec::json::Json& get();

  private:
    ImageFacts(pid_t child, Fd output) : child_(child), output_(std::move(output)) {}
    void reap();
    pid_t child_;  // 0: ended
    Fd output_;
    codec::json::Json facts_;
};

}  // namespace alcove::nitro_cli
