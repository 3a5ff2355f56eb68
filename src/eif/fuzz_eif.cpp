// SPDX-License-Identifier: Apache-2.0
//
// An image from anybody: read, measure, describe, verify, and what is signed, section by section. An image
// that is read has to be written again with the same measurements.
#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "eif/describe.hpp"
#include "eif/image_writer.hpp"
#include "eif/verify.hpp"
#include "support/check.hpp"
#include "support/system.hpp"

namespace alcove::eif {
namespace {

void rewrite(const Image& image, const Measurements& measurements) {
    static const Fd output = sys::memfd("fuzz").value();
    sys::truncate(output, 0).value();
    ImageWriter writer(output, {.version = image.version(), .architecture = image.architecture()});
    for (const Section& section : image.sections())
        ALCOVE_CHECK(writer.add(section.type, section.payload), "what is read can be written");
    const auto written = writer.finish();
    ALCOVE_CHECK(written && written->pcr0 == measurements.pcr0 && written->pcr1 == measurements.pcr1 &&
                     written->pcr2 == measurements.pcr2,
                 "a rewritten image has the same measurements");
}

}  // namespace
}  // namespace alcove::eif

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    using namespace alcove::eif;
    const crypto::TimePoint time{std::chrono::seconds(1704067200)};
    const ByteView bytes(data, size);
    // The parts that a checksum or a header would keep most inputs from.
    (void)ImageSignature::parse(bytes);
    (void)Metadata::parse(bytes);

    const auto image = Image::parse_prefix(bytes);
    if (!image) return 0;
    const Measurements measurements = measure(*image);
    (void)codec::json::dump(description_json(describe(*image, measurements, time)));
    (void)verify_image(*image, measurements, time);
    rewrite(*image, measurements);
    return 0;
}
