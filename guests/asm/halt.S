/* SPDX-License-Identifier: Apache-2.0
 *
 * Halts with interrupts off, as Linux does that was told to halt: nothing can wake it.
 */
#include "pvh.inc"

    .code32
pvh_entry:
    halt_for_ever
