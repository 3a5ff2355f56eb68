// SPDX-License-Identifier: Apache-2.0
//
// The leaf functions, one a file or two in one (ELDB and ELDU, EDBGRD and EDBGWR). What all of a kind have in
// common before and after is leaf_table.hpp's.
#pragma once

#include <bit>

#include "sgx/call.hpp"

namespace alcove::sgx {

// ENCLS.
Outcome<void> ecreate(Call& call);
Outcome<void> eadd(Call& call);
Outcome<void> einit(Call& call);
Outcome<void> eremove(Call& call);
Outcome<void> edbgrd(Call& call);
Outcome<void> edbgwr(Call& call);
Outcome<void> eextend(Call& call);
Outcome<void> eldb(Call& call);
Outcome<void> eldu(Call& call);
Outcome<void> eblock(Call& call);
Outcome<void> epa(Call& call);
Outcome<void> ewb(Call& call);
Outcome<void> etrack(Call& call);
Outcome<void> eaug(Call& call);
Outcome<void> emodpr(Call& call);
Outcome<void> emodt(Call& call);

// ENCLU.
Outcome<void> ereport(Call& call);
Outcome<void> egetkey(Call& call);
Outcome<void> eenter(Call& call);
Outcome<void> eresume(Call& call);
Outcome<void> eexit(Call& call);
Outcome<void> eaccept(Call& call);
Outcome<void> emodpe(Call& call);
Outcome<void> eacceptcopy(Call& call);

}  // namespace alcove::sgx
