// SPDX-License-Identifier: Apache-2.0
//
// Bytes that must not stay behind in memory: they move, never copy, and are overwritten when they go.
#pragma once

#include "support/bytes.hpp"

namespace alcove::crypto {

// Overwrites, in a way no optimizer removes.
void cleanse(MutableByteView bytes);

class SecretBytes {
  public:
    SecretBytes() = default;
    explicit SecretBytes(Bytes bytes) : bytes_(std::move(bytes)) {}  // the vector's own storage is taken over
    SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
    SecretBytes& operator=(SecretBytes&& other) noexcept {
        if (this != &other) {
            cleanse(bytes_);
            bytes_ = std::move(other.bytes_);
            other.bytes_.clear();
        }
        return *this;
    }
    SecretBytes(const SecretBytes&) = delete;
    SecretBytes& operator=(const SecretBytes&) = delete;
    ~SecretBytes() { cleanse(bytes_); }

    ByteView view() const { return bytes_; }

  private:
    Bytes bytes_;
};

}  // namespace alcove::crypto
