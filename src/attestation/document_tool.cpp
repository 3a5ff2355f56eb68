// SPDX-License-Identifier: Apache-2.0
//
// For verify_with_python.py: our maker and our verifier as a program, so that an implementation that shares
// no code with them can judge both.
//
//     document_tool make FOLDER                          writes document and root.der, of now
//     document_tool verify DOCUMENT ROOT.DER [SECONDS]   at that time or now; prints "verified", or the
//     error's code
//                                                        and text, and exits with 1
#include <cstdio>
#include <cstdlib>
#include <string>

#include "attestation/test_chain.hpp"
#include "attestation/verifier.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;

constexpr uint64_t kMaxFile = 1 << 20;

Result<void> make(const std::string& folder) {
    const auto now = std::chrono::system_clock::now();
    const auto chain = attestation::TestChain::make(attestation::HostKind::Production, now);
    auto pcrs = attestation::TestChain::pcrs();
    pcrs.extend(16, as_byte_view("first"));
    pcrs.extend(16, as_byte_view("second"));
    pcrs.lock(16);
    const auto nonce = as_byte_view("nonce");
    const auto document =
        chain.document({.user_data = ByteView{}, .nonce = nonce, .public_key = std::nullopt}, pcrs, now);
    TRY(sys::replace_file(folder + "/document", document, 0644));
    TRY(sys::replace_file(folder + "/root.der", chain.root.der(), 0644));
    return {};
}

Result<attestation::Verification> verify(const std::string& document, const std::string& root,
                                         const char* seconds) {
    const auto encoded = TRY(sys::read_file(document, kMaxFile));
    const auto der = TRY(sys::read_file(root, kMaxFile));
    attestation::Policy policy;
    auto certificate = TRY(crypto::Certificate::from_der(der));
    policy.root = std::move(certificate);
    policy.now = seconds != nullptr ? attestation::TimePoint(std::chrono::seconds(std::atoll(seconds)))
                                    : std::chrono::system_clock::now();
    return attestation::verify_document(encoded, policy);
}

int fail_with(const Error& error) {
    std::printf("%s %s\n", code_label(error.code()).c_str(), error.to_string().c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "make" && argc == 3) {
        const auto made = make(argv[2]);
        return made ? 0 : fail_with(made.error());
    }
    if (command == "verify" && (argc == 4 || argc == 5)) {
        const auto result = verify(argv[2], argv[3], argc == 5 ? argv[4] : nullptr);
        if (!result) return fail_with(result.error());
        if (!result->verified()) return fail_with(*result->error);
        std::puts("verified");
        return 0;
    }
    std::fputs("make FOLDER | verify DOCUMENT ROOT.DER [SECONDS]\n", stderr);
    return 2;
}
