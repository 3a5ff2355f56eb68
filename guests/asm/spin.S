/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs for ever without a single exit: only a signal to its vCPU's thread gets it out.
 */
#include "pvh.inc"

    .code32
pvh_entry:
    jmp pvh_entry
