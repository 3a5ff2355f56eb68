// SPDX-License-Identifier: Apache-2.0
//
// The part of the cgroup v2 tree that is ours. Groups are named by their path below it: ".", "<vm>",
// "<vm>/vmm". Names come from this program and from checked ids only.
#pragma once

#include <string>
#include <vector>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::broker {

class Cgroups {
  public:
    // Makes <root>/alcove, if it is not there, with the controllers we need, and lets VMs below it take
    // whole CPUs for themselves where the kernel can do that.
    static Result<Cgroups> open(const std::string& root);
    // A tree that is there.
    explicit Cgroups(Fd directory) : directory_(std::move(directory)) {}
    Cgroups(Cgroups&&) = default;
    virtual ~Cgroups() = default;

    // The kernel makes and removes files with a group, and judges what is written; a fake tree does that by
    // itself.
    virtual Result<void> make(const std::string& group);  // with controllers for its children; AlreadyExists
    virtual Result<void> remove(const std::string& group);  // NotFound; Busy while there are processes
    virtual Result<void> write(const std::string& file, std::string_view text) const;  // "<vm>/memory.max"
    // Gives its children the controllers that we use; it can have no processes of its own then.
    Result<void> delegate(const std::string& group) const;
    Result<std::vector<std::string>> children(const std::string& group) const;
    Result<std::string> read(const std::string& file) const;
    Result<Fd> open_file(const std::string& file, int flags) const;
    // Whether the kernel can swap at all, or has anything to swap to: /proc/swaps has a line below its
    // heading.
    virtual bool host_swaps() const;

  protected:
    Fd directory_;
};

}  // namespace alcove::broker
