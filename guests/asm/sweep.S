/* SPDX-License-Identifier: Apache-2.0
 *
 * Two processors that watch over memory while a host takes some of it away. `from=<MiB>` and `to=<MiB>` on the
 * command line give the window that is the host's to take, `ram=<MiB>` the end of RAM (at most 3072).
 *
 * All RAM from 4 MiB on, the window included, is filled with a pattern: each eight bytes hold their address
 * times a large odd number. Then the first processor reads what lies below the window and the second what lies
 * above it, for ever, and compares. With `touch=1` the second reads and writes the window instead, and compares
 * nothing: what is there may be memory, new memory, or none.
 *
 * Prints `filled`, then one `.` for each sweep of the first processor and one `:` for each of the second; for the
 * first eight bytes of a sweep that are not as they were, a line `wrong <address> <value>` (hexadecimal).
 */
#include "long_mode.inc"
#include "processors.inc"
#include "start_info.inc"

#define SWEEP_START (4 << 20)
#define PATTERN_FACTOR 0x9e3779b97f4a7c15
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

    call fill
    say "filled\n"
    call start_other

    mov $SWEEP_START, %r12d
    mov window_start, %r13
    mov $'.', %r14d
    jmp sweep_for_ever

fill:
    mov $SWEEP_START, %edi
    mov $PATTERN_FACTOR, %rbx
    mov %rdi, %rax
    imul %rbx, %rax
    /* The product of the next address is this one's plus 8 factors. */
    shl $3, %rbx
.Lfill_next:
    mov %rax, (%rdi)
    add %rbx, %rax
    add $8, %rdi
    cmp ram_end, %rdi
    jb .Lfill_next
    ret

/* R12: start, R13: end, R14: the character. */
sweep_for_ever:
    call sweep
    mov %r14d, %eax
    call print_char
    jmp sweep_for_ever

sweep:
    mov %r12, %rdi
    mov $PATTERN_FACTOR, %rbx
    mov %rdi, %rax
    imul %rbx, %rax
    shl $3, %rbx
.Lsweep_next:
    mov (%rdi), %rdx
    cmp %rax, %rdx
    jne .Lwrong
    add %rbx, %rax
    add $8, %rdi
    cmp %r13, %rdi
    jb .Lsweep_next
    ret
/* What was read, and not what is there a moment later. */
.Lwrong:
    say "wrong "
    mov %rdi, %rax
    call print_hex64
    call print_space
    mov %rdx, %rax
    call print_hex64
    call print_newline
    ret

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

start_other:
    call prepare_processors
    mov $1, %r13d
    mov $ICR_INIT_ASSERT, %eax
    call send_message
    call short_wait
    mov $ICR_STARTUP(TRAMPOLINE >> 12), %eax
    call send_message
    call short_wait
    /* For a processor that missed the first. */
    mov $ICR_STARTUP(TRAMPOLINE >> 12), %eax
    call send_message
    call short_wait
    ret

processor_started:
    cmpl $0, touches
    jne touch_for_ever
    mov window_end, %r12
    mov ram_end, %r13
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
