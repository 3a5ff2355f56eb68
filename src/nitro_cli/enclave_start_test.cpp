// SPDX-License-Identifier: Apache-2.0
//
// The steps of a start against a driver that keeps its rules.
#include "nitro_cli/enclave_start.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eif/image_writer.hpp"
#include "eif/test_support.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/machine_fake.hpp"

namespace alcove::nitro_cli {
namespace {

using ne_driver::FakeDriver;
using ne_driver::FakePages;
using testing::ElementsAre;
using testing::HasSubstr;

class EnclaveStart : public testing::Test {
  protected:
    EnclaveStart() : port_(machine_.port()), caller_(sys::socket_pair(SOCK_STREAM).value()) {
        request_.eif_path = machine_.image();
        request_.memory_mib = 64;
        request_.cpu_count = 2;
        // The enclave comes up.
        driver_.when_started([this](FakeDriver::State& state) {
            port_.set_peer(state.cid);
            beats_.emplace_back([this] { port_.beat(); });
        });
    }
    ~EnclaveStart() override {
        for (auto& beat : beats_)
            beat.join();
    }
    Result<StartedEnclave> start() {
        return start_enclave(
            request_, {.driver = driver_, .pages = pages_, .heartbeat = port_, .places = machine_.places()},
            caller_.first, [&](const std::string& line) { said_.push_back(line); });
    }
    FailureCode failure() {
        const auto started = start();
        EXPECT_FALSE(started);
        message_ = started.error().to_string();
        return code_of(started.error());
    }

    FakeMachine machine_;
    FakeDriver driver_{{2, 3}, 0x18c2f31a5c07d2e};
    FakePages pages_{{{32_MiB, 1}, {2_MiB, 40}}};
    FakePort port_;
    sys::Pair caller_;
    RunRequest request_;
    std::vector<std::string> said_;
    std::vector<std::thread> beats_;
    std::string message_;
};

TEST_F(EnclaveStart, AnEnclaveIsMadeStepByStep) {
    auto started = start();

    ASSERT_TRUE(started) << started.error().to_string();
    const auto& view = started->view;
    EXPECT_EQ(view.name, "tiny");
    EXPECT_EQ(view.id, "i-0123456789abcdef0-enc18c2f31a5c07d2e");
    EXPECT_EQ(view.memory_mib, 64U);
    EXPECT_THAT(view.cpu_ids, ElementsAre(2U, 3U));
    EXPECT_EQ(view.state, State::Running);
    EXPECT_THAT(said_, ElementsAre("Start allocating memory...",
                                   "Started enclave with enclave-cid: " + std::to_string(view.cid) +
                                       ", memory: 64 MiB, cpu-ids: [2, 3]"));
    EXPECT_EQ(started->facts.get()["Measurements"]["PCR0"].get<std::string>().size(), 96U);
    started->enclave.reset();
    EXPECT_TRUE(driver_.state(0).freed);
}

TEST_F(EnclaveStart, MemoryIsGivenFromLargeToSmallAndTheImageLiesInIt) {
    auto started = start();

    ASSERT_TRUE(started);
    const auto& state = driver_.state(0);
    EXPECT_EQ(state.regions.size(), 17U);
    EXPECT_EQ(state.regions.front(), 32_MiB);
    EXPECT_EQ(state.regions.back(), 2_MiB);
    const auto image = sys::read_file(machine_.image(), 1_MiB).value();
    EXPECT_TRUE(std::equal(image.begin(), image.end(), state.memory.begin() + 8_MiB));
    EXPECT_EQ(state.memory[0], 0);
}

TEST_F(EnclaveStart, AnImageOverManyPagesIsWhole) {
    auto raw = eif::RawImage::usual();
    raw.parts.back().payload.assign(11_MiB + 123, 0x5a);
    const auto file = raw.assemble();
    request_.eif_path = machine_.folder().write("large.eif", as_text(file));
    pages_ = FakePages({{2_MiB, 40}});

    auto started = start();

    ASSERT_TRUE(started) << started.error().to_string();
    EXPECT_TRUE(std::equal(file.begin(), file.end(), driver_.state(0).memory.begin() + 8_MiB));
}

TEST_F(EnclaveStart, NamedCpusAndAContextIdAreAskedFor) {
    request_.cpu_ids = {3};
    request_.cid = 20;
    request_.debug = true;

    auto started = start();

    ASSERT_TRUE(started) << started.error().to_string();
    EXPECT_THAT(driver_.state(0).vcpus, ElementsAre(3U));
    EXPECT_EQ(started->view.cid, 20U);
    EXPECT_EQ(driver_.state(0).mode, ne_driver::Mode::Debug);
}

TEST_F(EnclaveStart, MemoryLessThanFourImagesIsRefusedBeforeAnythingIsTaken) {
    auto raw = eif::RawImage::usual();
    raw.parts.back().payload.assign(17_MiB, 1);
    request_.eif_path = machine_.folder().write("large.eif", as_text(raw.assemble()));

    EXPECT_EQ(failure(), FailureCode::InsufficientMemoryRequested);

    EXPECT_THAT(message_, HasSubstr("at least 72 MiB"));
    EXPECT_EQ(driver_.created(), 0U);
}

TEST_F(EnclaveStart, WhatIsMissingIsToldByItsCode) {
    auto request = request_;
    request_.eif_path = "/nowhere/a.eif";
    EXPECT_EQ(failure(), FailureCode::FileOperation);
    request_.eif_path = machine_.folder().write("no.eif", "no image");
    EXPECT_EQ(failure(), FailureCode::EifParsing);
    request_ = request;
    request_.cpu_count = 3;
    EXPECT_EQ(failure(), FailureCode::InsufficientCpus);
    request_ = request;
    request_.memory_mib = 0;
    EXPECT_EQ(failure(), FailureCode::InsufficientMemoryRequested);
    EXPECT_EQ(driver_.created(), 0U);
}

TEST_F(EnclaveStart, TooFewHugePagesGiveEverythingBack) {
    request_.memory_mib = 1024;

    EXPECT_EQ(failure(), FailureCode::InsufficientMemoryAvailable);

    EXPECT_TRUE(driver_.state(0).freed);
    EXPECT_FALSE(driver_.state(0).started);
}

TEST_F(EnclaveStart, TheDriversRefusalsNameTheCallAndTheReason) {
    request_.cpu_count = 0;
    EXPECT_EQ(failure(), FailureCode::Ioctl);
    EXPECT_THAT(message_,
                HasSubstr("NE_START_ENCLAVE: the enclave was given no vCPU (NE_ERR_NO_VCPUS_ADDED)"));
    request_.cpu_count = 1;
    request_.memory_mib = 32;
    pages_ = FakePages({{2_MiB, 40}});
    EXPECT_EQ(failure(), FailureCode::Ioctl);
    EXPECT_THAT(message_, HasSubstr("NE_ERR_ENCLAVE_MEM_MIN_SIZE"));
    driver_.limit_regions(3);
    pages_ = FakePages({{2_MiB, 40}});
    EXPECT_EQ(failure(), FailureCode::Ioctl);
    EXPECT_THAT(message_, HasSubstr("NE_ERR_MEM_MAX_REGIONS"));
    EXPECT_EQ(driver_.pool_size(), 2U);
}

TEST_F(EnclaveStart, AnEnclaveThatDiesEarlyIsFreedAndReported) {
    driver_.when_started([](FakeDriver::State& state) { state.end.reset(); });

    EXPECT_EQ(failure(), FailureCode::EnclaveBoot);

    EXPECT_THAT(message_, HasSubstr("ended before its heartbeat"));
    EXPECT_TRUE(driver_.state(0).freed);
    EXPECT_EQ(driver_.pool_size(), 2U);
}

TEST_F(EnclaveStart, ASignatureHasToBeValidNow) {
    const auto sign = [&](const eif::TestSigner& signer) {
        const auto file = eif::RawImage::usual().assemble();
        const Fd output = sys::memfd("image").value();
        eif::sign_image(eif::Image::parse(file).value(), signer.view(), output).value();
        request_.eif_path = machine_.folder().write("signed.eif", as_text(eif::content_of(output)));
    };
    sign(eif::TestSigner::make());  // of ten days in the past
    EXPECT_EQ(failure(), FailureCode::SignatureChecker);
    EXPECT_EQ(driver_.created(), 0U);

    auto key = crypto::PrivateKey::generate(crypto::Curve::P384).value();
    crypto::CertificatePlan plan;
    plan.subject.common_name = "signer";
    plan.not_before = std::chrono::system_clock::now() - std::chrono::hours(1);
    plan.not_after = plan.not_before + std::chrono::hours(24);
    auto certificate = crypto::issue_certificate(plan, key.public_key(), key, nullptr).value();
    sign({std::move(key), std::move(certificate)});
    auto started = start();
    ASSERT_TRUE(started) << started.error().to_string();
    EXPECT_TRUE(started->facts.get()["Measurements"].contains("PCR8"));
}

}  // namespace
}  // namespace alcove::nitro_cli
