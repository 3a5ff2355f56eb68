// SPDX-License-Identifier: Apache-2.0
//
// The commands that need no enclave, from arguments to exit codes.
#include "nitro_cli/image_commands.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/captured_test.hpp"
#include "eif/raw_image.hpp"
#include "eif/test_support.hpp"
#include "nitro_cli/program.hpp"

namespace alcove::nitro_cli {
namespace {

using testing::HasSubstr;

class ImageCommands : public testing::Test {
  protected:
    ImageCommands() { image_ = folder_.write("a.eif", as_text(eif::RawImage::usual().assemble())); }
    cli::Captured nitro_cli(const std::vector<std::string>& arguments) {
        return cli::capture([&](const cli::Streams& streams) {
            return run_program(arguments, streams, []() -> Result<std::unique_ptr<EnclaveHost>> {
                return alcove::fail(ErrorCode::Internal, "no host is needed");
            });
        });
    }
    void write_signer(std::chrono::hours age) {
        auto key = crypto::PrivateKey::generate(crypto::Curve::P384).value();
        crypto::CertificatePlan plan;
        plan.subject.common_name = "signer";
        plan.not_before = std::chrono::system_clock::now() - age;
        plan.not_after = plan.not_before + std::chrono::hours(24);
        const auto certificate = crypto::issue_certificate(plan, key.public_key(), key, nullptr).value();
        const auto key_pem = key.to_pem().value();
        folder_.write("key.pem", as_text(key_pem.view()), 0600);
        folder_.write("cert.pem", certificate.to_pem().value());
    }

    cli::ScratchFolder folder_;
    std::string image_;
};

TEST_F(ImageCommands, AnImageIsDescribed) {
    const auto described = nitro_cli({"describe-eif", "--eif-path", image_});

    ASSERT_EQ(described.exit, 0) << described.err;
    EXPECT_EQ(described.json()["EifVersion"], 4);
    EXPECT_EQ(described.json()["CheckCRC"], true);
    EXPECT_EQ(described.json()["IsSigned"], false);
    EXPECT_EQ(nitro_cli({"describe-eif", "--eif-path", "/nowhere"}).exit, 35);
    EXPECT_EQ(nitro_cli({"describe-eif", "--eif-path", folder_.write("x", "no image")}).exit, 35);
}

TEST_F(ImageCommands, AnImageIsSignedInPlaceAndItsCertificateMeasured) {
    write_signer(std::chrono::hours(1));

    const auto signed_image =
        nitro_cli({"sign-eif", "--eif-path", image_, "--private-key", folder_.path("key.pem"),
                   "--signing-certificate", folder_.path("cert.pem")});

    ASSERT_EQ(signed_image.exit, 0) << signed_image.err;
    EXPECT_THAT(signed_image.err, HasSubstr("successfully signed"));
    const auto described = nitro_cli({"describe-eif", "--eif-path", image_}).json();
    EXPECT_EQ(described["IsSigned"], true);
    EXPECT_EQ(described["SignatureCheck"], true);
    EXPECT_EQ(described["Measurements"], signed_image.json()["Measurements"]);
    const auto pcr = nitro_cli({"pcr", "--signing-certificate", folder_.path("cert.pem")});
    EXPECT_EQ(pcr.json()["PCR8"], described["Measurements"]["PCR8"]);
}

TEST_F(ImageCommands, SigningFailsWithItsCode) {
    write_signer(std::chrono::hours(1));
    EXPECT_EQ(nitro_cli({"sign-eif", "--private-key", "k", "--signing-certificate", "c"}).exit, 1);
    EXPECT_EQ(nitro_cli({"sign-eif", "--eif-path", image_}).exit, 60);
    EXPECT_EQ(nitro_cli({"sign-eif", "--eif-path", image_, "--private-key", "arn:aws:kms:x",
                         "--signing-certificate", folder_.path("cert.pem")})
                  .exit,
              60);
    EXPECT_EQ(nitro_cli({"sign-eif", "--eif-path", folder_.write("x", "x"), "--private-key",
                         folder_.path("key.pem"), "--signing-certificate", folder_.path("cert.pem")})
                  .exit,
              60);
}

TEST_F(ImageCommands, AFileIsMeasured) {
    const auto measured = nitro_cli({"pcr", "--input", folder_.write("abc", "abc")});

    ASSERT_EQ(measured.exit, 0);
    // SHA-384 of 48 zero bytes and SHA-384("abc"), computed with other software.
    EXPECT_EQ(
        measured.json()["PCR"],
        "93732e3733514a841c982cfa75ea76ab55fe011acb9cd980ef4523913c65be1b0998e04d77f8c174f81a82151619ca40");
    EXPECT_EQ(nitro_cli({"pcr", "--input", "/nowhere"}).exit, 19);
    EXPECT_EQ(nitro_cli({"pcr", "--signing-certificate", "/nowhere"}).exit, 19);
    EXPECT_EQ(nitro_cli({"pcr", "--signing-certificate", folder_.path("abc")}).exit, 57);
}

TEST_F(ImageCommands, BuildSaysWhatToUseInstead) {
    const auto pulled = nitro_cli({"build-enclave", "--docker-uri", "hello:v1", "--output-file", "a.eif"});
    EXPECT_EQ(pulled.exit, 50);
    EXPECT_THAT(pulled.err, HasSubstr("[ E50 ]"));
    EXPECT_THAT(pulled.err, HasSubstr("alcove image build"));
    EXPECT_EQ(
        nitro_cli({"build-enclave", "--docker-uri", "hello:v1", "--docker-dir", ".", "--output-file", "a"})
            .exit,
        49);
}

TEST_F(ImageCommands, CodesAreExplained) {
    const auto explained = nitro_cli({"explain", "--error-code", "E36"});
    EXPECT_EQ(explained.exit, 0);
    EXPECT_THAT(explained.err, HasSubstr("port 9000"));
    EXPECT_THAT(explained.err, HasSubstr("What to do"));
    const auto unknown = nitro_cli({"explain", "--error-code", "E99"});
    EXPECT_EQ(unknown.exit, 0);
    EXPECT_THAT(unknown.err, HasSubstr("no error E99"));
}

TEST_F(ImageCommands, TheProgramsNameDecides) {
    EXPECT_TRUE(is_called("nitro-cli"));
    EXPECT_TRUE(is_called("/usr/bin/nitro-cli"));
    EXPECT_FALSE(is_called("/usr/bin/alcove"));
    EXPECT_FALSE(is_called("./nitro-cli/alcove"));
    EXPECT_FALSE(is_called(""));
}

}  // namespace
}  // namespace alcove::nitro_cli
