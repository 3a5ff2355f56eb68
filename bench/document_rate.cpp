// SPDX-License-Identifier: Apache-2.0
//
// document_rate FOLDER SECONDS: attestation documents a second at the attestor alone, with throw-away keys in
// FOLDER.
#include "attestor/document_rate.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
    using namespace alcove;
    if (argc != 3) {
        std::fputs("usage: document_rate FOLDER SECONDS\n", stderr);
        return 2;
    }
    const auto rate = attestor::measure_document_rate(argv[1], std::chrono::seconds(std::atoi(argv[2])));
    if (!rate) {
        std::fprintf(stderr, "document_rate: %s\n", rate.error().to_string().c_str());
        return 1;
    }
    std::printf("%.1f\n", rate->per_second());
    return 0;
}
