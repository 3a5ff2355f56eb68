// SPDX-License-Identifier: Apache-2.0
//
// Whether this machine's KVM carries an ordinary guest: tried once a boot and kernel, remembered in the
// user's cache folder, because a trial takes up to seconds where KVM is slow.
#pragma once

#include <functional>
#include <string>

#include "host/capabilities.hpp"

namespace alcove::cli {

using GuestTrialFunction = std::function<host::GuestTrial()>;

// $XDG_CACHE_HOME/alcove/kvm-trial.json, else below $HOME/.cache; "" when neither is set.
std::string kvm_trial_file();

// Runs the trial, and remembers what it found if it found anything.
host::GuestTrial try_and_remember(const GuestTrialFunction& try_guest, const std::string& file);

// What was remembered since this kernel booted, else a new trial. A file that cannot be read or written only
// costs a trial.
host::GuestTrial remembered_trial(const GuestTrialFunction& try_guest, const std::string& file);

}  // namespace alcove::cli
