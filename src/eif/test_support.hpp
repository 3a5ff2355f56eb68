// SPDX-License-Identifier: Apache-2.0
//
// For tests: a key with a self-signed certificate, a folder of files, and the content of a file that was
// just written.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include <unistd.h>

#include "crypto/certificate.hpp"
#include "crypto/key.hpp"
#include "eif/signature.hpp"
#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/system.hpp"

namespace alcove::eif {

// 2024-01-01, the middle of every test certificate's ten days.
inline crypto::TimePoint test_time() {
    return crypto::TimePoint(std::chrono::seconds(1704067200));
}

struct TestSigner {
    crypto::PrivateKey key;
    crypto::Certificate certificate;

    ImageSigner view() const { return {certificate, key}; }

    static TestSigner make(crypto::Curve curve = crypto::Curve::P384) {
        auto key = crypto::PrivateKey::generate(curve).value();
        crypto::CertificatePlan plan;
        plan.subject.country = "XX";
        plan.subject.organization = "Test";
        plan.subject.common_name = "signer";
        plan.not_before = test_time() - std::chrono::hours(5 * 24);
        plan.not_after = test_time() + std::chrono::hours(5 * 24);
        auto certificate = crypto::issue_certificate(plan, key.public_key(), key, nullptr).value();
        return {std::move(key), std::move(certificate)};
    }
};

inline Bytes content_of(const Fd& file) {
    Bytes content(sys::file_size(file).value());
    sys::read_exact_at(file, content, 0).value();
    return content;
}

// A folder of its own, gone with the object.
class TestFolder {
  public:
    TestFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "alcove-eif-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~TestFolder() { std::filesystem::remove_all(path_); }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;

    const std::string& path() const { return path_; }
    std::string write(const std::string& name, std::string_view content, mode_t mode = 0644) const {
        const std::string path = path_ + "/" + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        sys::replace_file(path, as_byte_view(content), mode).value();
        return path;
    }

  private:
    std::string path_;
};

}  // namespace alcove::eif
