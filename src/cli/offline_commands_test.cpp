// SPDX-License-Identifier: Apache-2.0
//
// The commands that need no host: images, documents, explanations.
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "attestation/test_chain.hpp"
#include "cli/captured_test.hpp"
#include "codec/hex.hpp"
#include "eif/raw_image.hpp"
#include "eif/test_support.hpp"
#include "support/endian.hpp"

namespace alcove::cli {
namespace {

// What the image builder looks at of a bzImage: the boot protocol's magic and a version text.
std::string small_kernel() {
    std::string kernel(2048, '\0');
    kernel.replace(0x202, 4, "HdrS");
    kernel[0x20f] = 0x04;  // version text at 0x600
    kernel.replace(0x600, 8, "6.12-abc");
    return kernel;
}

class ImageCommands : public testing::Test {
  protected:
    ImageCommands() {
        kernel_ = folder_.write("vmlinuz", small_kernel());
        init_ = folder_.write("init", "the init", 0755);
        folder_.write("app/bin/serve", "#!/bin/sh\n", 0755);
    }
    std::vector<std::string> build_arguments(const std::string& output) {
        std::vector<std::string> arguments = {
            "image", "build",  "--kernel", kernel_,    "--init",
            init_,   "--name", "web",      "--output", folder_.path(output)};
        arguments.insert(arguments.end(), application_.begin(), application_.end());
        return arguments;
    }
    Captured build(const std::string& output, std::vector<std::string> more = {}) {
        auto arguments = build_arguments(output);
        arguments.insert(arguments.end(), more.begin(), more.end());
        arguments.insert(arguments.end(), {"--", "/bin/serve"});
        return call(arguments);
    }
    // A signer who is valid now: verify looks at the clock.
    void write_signer() {
        auto key = crypto::PrivateKey::generate(crypto::Curve::P384).value();
        crypto::CertificatePlan plan;
        plan.subject.common_name = "signer";
        plan.not_before = std::chrono::system_clock::now() - std::chrono::hours(1);
        plan.not_after = plan.not_before + std::chrono::hours(24);
        const auto certificate = crypto::issue_certificate(plan, key.public_key(), key, nullptr).value();
        const auto key_pem = key.to_pem().value();
        folder_.write("key.pem", as_text(key_pem.view()), 0600);
        folder_.write("cert.pem", certificate.to_pem().value());
    }
    std::string content(const std::string& name) {
        const auto bytes = sys::read_file(folder_.path(name), 64 << 20).value();
        return std::string(as_text(bytes));
    }

    ScratchFolder folder_;
    std::string kernel_;
    std::string init_;
    std::vector<std::string> application_ = {"--directory", folder_.path("app")};
};

TEST(HostCommands, AShellsOutputIsNoJson) {
    EXPECT_EQ(call({"host", "shell", "--json", "--", "true"}).json()["error"]["code"], "E02");
}

TEST_F(ImageCommands, AnImageIsBuiltDescribedAndVerified) {
    const auto built = build("a.eif", {"--json"});
    ASSERT_EQ(built.exit, 0) << built.err;
    const auto pcr0 = built.json()["Measurements"]["PCR0"].get<std::string>();

    const auto described = call({"image", "describe", folder_.path("a.eif"), "--json"});
    const auto verified = call({"image", "verify", "--image", folder_.path("a.eif"), "--json"});
    const auto pcr = call({"image", "pcr", folder_.path("a.eif"), "--json"});

    EXPECT_EQ(described.json()["Measurements"]["PCR0"], pcr0);
    EXPECT_EQ(described.json()["ImageName"], "web");
    EXPECT_EQ(verified.exit, 0);
    EXPECT_EQ(verified.json()["verified"], true);
    EXPECT_EQ(verified.json()["signed"], false);
    EXPECT_EQ(pcr.json()["PCR0"], pcr0);
    EXPECT_NE(call({"image", "describe", folder_.path("a.eif")}).out.find("6.12-abc"), std::string::npos);
}

TEST_F(ImageCommands, TheSameInputsGiveTheSameBytes) {
    ASSERT_EQ(build("a.eif").exit, 0);
    ASSERT_EQ(build("b.eif").exit, 0);

    EXPECT_EQ(content("a.eif"), content("b.eif"));
}

TEST_F(ImageCommands, AnApplicationInATarGivesTheSameBytesAsItsDirectory) {
    ASSERT_EQ(build("a.eif").exit, 0);
    const auto tar = folder_.path("app.tar");
    const auto packed =
        std::system(("tar -C " + folder_.path("app") + " -cf " + tar + " ./bin/serve").c_str());
    ASSERT_EQ(packed, 0);
    application_ = {"--tar", tar};

    const auto built = build("b.eif");

    ASSERT_EQ(built.exit, 0) << built.err;
    EXPECT_EQ(content("a.eif"), content("b.eif"));
}

TEST_F(ImageCommands, AFailedBuildLeavesTheOldImageAndNothingElse) {
    ASSERT_EQ(build("a.eif").exit, 0);
    const auto before = content("a.eif");

    const auto failed = build("a.eif", {"--cmdline", "console=ttyS0\nmore"});

    EXPECT_EQ(failed.exit, 1);
    EXPECT_NE(failed.err.find("error E38 command-line-invalid"), std::string::npos) << failed.err;
    EXPECT_NE(failed.err.find("remedy: "), std::string::npos);
    EXPECT_EQ(content("a.eif"), before);
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path(".")))
        files += entry.path().string().find(".new-") != std::string::npos ? 1 : 0;
    EXPECT_EQ(files, 0U);
}

TEST_F(ImageCommands, BadInputsHaveTheirErrors) {
    EXPECT_NE(call({"image", "describe", folder_.path("none"), "--json"}).json()["error"]["code"], nullptr);
    EXPECT_EQ(call({"image", "describe", folder_.path("none")}).exit, 1);
    EXPECT_NE(call({"image", "describe", kernel_}).err.find("E30"), std::string::npos);
    kernel_ = init_;
    EXPECT_NE(build("a.eif").err.find("E36"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(folder_.path("a.eif")));
}

TEST_F(ImageCommands, ATamperedImageIsNotVerified) {
    ASSERT_EQ(build("a.eif").exit, 0);
    auto image = content("a.eif");
    image.back() = static_cast<char>(image.back() ^ 1);
    folder_.write("a.eif", image);

    const auto verified = call({"image", "verify", folder_.path("a.eif"), "--json"});

    EXPECT_EQ(verified.exit, 3);
    EXPECT_EQ(verified.json()["verified"], false);
    EXPECT_EQ(verified.json()["error"]["code"], "E32");
}

TEST_F(ImageCommands, AnImageWithWrongMetadataIsNotVerified) {
    auto raw = eif::RawImage::usual();
    raw.parts[2].payload = eif::text_bytes("[]");
    folder_.write("a.eif", as_text(raw.assemble()));

    const auto verified = call({"image", "verify", folder_.path("a.eif"), "--json"});

    EXPECT_EQ(verified.exit, 3);
    EXPECT_EQ(verified.json()["error"]["code"], "E40");
}

TEST_F(ImageCommands, AnImageIsSignedInPlace) {
    ASSERT_EQ(build("a.eif").exit, 0);
    write_signer();

    const auto signed_now = call({"image", "sign", folder_.path("a.eif"), "--key", folder_.path("key.pem"),
                                  "--cert", folder_.path("cert.pem"), "--json"});
    const auto verified = call({"image", "verify", folder_.path("a.eif"), "--json"});
    const auto certificate = call({"image", "pcr", "--certificate", folder_.path("cert.pem"), "--json"});

    ASSERT_EQ(signed_now.exit, 0) << signed_now.err;
    EXPECT_EQ(verified.json()["signed"], true);
    EXPECT_EQ(verified.json()["Measurements"]["PCR8"], certificate.json()["PCR8"]);
    EXPECT_EQ(signed_now.json()["Measurements"]["PCR8"], certificate.json()["PCR8"]);
}

TEST_F(ImageCommands, AnImageIsSignedWhileItIsBuilt) {
    write_signer();

    const auto built =
        build("a.eif", {"--sign-key", folder_.path("key.pem"), "--sign-cert", folder_.path("cert.pem")});

    ASSERT_EQ(built.exit, 0) << built.err;
    EXPECT_EQ(call({"image", "verify", folder_.path("a.eif"), "--json"}).json()["signed"], true);
    EXPECT_NE(built.out.find("PCR8"), std::string::npos);
}

TEST_F(ImageCommands, ThePcrOfAFileIsTheSameAsItsContents) {
    const auto input = folder_.write("data", "");

    const auto pcr = call({"image", "pcr", "--input", input, "--json"});

    // H(Z || H("")): the PCR2 of an image with one ramdisk.
    EXPECT_EQ(pcr.json()["PCR"].get<std::string>().substr(0, 32), "21b9efbc184807662e966d34f3908213");
}

class AttestCommands : public testing::Test {
  protected:
    AttestCommands()
        : chain_(attestation::TestChain::make(attestation::HostKind::Production,
                                              std::chrono::system_clock::now())) {
        const Bytes nonce = {0xaa, 0xbb};
        const auto document =
            chain_.document({.user_data = {}, .nonce = nonce, .public_key = {}},
                            attestation::TestChain::pcrs(), std::chrono::system_clock::now());
        folder_.write("document", as_text(document));
        folder_.write("root.pem", chain_.root.to_pem().value());
    }
    Captured verify(std::vector<std::string> more = {}) {
        std::vector<std::string> arguments = {
            "attest", "verify", "--document", folder_.path("document"), "--root", folder_.path("root.pem"),
            "--json"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return call(arguments);
    }

    ScratchFolder folder_;
    attestation::TestChain chain_;
};

TEST_F(AttestCommands, AGenuineDocumentIsVerified) {
    const auto verified = verify({"--nonce", "AABB", "--pcr", "0=" + codec::hex_encode(Bytes(48, 0x10))});

    EXPECT_EQ(verified.exit, 0) << verified.out;
    EXPECT_EQ(verified.json()["verified"], true);
    EXPECT_EQ(verified.json()["document"]["nonce"], "aabb");
}

TEST_F(AttestCommands, WhatIsNotAsDemandedHasExitCodeThree) {
    EXPECT_EQ(verify({"--nonce", "aabc"}).exit, 3);
    EXPECT_EQ(verify({"--pcr", "0=00"}).exit, 3);
    EXPECT_EQ(verify({"--at", "2001-01-01T00:00:00Z"}).exit, 3);
    const auto other = attestation::TestChain::make();
    folder_.write("root.pem", other.root.to_pem().value());
    const auto foreign = verify();
    EXPECT_EQ(foreign.exit, 3);
    EXPECT_EQ(foreign.json()["error"]["code"], "E74");
}

TEST_F(AttestCommands, ATamperedDocumentIsRefused) {
    auto document = std::string(as_text(sys::read_file(folder_.path("document"), 65536).value()));
    document[document.size() / 2] = static_cast<char>(document[document.size() / 2] ^ 1);
    folder_.write("document", document);

    EXPECT_EQ(verify().exit, 3);
}

TEST_F(AttestCommands, DemandsThatCannotBeReadAreUsageErrors) {
    EXPECT_EQ(verify({"--pcr", "99=00"}).exit, 2);
    EXPECT_EQ(verify({"--pcr", "0=00", "--pcr", "0=01"}).exit, 2);
    EXPECT_EQ(verify({"--at", "soon"}).exit, 2);
    EXPECT_NE(verify({"--nonce", "xyz"}).exit, 0);
}

TEST_F(AttestCommands, ARootCanBeGivenByItsFingerprint) {
    const auto fingerprint = codec::hex_encode(chain_.root.fingerprint());

    EXPECT_EQ(call({"attest", "verify", folder_.path("document"), "--root-fingerprint", fingerprint}).exit,
              0);
    EXPECT_EQ(
        call({"attest", "verify", folder_.path("document"), "--root-fingerprint", std::string(64, '0')}).exit,
        3);
}

TEST(Explain, ACodeIsExplained) {
    const auto by_code = call({"explain", "e33"});
    const auto by_name = call({"explain", "image-section", "--json"});
    const auto all = call({"explain", "--json"});

    EXPECT_NE(by_code.out.find("What to do:"), std::string::npos);
    EXPECT_EQ(by_name.json()["code"], "E33");
    EXPECT_GT(all.json()["errors"].size(), 50U);
    EXPECT_EQ(call({"explain", "E999"}).exit, 1);
}

TEST(Version, TheVersionIsTold) {
    EXPECT_EQ(call({"version"}).out, std::string("alcove ") + ALCOVE_VERSION + "\n");
    EXPECT_EQ(call({"version", "--json"}).json()["version"], ALCOVE_VERSION);
    EXPECT_EQ(call({"--version"}).exit, 0);
}

TEST(Usage, AWrongCallIsAnObjectWithJson) {
    const auto wrong = call({"enclave", "fly", "--json"});

    EXPECT_EQ(wrong.exit, 2);
    EXPECT_EQ(wrong.json()["error"]["code"], "E02");
}

TEST(HostCheck, ReportsWhatATriedGuestSaid) {
    const auto check = call({"host", "check", "--json", "--host", "embedded"},
                            {.open_host = {},
                             .try_guest =
                                 [] {
                                     return host::GuestTrial{.ran = host::Answer::Yes,
                                                             .failed_step = {},
                                                             .reason = {},
                                                             .timed_loop = {},
                                                             .plain_exit = {}};
                                 },
                             .kvm_device = "/dev/kvm"});

    ASSERT_EQ(check.exit, 0) << check.err;
    EXPECT_EQ(check.json()["host"], "embedded");
    const bool opens = check.json()["kvm"]["device_opens"] == "yes";
    EXPECT_EQ(check.json()["guest"]["ran"], opens ? "yes" : "not tried");
}

// Whether this machine's KVM is taken for usable when its device is `device` and nobody could try a guest.
bool is_usable(const std::string& device) {
    ::setenv("XDG_CACHE_HOME", "/nonexistent", 1);
    const ProgramParts parts{
        .open_host = {}, .try_guest = [] { return host::GuestTrial(); }, .kvm_device = device};
    const bool usable = select_host(HostChoice::Auto, parts).kvm_usable();
    ::unsetenv("XDG_CACHE_HOME");
    return usable;
}

TEST(SelectHost, AnAbsentKvmIsNotUsableAndOneThatNobodyCouldTryIs) {
    EXPECT_FALSE(is_usable("/nonexistent/kvm"));
    EXPECT_TRUE(is_usable("/dev/null"));
}

}  // namespace
}  // namespace alcove::cli
