// SPDX-License-Identifier: Apache-2.0
//
// A SECS as the contents of a page, for the time that it is evicted: what software knows of it in the
// manual's places, what only the processor knows in bytes that are reserved.
#pragma once

#include <memory>

#include "sgx/epcm.hpp"
#include "sgx/page_sealer.hpp"

namespace alcove::sgx {

PageBytes to_page(const Enclave& enclave);
// Of a page that was authenticated: nothing in it is checked.
std::unique_ptr<Enclave> enclave_from_page(const PageBytes& page);

}  // namespace alcove::sgx
