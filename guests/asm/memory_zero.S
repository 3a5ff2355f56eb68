/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks at every page of RAM in the PVH memory map and says whether it is zero, but for this image and the
 * structures that the loader handed over. A machine that gives a guest somebody's old memory fails here.
 *
 * Prints `memory ok <pages>` (decimal, pages looked at), or `memory <address> <value>` (hexadecimal) for the
 * first eight bytes that are not zero. With `mark=1` on the command line it fills each page that it has looked at with
 * MARK, so that whoever has the memory next can be asked for it.
 */
#include "long_mode.inc"
#include "mark.inc"
#include "start_info.inc"

#define PAGE 4096
#define LARGE_PAGE (1 << 21)
#define ROOM_FOR_RANGES 64

/* RAM is seen through one movable 2 MiB page at this address, so that it may lie anywhere. */
#define WINDOW (1 << 39)

guest_main:
    mov %rdi, %r15
    xor %eax, %eax
    lea mark_key, %rsi
    call command_line_number
    mov %eax, marks
    call list_own_ranges

    movq $window_pdpt + PAGE_TABLE_FLAGS, identity_pml4 + 8
    movq $window_pd + PAGE_TABLE_FLAGS, window_pdpt

    mov START_INFO_MEMMAP(%r15), %r14
    mov START_INFO_MEMMAP_ENTRIES(%r15), %r13d
    test %r13d, %r13d
    jz .Lno_map
.Lnext_entry:
    cmpl $MEMMAP_TYPE_RAM, MEMMAP_TYPE(%r14)
    jne .Lentry_done
    /* Whole pages only: R12 first, R11 end. */
    mov MEMMAP_ADDRESS(%r14), %r12
    mov %r12, %r11
    add MEMMAP_SIZE(%r14), %r11
    add $PAGE - 1, %r12
    and $-PAGE, %r12
    and $-PAGE, %r11
.Lnext_page:
    cmp %r11, %r12
    jae .Lentry_done
    call is_own_page
    jc .Lpage_done
    call check_page
    jc .Lnot_zero
    incq pages_checked
.Lpage_done:
    add $PAGE, %r12
    jmp .Lnext_page
.Lentry_done:
    add $MEMMAP_ENTRY_BYTES, %r14
    dec %r13d
    jnz .Lnext_entry

    say "memory ok "
    mov pages_checked, %rax
    call print_decimal
    call print_newline
    ret
.Lnot_zero:
    say "memory "
    mov %r12, %rax
    call print_hex64
    call print_space
    mov %rbx, %rax
    call print_hex64
    call print_newline
    ret
.Lno_map:
    say "memory map is missing\n"
    ret

/* R12: a page. Carry: it is not zero, R12 is the address of the first eight bytes and RBX is their value. */
check_page:
    mov %r12, %rax
    and $-LARGE_PAGE, %rax
    or $PAGE_TABLE_FLAGS | PAGE_LARGE, %rax
    mov $WINDOW, %rsi
    cmp %rax, window_pd
    je .Lwindow_there
    mov %rax, window_pd
    invlpg (%rsi)
.Lwindow_there:
    mov %r12, %rax
    and $LARGE_PAGE - 1, %rax
    add %rax, %rsi
    mov $PAGE / 64, %ecx
.Lnext_line:
    mov (%rsi), %rbx
    or 8(%rsi), %rbx
    or 16(%rsi), %rbx
    or 24(%rsi), %rbx
    or 32(%rsi), %rbx
    or 40(%rsi), %rbx
    or 48(%rsi), %rbx
    or 56(%rsi), %rbx
    jnz .Lfound
    add $64, %rsi
    loop .Lnext_line
    cmpl $0, marks
    je .Lpage_is_zero
    lea -PAGE(%rsi), %rdi
    mov $PAGE / 8, %ecx
    mov $MARK, %rax
    rep stosq
.Lpage_is_zero:
    clc
    ret
.Lfound:
    /* ECX lines are left of the page's 64: where in the page is this one? */
    mov $PAGE / 64, %eax
    sub %ecx, %eax
    shl $6, %eax
    add %rax, %r12
.Lnext_word:
    mov (%rsi), %rbx
    test %rbx, %rbx
    jnz .Lword_found
    add $8, %rsi
    add $8, %r12
    jmp .Lnext_word
.Lword_found:
    stc
    ret

/* R12: a page. Carry: a range of our own touches it. */
is_own_page:
    mov $own_ranges, %esi
    mov own_range_count, %ecx
    lea PAGE(%r12), %rax
.Lnext_range:
    cmp %rax, (%rsi)
    jae .Lother_range
    cmp %r12, 8(%rsi)
    ja .Lown_page
.Lother_range:
    add $16, %rsi
    loop .Lnext_range
    clc
    ret
.Lown_page:
    stc
    ret

/* Writes down this image and all that hvm_start_info (R15) leads to. */
list_own_ranges:
    mov $image_start, %eax
    mov $image_end, %ecx
    sub %eax, %ecx
    call add_range
    mov %r15, %rax
    mov $START_INFO_BYTES, %ecx
    call add_range
    mov START_INFO_MEMMAP(%r15), %rax
    imul $MEMMAP_ENTRY_BYTES, START_INFO_MEMMAP_ENTRIES(%r15), %ecx
    call add_range
    mov START_INFO_RSDP(%r15), %rax
    mov $36, %ecx
    call add_range

    mov START_INFO_CMDLINE(%r15), %rax
    test %rax, %rax
    jz .Lno_command_line
    xor %ecx, %ecx
.Lcommand_line_length:
    cmpb $1, (%rax, %rcx)
    inc %rcx
    jae .Lcommand_line_length
    call add_range
.Lno_command_line:

    mov START_INFO_MODLIST(%r15), %rbx
    mov START_INFO_NR_MODULES(%r15), %edx
    test %edx, %edx
    jz .Lno_modules
    mov %rbx, %rax
    imul $MODLIST_ENTRY_BYTES, %edx, %ecx
    call add_range
.Lnext_module:
    mov MODLIST_ADDRESS(%rbx), %rax
    mov MODLIST_SIZE(%rbx), %rcx
    call add_range
    add $MODLIST_ENTRY_BYTES, %rbx
    dec %edx
    jnz .Lnext_module
.Lno_modules:
    ret

/* RAX: address, RCX: bytes. More than there is room for are left out, and then reported as memory. */
add_range:
    mov own_range_count, %edi
    cmp $ROOM_FOR_RANGES, %edi
    jae .Lno_room
    shl $4, %edi
    mov %rax, own_ranges(%rdi)
    add %rcx, %rax
    mov %rax, own_ranges + 8(%rdi)
    incl own_range_count
.Lno_room:
    ret

    .section .rodata
mark_key:
    .asciz "mark="

    .bss
    .balign 4096
window_pdpt:
    .skip 4096
window_pd:
    .skip 4096
own_ranges:
    .skip ROOM_FOR_RANGES * 16
pages_checked:
    .skip 8
own_range_count:
    .skip 4
marks:
    .skip 4
