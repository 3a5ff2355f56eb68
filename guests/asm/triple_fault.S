/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes an exception with an empty IDT. The first fault can not be delivered, nor the second: shutdown.
 */
#include "pvh.inc"

    .code32
pvh_entry:
    lidt empty_idt
    ud2

empty_idt:
    .word 0
    .long 0
