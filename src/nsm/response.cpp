// SPDX-License-Identifier: Apache-2.0
#include "nsm/response.hpp"

#include <bit>

#include "codec/cbor_writer.hpp"

namespace alcove::nsm::response {

namespace {

using codec::cbor::Writer;

// The interface's version, as AWS's module says it.
constexpr uint32_t kVersionMajor = 1;
constexpr uint32_t kVersionMinor = 0;
constexpr uint32_t kVersionPatch = 0;

Bytes bare(std::string_view name) {
    Writer writer;
    writer.text(name);
    return std::move(writer).take();
}

Bytes one_field(std::string_view name, std::string_view field, ByteView value) {
    Writer writer;
    writer.map(1).text(name).map(1).text(field).bytes(value);
    return std::move(writer).take();
}

}  // namespace

Bytes describe_pcr(bool lock, const PcrValue& data) {
    Writer writer;
    writer.map(1).text("DescribePCR").map(2).text("lock").boolean(lock).text("data").bytes(data);
    return std::move(writer).take();
}

Bytes extend_pcr(const PcrValue& data) {
    return one_field("ExtendPCR", "data", data);
}

Bytes lock_pcr() {
    return bare("LockPCR");
}

Bytes lock_pcrs() {
    return bare("LockPCRs");
}

Bytes describe_nsm(std::string_view module_id, uint32_t max_pcrs, uint32_t locked_pcrs) {
    Writer writer;
    writer.map(1).text("DescribeNSM").map(7);
    writer.text("version_major").unsigned_integer(kVersionMajor);
    writer.text("version_minor").unsigned_integer(kVersionMinor);
    writer.text("version_patch").unsigned_integer(kVersionPatch);
    writer.text("module_id").text(module_id);
    writer.text("max_pcrs").unsigned_integer(max_pcrs);
    writer.text("locked_pcrs").array(static_cast<size_t>(std::popcount(locked_pcrs)));
    for (unsigned index = 0; index < 32; ++index)
        if ((locked_pcrs >> index & 1) != 0) writer.unsigned_integer(index);
    writer.text("digest").text("SHA384");
    return std::move(writer).take();
}

Bytes attestation(ByteView document) {
    return one_field("Attestation", "document", document);
}

Bytes get_random(ByteView random) {
    return one_field("GetRandom", "random", random);
}

Bytes error(NsmStatus status) {
    Writer writer;
    writer.map(1).text("Error").text(nsm_status_name(status));
    return std::move(writer).take();
}

}  // namespace alcove::nsm::response
