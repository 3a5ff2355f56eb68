/* SPDX-License-Identifier: Apache-2.0
 *
 * Powers off as an operating system does on hardware-reduced ACPI: writes the sleep type of S5 together with
 * the enable bit to the sleep control register (ACPI 6.5, 4.8.3.7 "Sleep Control and Status Registers").
 */
#include "pvh.inc"

#define SLP_EN (1 << 5)
#define SLP_TYP(type) ((type) << 2)
/* The S5 type that the machine's DSDT names in \_S5. */
#define S5_TYPE 5

    .code32
pvh_entry:
    mov $SLP_EN | SLP_TYP(S5_TYPE), %al
    mov $ACPI_SLEEP_CONTROL, %dx
    out %al, %dx
    halt_for_ever
