// SPDX-License-Identifier: Apache-2.0
//
// Lets another program's computation judge ours (sgx_vectors_test.py).
//
//   alcove_sgx_probe build FILE         builds an enclave from a description and prints what came of it
//   alcove_sgx_probe sign PEM FILE OUT  signs the SIGSTRUCT in FILE
//
// A description is a SECS, a SIGSTRUCT, and for each page its offset (8 bytes), SECINFO flags (8 bytes), the
// chunks to extend (2 bytes, a bit each) and its contents.
#include <cstdio>
#include <string>

#include "codec/hex.hpp"
#include "crypto/aes.hpp"
#include "sgx/enclave_maker.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;
using namespace alcove::sgx;

struct PageRecord {
    Le64 offset;
    Le64 flags;
    Le16 chunks;
    PageBytes contents;
};
static_assert(sizeof(PageRecord) == 18 + kPageSize);

int complain(const Error& error) {
    std::fprintf(stderr, "%s\n", error.to_string().c_str());
    return 1;
}

void print(const char* name, ByteView value) {
    std::printf("%s %s\n", name, codec::hex_encode(value).c_str());
}
void print(const char* name, const Answer& answer) {
    if (answer.fault)
        std::printf("%s fault %u\n", name, unsigned{answer.fault->vector});
    else
        std::printf("%s %llu\n", name, static_cast<unsigned long long>(answer.rax));
}

// A report to itself, and the key to check it with, from inside.
void print_report(EnclaveMaker& maker, const SECS& secs, uint64_t tcs, uint64_t data) {
    auto& cpu = maker.cpu();
    print("eenter", maker.enter(tcs));
    if (!cpu.processor().is_inside()) return;
    TARGETINFO target{};
    target.MEASUREMENT = maker.cpu().machine().engine().report().enclaves.front().mrenclave;
    target.ATTRIBUTES = secs.ATTRIBUTES;
    target.ATTRIBUTES.FLAGS = secs.ATTRIBUTES.FLAGS | attributes::INIT;
    target.MISCSELECT = secs.MISCSELECT;
    if (!cpu.store(data, object_bytes(target))) return;
    print("ereport", maker.enclu(Enclu::EREPORT, data, data + 512, data + 1024));
    REPORT report{};
    if (!cpu.load(data + 1024, {reinterpret_cast<uint8_t*>(&report), sizeof report})) return;
    print("report", object_bytes(report));
    KEYREQUEST request{};
    request.KEYNAME = static_cast<uint16_t>(KeyName::REPORT_KEY);
    request.KEYID = report.KEYID;
    if (!cpu.store(data, object_bytes(request))) return;
    print("egetkey", maker.enclu(Enclu::EGETKEY, data, data + 1024));
    Key128 key{};
    if (cpu.load(data + 1024, key)) print("key", key);
}

int build(const std::string& path) {
    const auto file = sys::read_file(path, 4_MiB);
    if (!file) return complain(file.error());
    const auto secs = read_object<SECS>(*file);
    const auto sigstruct = read_object<SIGSTRUCT>(*file, sizeof(SECS));
    if (!secs || !sigstruct) return 2;
    FakeMachine machine;
    FakeCpu cpu(machine, 0);
    EnclaveMaker maker(cpu);
    print("ecreate", maker.ecreate(PageIndex{0}, *secs));
    uint32_t page = 1;
    uint64_t tcs = 0;
    uint64_t data = 0;
    for (uint64_t at = sizeof(SECS) + sizeof(SIGSTRUCT); at < file->size();
         at += sizeof(PageRecord), ++page) {
        const auto record = read_object<PageRecord>(*file, at);
        if (!record) return 2;
        const uint64_t linear = secs->BASEADDR + record->offset;
        print("eadd", maker.eadd(PageIndex{page}, PageIndex{0}, linear, record->flags, record->contents));
        for (uint32_t chunk = 0; chunk < 16; ++chunk)
            if ((record->chunks >> chunk & 1) != 0)
                print("eextend", maker.encls(Encls::EEXTEND, epc_linear(PageIndex{0}),
                                             epc_linear(PageIndex{page}) + chunk * kChunkSize));
        machine.map_epc(linear, PageIndex{page});
        if (record->flags == secinfo::pt(PageType::TCS)) tcs = linear;
        if ((record->flags & secinfo::W) != 0) data = linear;
    }
    const Measurement mrsigner = mrsigner_of(*sigstruct);
    for (uint32_t i = 0; i < 4; ++i)
        cpu.processor().write_msr(0x8c + i, *read_object<Le64>(mrsigner, 8 * i));
    print("einit", maker.einit(PageIndex{0}, *sigstruct));
    const auto report = machine.engine().report();
    if (report.enclaves.empty() || !report.enclaves.front().initialized) return 0;
    print("mrenclave", report.enclaves.front().mrenclave);
    print("mrsigner", report.enclaves.front().mrsigner);
    print_report(maker, *secs, tcs, data);
    return 0;
}

int sign_file(const std::string& key_path, const std::string& path, const std::string& output) {
    const auto pem = sys::read_file(key_path, 1_MiB);
    if (!pem) return complain(pem.error());
    const auto file = sys::read_file(path, 1_MiB);
    if (!file) return complain(file.error());
    const auto key = crypto::Rsa3PrivateKey::from_pem(as_text(*pem));
    if (!key) return complain(key.error());
    auto sigstruct = read_object<SIGSTRUCT>(*file);
    if (!sigstruct) return 2;
    if (const auto done = sign(*sigstruct, *key); !done) return complain(done.error());
    const auto written = sys::replace_file(output, object_bytes(*sigstruct), 0644);
    return written ? 0 : complain(written.error());
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "build" && argc == 3) return build(argv[2]);
    if (command == "sign" && argc == 5) return sign_file(argv[2], argv[3], argv[4]);
    std::fprintf(stderr, "usage: alcove_sgx_probe build FILE | sign PEM FILE OUT\n");
    return 2;
}
