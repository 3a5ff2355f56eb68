// SPDX-License-Identifier: Apache-2.0
//
// Where the device's commands go. The device knows registers; who owns which page is known elsewhere, by a
// process that the primary can not take over.
#pragma once

#include <functional>

#include "ne/request.hpp"

namespace alcove::ne {

// On the event loop's thread throughout. Nothing here blocks it.
class Backend {
  public:
    using Done = std::function<void(const Reply& reply)>;

    virtual ~Backend() = default;

    // One command at a time: the next comes after `done`, or after a release. `done` is called once, from
    // within execute() or later, with a reply whose rc is_valid_rc(); not at all if release_all() came first
    // and ended the command.
    virtual void execute(const Request& request, Done done) = 0;

    // Ends the command in hand, stops and frees every slot of this primary, and has everything back in the
    // primary. Can not fail. `released` is called once, after which no earlier `done` is.
    virtual void release_all(std::function<void()> released) = 0;
};

}  // namespace alcove::ne
