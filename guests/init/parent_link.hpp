// SPDX-License-Identifier: Apache-2.0
//
// What init tells the parent, over vsock: that it is up, and how the application ended. The first is AWS's
// boot heartbeat: connect to CID 3 port 9000, send 0xB7, get it back. The second is ours: connect to CID 3
// port 9001 and send one line of text.
#pragma once

#include <string>

#include "support/result.hpp"

namespace alcove::init {

// Repeats for ten seconds at most while the vsock device appears or nobody listens yet; then it is an Error,
// and the image is not one that can say it runs.
Result<void> send_heartbeat();

// `exit <code>\n` or `signal <number>\n` for a status of waitpid(2).
std::string end_report(int wait_status);

// Sends the line and waits until the listener has closed the connection, so that the machine does not end
// with the line still in a queue; two seconds at most. Nobody need listen, so there is nothing to return.
void report_end(int wait_status);

}  // namespace alcove::init
