/* SPDX-License-Identifier: Apache-2.0
 *
 * Halts with interrupts on, none of which is ever asked for: a guest that will not end by itself and uses no
 * processor time.
 */
#include "pvh.inc"

    .code32
pvh_entry:
    sti
1:
    hlt
    jmp 1b
