/* SPDX-License-Identifier: Apache-2.0
 *
 * Resets through the register that the machine's FADT names (ACPI 6.5, 4.8.3.6 "Reset Register").
 */
#include "pvh.inc"

/* The FADT's RESET_VALUE. */
#define RESET_VALUE 1

    .code32
pvh_entry:
    mov $RESET_VALUE, %al
    mov $ACPI_RESET, %dx
    out %al, %dx
    halt_for_ever
