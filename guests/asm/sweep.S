/* SPDX-License-Identifier: Apache-2.0
 *
 * Two processors that watch over memory while a host takes some of it away. `from=<MiB>` and `to=<MiB>` on the
 * command line give the window that is the host's to take, `ram=<MiB>` the end of RAM (at most 3072).
 *
 * All RAM from 4 MiB on, the window included, is filled with a pattern (pattern.inc). Then the first processor
 * reads what lies below the window and the second what lies above it, for ever, and compares. With `touch=1` the
 * second reads and writes the window instead, and compares nothing: what is there may be memory, new memory, or
 * none.
 *
 * Prints `filled`, then one `.` for each sweep of the first processor and one `:` for each of the second; for the
 * first eight bytes of a sweep that are not as they were, a line `wrong <address> <value>` (hexadecimal).
 */
#include "long_mode.inc"
#include "pattern.inc"
#include "processors.inc"
#include "start_info.inc"

#define SWEEP_START (4 << 20)
#define PAGE 4096

guest_main:
    lea from_key, %rsi
    call command_line_mebibytes
    mov %rax, window_start
    lea to_key, %rsi
    call command_line_mebibytes
    mov %rax, window_end
    lea ram_key, %rsi
    call command_line_mebibytes
    mov %rax, ram_end
    xor %eax, %eax
    lea touch_key, %rsi
    call command_line_number
    mov %eax, touches

    mov $SWEEP_START, %edi
    mov ram_end, %rsi
    call fill_pattern
    say "filled\n"
    call prepare_processors
    mov $1, %r13d
    call start_processor

    mov $SWEEP_START, %r12d
    mov window_start, %rsi
    mov $'.', %r14d
    jmp sweep_for_ever

/* R12: start, RSI: end, R14: the character. */
sweep_for_ever:
    mov %r12, %rdi
    call check_pattern
    mov %r14d, %eax
    call print_char
    jmp sweep_for_ever

/* One word of each page, read and written back changed. */
touch_for_ever:
    mov window_start, %rdi
.Ltouch_next:
    mov 8(%rdi), %rax
    not %rax
    mov %rax, 8(%rdi)
    add $PAGE, %rdi
    cmp window_end, %rdi
    jb .Ltouch_next
    mov $':', %al
    call print_char
    jmp touch_for_ever

processor_started:
    cmpl $0, touches
    jne touch_for_ever
    mov window_end, %r12
    mov ram_end, %rsi
    mov $':', %r14d
    jmp sweep_for_ever

    .section .rodata
from_key:
    .asciz "from="
to_key:
    .asciz "to="
ram_key:
    .asciz "ram="
touch_key:
    .asciz "touch="

    .bss
    .balign 16
window_start:
    .skip 8
window_end:
    .skip 8
ram_end:
    .skip 8
touches:
    .skip 4
