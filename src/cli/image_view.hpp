// SPDX-License-Identifier: Apache-2.0
//
// What is known of an image, as text. Pure. The JSON is eif's own, with nitro-cli's names.
#pragma once

#include <optional>
#include <string>

#include "eif/describe.hpp"

namespace alcove::cli {

// "PCR0  <hex>" and so on; PCR8 only of a signed image.
std::string render_measurements(const eif::Measurements& measurements, const std::optional<eif::Pcr>& pcr8);
std::string render_description(const std::string& file, const eif::ImageDescription& description);

}  // namespace alcove::cli
