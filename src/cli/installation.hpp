// SPDX-License-Identifier: Apache-2.0
//
// Where Alcove's own files are: named by the environment, else beside the running program (a build tree or
// any prefix), else in /usr/lib/alcove.
#pragma once

#include <string>

#include "support/result.hpp"

namespace alcove::cli {

// $ALCOVE_INIT: the enclave's first program.
Result<std::string> find_init();
// $ALCOVE_KERNEL_ROOT: an extracted Debian kernel package, with boot/ and lib/modules/.
Result<std::string> find_kernel_root();
// $ALCOVE_CHECK_GUEST: what tries whether KVM carries an ordinary guest.
Result<std::string> find_check_guest();
// $ALCOVE_HOST_ROOT: what the embedded host boots from, `kernel` and `initrd`, as testhost/build_root makes
// it.
Result<std::string> find_host_root();

// $ALCOVE_EGRESS: the program alcove-egress.
Result<std::string> find_egress();

// The value of an environment variable; "" when it is not set.
std::string environment(const char* name);

}  // namespace alcove::cli
