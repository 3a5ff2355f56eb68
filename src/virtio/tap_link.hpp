// SPDX-License-Identifier: Apache-2.0
//
// A link to a tap interface of the host. Whoever opened it (the VMM may not) has made it so: IFF_TAP and
// IFF_NO_PI, without IFF_VNET_HDR, and attached it to a bridge or a namespace.
#pragma once

#include <memory>

#include "virtio/net_link.hpp"

namespace alcove::virtio {

class TapLink : public DescriptorLink {
  public:
    static Result<std::unique_ptr<TapLink>> create(EventLoop& loop, Fd tap);

    bool send(ByteView frame) override;
    std::optional<size_t> receive(MutableByteView into) override;

  private:
    using DescriptorLink::DescriptorLink;
};

}  // namespace alcove::virtio
