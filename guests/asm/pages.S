/* SPDX-License-Identifier: Apache-2.0
 *
 * A processor that touches pages when it is told to. `from=<MiB>` and `to=<MiB>` on the command line give the
 * window. Its orders are 32-bit words that the host writes at ORDER, each another than the one before; the last
 * two bits say what to do:
 *
 *   1  write one word of each page of the window
 *   2  read one word of each page
 *
 * Prints `ready`, then one `.` for each order that was carried out. It waits without leaving the guest.
 */
#include "long_mode.inc"
#include "start_info.inc"

#define ORDER (3 << 20)
#define PAGE 4096

guest_main:
    lea from_key, %rsi
    call command_line_mebibytes
    mov %rax, %r12
    lea to_key, %rsi
    call command_line_mebibytes
    mov %rax, %r13
    xor %ebx, %ebx
    say "ready\n"

wait_for_order:
    pause
    mov ORDER, %eax
    cmp %ebx, %eax
    je wait_for_order
    mov %eax, %ebx
    mov %r12, %rdi
    and $3, %eax
    cmp $1, %eax
    je .Lwrite_next
.Lread_next:
    mov (%rdi), %rax
    add $PAGE, %rdi
    cmp %r13, %rdi
    jb .Lread_next
    jmp .Ldone
.Lwrite_next:
    mov %rdi, %rax
    not %rax
    mov %rax, (%rdi)
    add $PAGE, %rdi
    cmp %r13, %rdi
    jb .Lwrite_next
.Ldone:
    mov $'.', %al
    call print_char
    jmp wait_for_order

    .section .rodata
from_key:
    .asciz "from="
to_key:
    .asciz "to="
