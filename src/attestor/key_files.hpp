// SPDX-License-Identifier: Apache-2.0
//
// Private keys on disk: PEM files that nobody else may read. A key whose file is open to others counts as
// given away, so it is refused rather than repaired.
#pragma once

#include <string>

#include "crypto/secret.hpp"
#include "support/result.hpp"

namespace alcove::attestor {

// Who may have access to a key file beside its owner.
enum class Sharing { OwnerOnly, OwnerAndGroup };

// The whole of a small file in one buffer that is overwritten when it goes. ErrorCode::PermissionDenied when
// others may read or write it, or when it is a link.
Result<crypto::SecretBytes> read_key_file(const std::string& path, Sharing sharing);

// Makes the folder, 0700, when it is not there. ErrorCode::PermissionDenied when another user owns it or
// others may write into it.
Result<void> prepare_private_folder(const std::string& path);

}  // namespace alcove::attestor
