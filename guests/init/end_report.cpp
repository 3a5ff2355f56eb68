// SPDX-License-Identifier: Apache-2.0
//
// The text of the report, apart from the sockets that carry it, so that it is tested without them.
#include <sys/wait.h>

#include "init/parent_link.hpp"

namespace alcove::init {

std::string end_report(int wait_status) {
    if (WIFSIGNALED(wait_status)) return "signal " + std::to_string(WTERMSIG(wait_status)) + "\n";
    return "exit " + std::to_string(WEXITSTATUS(wait_status)) + "\n";
}

}  // namespace alcove::init
