// SPDX-License-Identifier: Apache-2.0
#include "attestor/session_store.hpp"

#include <algorithm>
#include <filesystem>

#include <unistd.h>

#include "attestor/key_files.hpp"
#include "codec/hex.hpp"
#include "support/system.hpp"

namespace alcove::attestor {

namespace {

constexpr std::string_view kSuffix = ".vm";

// The file, of one release and host: no other reads it.
struct StoredVm {
    static constexpr uint32_t kMagic = 0x534e4c41;  // "ALNS"
    static constexpr uint32_t kVersion = 2;

    Le32 magic = kMagic;                                                   // 0
    Le32 version = kVersion;                                               // 4
    api::VmId::Field vm_id;                                                // 8
    api::TextField<128> module_id;                                         // 72
    Le32 locked;                                                           // 200
    Le32 reserved;                                                         // 204
    std::array<uint8_t, 16> token_check;                                   // 208
    std::array<attestation::PcrValue, attestation::PcrBank::kCount> pcrs;  // 224
};
static_assert(sizeof(StoredVm) == 1760);

// The second half of the token's hash; the first is the file's name.
std::array<uint8_t, 16> check_of(const ResumeToken& token) {
    const auto hash = crypto::sha256(token);
    std::array<uint8_t, 16> half;
    std::copy(hash.begin() + 16, hash.end(), half.begin());
    return half;
}

// Takes as long for a wrong first byte as for a wrong last one.
bool is_same(const std::array<uint8_t, 16>& a, const std::array<uint8_t, 16>& b) {
    uint8_t difference = 0;
    for (size_t i = 0; i < a.size(); ++i)
        difference = static_cast<uint8_t>(difference | (a[i] ^ b[i]));
    return difference == 0;
}

}  // namespace

Result<SessionStore> SessionStore::open(std::string folder) {
    TRY(prepare_private_folder(folder));
    return SessionStore(std::move(folder));
}

std::string SessionStore::name_of(const ResumeToken& token) {
    return codec::hex_encode(ByteView(crypto::sha256(token)).first(16)) + std::string(kSuffix);
}

Result<void> SessionStore::save(const ResumeToken& token, const VmRecord& record) const {
    const StoredVm stored{.vm_id = api::VmId::Field::of(record.vm_id),
                          .module_id = api::TextField<128>::of(record.module_id),
                          .locked = record.pcrs.locked(),
                          .reserved = {},
                          .token_check = check_of(token),
                          .pcrs = record.pcrs.values()};
    return sys::replace_file(path_of(name_of(token)), object_bytes(stored), 0600);
}

Result<VmRecord> SessionStore::load(const ResumeToken& token) const {
    const auto path = path_of(name_of(token));
    const auto content = TRY(sys::read_file(path, sizeof(StoredVm)));
    const auto stored = read_object<StoredVm>(content);
    const auto damaged = fail(ErrorCode::InvalidMessage, path + " is damaged, or of another release");
    if (!stored || content.size() != sizeof(StoredVm) || stored->magic != StoredVm::kMagic ||
        stored->version != StoredVm::kVersion)
        return damaged;
    if (!is_same(stored->token_check, check_of(token)))
        return fail(ErrorCode::NotFound, "no VM has this token");
    const auto vm_id = TRY(api::VmId::parse(stored->vm_id));
    const auto module_id = stored->module_id.text();
    const auto pcrs = attestation::PcrBank::restore(stored->pcrs, stored->locked);
    if (!module_id || !pcrs) return damaged;
    return VmRecord{.vm_id = vm_id.text(), .module_id = std::string(*module_id), .pcrs = *pcrs};
}

void SessionStore::remove(const ResumeToken& token) const {
    remove_named(name_of(token));
}

void SessionStore::remove_named(const std::string& name) const {
    ::unlink(path_of(name).c_str());
    ::unlink(
        (path_of(name) + ".new").c_str());  // of a change that this process or a former one did not finish
}

Result<std::vector<std::string>> SessionStore::names() const {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
         at.increment(error)) {
        auto name = at->path().filename().string();
        if (name.ends_with(kSuffix)) names.push_back(std::move(name));
    }
    if (error) return fail_errno(error.value(), "reading " + folder_);
    return names;
}

}  // namespace alcove::attestor
