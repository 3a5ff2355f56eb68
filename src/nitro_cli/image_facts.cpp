// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/image_facts.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

#include "eif/describe.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

using codec::json::Json;

constexpr codec::json::Limits kLimits{.bytes = 4_MiB, .depth = 64};

// In the child: whatever else was open is the parent's business.
void close_all_but(int one, int other) {
    const auto low = static_cast<unsigned>(std::min(one, other));
    const auto high = static_cast<unsigned>(std::max(one, other));
    if (low > STDERR_FILENO + 1) ::close_range(STDERR_FILENO + 1, low - 1, 0);
    if (high > low + 1) ::close_range(low + 1, high - 1, 0);
    ::close_range(high + 1, ~0U, 0);
}

int describe_into(const Fd& image, const Fd& output) {
    const auto facts = describe_image(image);
    if (!facts) {
        log::error("measuring the image: {}", facts.error().to_string());
        return 1;
    }
    return sys::write_all(output, as_byte_view(codec::json::dump(*facts))) ? 0 : 1;
}

Result<Bytes> read_to_end(const Fd& fd) {
    Bytes bytes;
    Bytes piece(64_KiB);
    while (bytes.size() <= kLimits.bytes) {
        const auto got = TRY(sys::read_some(fd, piece));
        if (got.bytes == 0) return bytes;
        bytes.insert(bytes.end(), piece.begin(), piece.begin() + static_cast<long>(got.bytes));
    }
    return fail(ErrorCode::LimitExceeded, "more than an image's description can be");
}

Result<Json> read_facts(const Fd& output) {
    const auto text = TRY(read_to_end(output));
    return codec::json::parse(as_text(text), kLimits);
}

}  // namespace

Result<Json> describe_image(const Fd& image) {
    const uint64_t size = TRY(sys::file_size(image));
    const auto file = TRY(Mapping::read_only(image, size));
    const auto parsed = TRY(eif::Image::parse(file.bytes()));
    const auto measurements = eif::measure(parsed);
    return eif::nitro_description_json(eif::describe(parsed, measurements, std::chrono::system_clock::now()));
}

Result<ImageFacts> ImageFacts::begin(const Fd& image) {
    auto pipe = TRY(sys::pipe());
    const pid_t child = ::fork();
    if (child < 0) return fail_errno(errno, "fork");
    if (child == 0) {
        close_all_but(image.get(), pipe.second.get());
        ::_exit(describe_into(image, pipe.second));
    }
    return ImageFacts(child, std::move(pipe.first));
}

ImageFacts::ImageFacts(ImageFacts&& other) noexcept
    : child_(std::exchange(other.child_, 0)),
      output_(std::move(other.output_)),
      facts_(std::move(other.facts_)) {}

ImageFacts::~ImageFacts() {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    reap();
}

void ImageFacts::reap() {
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
    child_ = 0;
}

const Json& ImageFacts::get() {
    if (child_ == 0) return facts_;
    auto facts = read_facts(output_);
    reap();
    facts_ = facts ? std::move(facts).value() : Json::object();
    return facts_;
}

}  // namespace alcove::nitro_cli
