// SPDX-License-Identifier: Apache-2.0
//
// Which sections an image of a version may have, how often, and in which order. Reader and writer ask the
// same object, one section after the other, so that nothing is written that would not be read.
//
// The order is stricter than the format's text: kernel before command line before ramdisks, as every known
// builder writes them. PCR0 is defined over that order, and readers that hash in file order would see
// another measurement in an image that has another one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "eif/spec.hpp"
#include "support/result.hpp"

namespace alcove::eif {

class SectionRules {
  public:
    explicit SectionRules(uint16_t version) : version_(version) {}

    // The next section in file order. ImageSection when it must not be there; then it was not counted.
    Result<SectionType> next(uint16_t type, uint64_t size);
    // Whether anything is missing.
    Result<void> end() const;

    size_t ramdisks() const { return ramdisks_; }

  private:
    uint16_t version_;
    bool kernel_ = false;
    bool command_line_ = false;
    size_t ramdisks_ = 0;
    bool signature_ = false;
    bool metadata_ = false;
};

}  // namespace alcove::eif
