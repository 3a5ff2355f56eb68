// SPDX-License-Identifier: Apache-2.0
//
// Everything with state is a state unit. Reset is what a machine reset does to it; saving and restoring
// join here when snapshots come.
#pragma once

#include <string_view>

namespace alcove::bus {

class StateUnit {
  public:
    virtual ~StateUnit() = default;
    virtual std::string_view name() const = 0;  // stable for ever: saved state is filed under it
    virtual void reset() = 0;
};

}  // namespace alcove::bus
