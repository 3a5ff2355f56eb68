// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/enclave_start.hpp"

#include <unistd.h>

#include "nitro_cli/cpu_choice.hpp"
#include "nitro_cli/enclave_image.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/process_client.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr uint64_t kMaxPoolText = 4_KiB;

Result<std::vector<uint32_t>> read_pool(const std::string& path) {
    const auto text = TRY(coded(FailureCode::FileOperation, sys::read_file(path, kMaxPoolText)));
    return parse_cpu_list(as_text(text));
}

// "[2, 3]"
std::string list_text(const std::vector<uint32_t>& ids) {
    std::string text = "[";
    for (const uint32_t id : ids)
        text += (text.size() > 1 ? ", " : "") + std::to_string(id);
    return text + "]";
}

// The image first: once a region is added, what it holds is the enclave's.
Result<void> give_memory(ne_driver::Enclave& enclave, const EnclaveImage& image,
                         const std::vector<ne_driver::HugePage>& pages) {
    const auto offset = TRY(coded(FailureCode::Ioctl, enclave.image_offset()));
    TRY(image.load(pages, offset));
    for (const auto& page : pages)
        TRY(coded(FailureCode::Ioctl, enclave.add_memory(page.bytes())));
    return {};
}

Result<std::vector<uint32_t>> give_vcpus(ne_driver::Enclave& enclave, const std::vector<uint32_t>& wishes) {
    std::vector<uint32_t> given;
    for (const uint32_t wish : wishes) {
        const auto id = TRY(coded(FailureCode::Ioctl, enclave.add_vcpu(wish)));
        given.push_back(id);
    }
    return given;
}

}  // namespace

Result<StartedEnclave> start_enclave(const RunRequest& request, const StartParts& parts, const Fd& caller,
                                     const std::function<void(const std::string&)>& say) {
    const auto image = TRY(EnclaveImage::open(request.eif_path));
    const auto pool = TRY(read_pool(parts.places.cpu_pool));
    const auto wishes = TRY(choose_cpus(request, pool));
    TRY(image.check_memory(request.memory_bytes()));
    TRY(image.check(std::chrono::system_clock::now()));
    auto facts = TRY(coded(FailureCode::ProcessSpawn, ImageFacts::begin(image.file())));

    auto enclave = TRY(coded(FailureCode::Ioctl, parts.driver.create_enclave()));
    EnclaveView view;
    view.id = parts.places.enclave_id(enclave->slot_uid());
    view.process_id = static_cast<uint64_t>(::getpid());
    view.debug = request.debug;
    say("Start allocating memory...");
    auto pages = TRY(coded(FailureCode::InsufficientMemoryAvailable,
                           ne_driver::take_pages(parts.pages, request.memory_bytes())));
    view.memory_mib = ne_driver::total_size(pages) / 1_MiB;
    TRY(give_memory(*enclave, image, pages));
    view.cpu_ids = TRY(give_vcpus(*enclave, wishes));
    view.cpu_count = view.cpu_ids.size();

    auto lock = TRY(StartLock::take(parts.places.lock_file(), caller));
    const auto taken = TRY(names_of_enclaves(parts.places));
    view.name = choose_name(request, taken);
    const auto patience = boot_patience(image.size(), view.memory_mib * 1_MiB);
    const auto listener = TRY(listen_for_heartbeat(parts.heartbeat, caller, patience));
    const auto mode = request.debug ? ne_driver::Mode::Debug : ne_driver::Mode::Production;
    view.cid = TRY(coded(FailureCode::Ioctl, enclave->start(mode, request.cid)));
    say("Started enclave with enclave-cid: " + std::to_string(view.cid) +
        ", memory: " + std::to_string(view.memory_mib) + " MiB, cpu-ids: " + list_text(view.cpu_ids));
    TRY(await_heartbeat(parts.heartbeat, {.listener = listener,
                                          .enclave = enclave->fd(),
                                          .caller = caller,
                                          .cid = view.cid,
                                          .patience = patience}));
    view.state = State::Running;
    return StartedEnclave{.facts = std::move(facts),
                          .pages = std::move(pages),
                          .enclave = std::move(enclave),
                          .view = std::move(view),
                          .lock = std::move(lock)};
}

}  // namespace alcove::nitro_cli
