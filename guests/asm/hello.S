/* SPDX-License-Identifier: Apache-2.0
 *
 * Says one line on the serial port and resets: the smallest guest that shows a working machine. It stays in
 * 32-bit protected mode, so that it needs neither page tables nor a stack.
 */
#include "pvh.inc"

    .code32
pvh_entry:
    mov $message, %esi
    mov $message_end - message, %ecx
    mov $COM1, %dx
    rep outsb
    reset_machine

message:
    .ascii "hello from a guest\n"
message_end:
