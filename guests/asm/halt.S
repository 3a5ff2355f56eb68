/* SPDX-License-Identifier: Apache-2.0
 *
 * Halts with interrupts off: a guest that will never end by itself and uses no processor time.
 */
#include "pvh.inc"

    .code32
pvh_entry:
    halt_for_ever
