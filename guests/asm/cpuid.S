/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints what CPUID says: one line a leaf, `leaf subleaf eax ebx ecx edx`, each with 8 hexadecimal digits. Leaves
 * that have subleaves are asked for all of 0 to 63, and those without content are left out.
 */
#include "long_mode.inc"

#define SUBLEAVES 64
/* More leaves than this in one group is a wrong answer, not a processor. */
#define MOST_LEAVES 0x100

guest_main:
    mov $0x00000000, %r12d
    call print_group
    mov $0x40000000, %r12d
    call print_group
    mov $0x80000000, %r12d
    call print_group
    say "done\n"
    ret

/* R12D: the first leaf, whose EAX names the last. */
print_group:
    mov %r12d, %eax
    xor %ecx, %ecx
    cpuid
    mov %eax, %r13d
    mov %eax, %edx
    sub %r12d, %edx
    cmp $MOST_LEAVES, %edx
    jbe .Lnext_leaf
    /* A group that is not there answers anything: print its first leaf only. */
    mov %r12d, %r13d
.Lnext_leaf:
    call print_leaf
    cmp %r13d, %r12d
    je .Lgroup_done
    inc %r12d
    jmp .Lnext_leaf
.Lgroup_done:
    ret

/* R12D: the leaf. */
print_leaf:
    xor %r14d, %r14d
    mov $indexed_leaves, %esi
.Lis_indexed:
    cmp $indexed_leaves_end, %esi
    je print_subleaf
    cmp (%rsi), %r12d
    je .Lnext_subleaf
    add $4, %esi
    jmp .Lis_indexed
.Lnext_subleaf:
    call print_subleaf
    inc %r14d
    cmp $SUBLEAVES, %r14d
    jb .Lnext_subleaf
    ret

/* R12D: leaf, R14D: subleaf. Beyond subleaf 0 only those with content: EDX is not looked at because leaf 0xb
 * gives the APIC id there in every subleaf, nor the low byte of ECX, which repeats the subleaf. */
print_subleaf:
    mov %r12d, %eax
    mov %r14d, %ecx
    cpuid
    mov %eax, %r8d
    mov %ebx, %r9d
    mov %ecx, %r10d
    mov %edx, %r11d
    test %r14d, %r14d
    jz .Lprint
    mov %ecx, %edi
    and $0xffffff00, %edi
    or %eax, %edi
    or %ebx, %edi
    jz .Lempty
.Lprint:
    mov %r12d, %eax
    call print_hex32
    call print_space
    mov %r14d, %eax
    call print_hex32
    call print_space
    mov %r8d, %eax
    call print_hex32
    call print_space
    mov %r9d, %eax
    call print_hex32
    call print_space
    mov %r10d, %eax
    call print_hex32
    call print_space
    mov %r11d, %eax
    call print_hex32
    call print_newline
.Lempty:
    ret

    .section .rodata
    .balign 4
indexed_leaves:
    .long 0x04, 0x07, 0x0b, 0x0d, 0x0f, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1b, 0x1d, 0x1f, 0x20, 0x23
    .long 0x8000001d, 0x80000020, 0x80000026
indexed_leaves_end:
