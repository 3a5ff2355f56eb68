/* SPDX-License-Identifier: Apache-2.0
 *
 * A primary VM's kernel that carves by the letter: it drives the Nitro Enclaves device's registers itself (Linux 6.12,
 * drivers/virt/nitro_enclaves/ne_pci_dev.h) and polls for replies. `do=<letters>` on the command line is what it does;
 * `from=<MiB>` and `to=<MiB>` is the window that it gives away, `ram=<MiB>` the end of RAM (at most 3072).
 *
 *   p  fills the window with a pattern, and puts its ramdisk, an enclave image, where a loader looks for one
 *   a  SLOT_ALLOC           m  SLOT_ADD_MEM of the window     v  SLOT_ADD_VCPU of the next vCPU, from 2 on
 *   n  SLOT_ADD_MEM of the window, again for as long as the host has no memory for it
 *   s  ENCLAVE_START (`debug=1`: in debug mode)               x  ENCLAVE_STOP        f  SLOT_FREE
 *   w  waits until the enclave has stopped                    d  waits for 2^30 cycles
 *   o  counts pages of the window that do not read as ones    z  words of it that are not zero
 *   q  counts words of RAM that are MARK
 *   i  has its disk read the first sector into the window's first bytes, `I` into 256 bytes below the window and as many in it
 *   u  has its disk write the window's first bytes to the second sector, `U` those around where it begins
 *   r  resets the machine   k  says that it panicked          h  halts for ever
 *
 * Prints each letter with what came of it, a line each: the reply's rc, the count, or what disk_request says, in decimal. After the last letter it
 * begins again, `times=<number>` times in all, and then powers off.
 *
 * With `clock=1` it says how many cycles each letter took, too, behind the number; and before the first letter, on a line
 * `exit`, how many it takes to write to a port that is nobody's.
 *
 * With `sweep=1` all RAM from 4 MiB on but the window is filled with a pattern before (pattern.inc), and a second processor
 * reads it meanwhile, again and again, and compares: it prints `.` for each sweep. The last one is after the last letter.
 */
#include "disk.inc"
#include "long_mode.inc"
#include "mark.inc"
#include "pattern.inc"
#include "processors.inc"
#include "start_info.inc"

#define ECAM_NE (0xe0000000 + (2 << 15))
#define NE_IDENTITY 0xe4c11d0f
#define PCI_BAR3 0x1c

#define ENABLE 0x000
#define VERSION 0x002
#define COMMAND 0x004
#define EVTCNT 0x00c
#define SEND_DATA 0x010
#define RECV_DATA 0x100
#define REPLY_SLOT_UID 8
#define REPLY_STATE 64

#define ENCLAVE_START 1
#define ENCLAVE_STOP 3
#define SLOT_ALLOC 4
#define SLOT_FREE 5
#define SLOT_ADD_MEM 6
#define SLOT_ADD_VCPU 7
#define SLOT_INFO 10
#define STATE_STOPPED 0xffff

#define ENOMEM 12
#define FIRST_VCPU 2
#define IMAGE_OFFSET (8 << 20)
#define SEARCH_START (4 << 20)  /* the kernel is below */
#define PAGE 4096
#define PANIC_PORT 0x505
#define NOBODYS_PORT 0x5f0
#define EXITS 1000
#define DELAY_CYCLES (1 << 30)
#define PANICKED 1
#define SLEEP_ENABLE_S5 0x34

/* R15: hvm_start_info; R14: the next letter; R13: the registers; R12, R11: the window. */
guest_main:
    mov %rdi, %r15
    lea from_key, %rsi
    call command_line_mebibytes
    mov %rax, %r12
    lea to_key, %rsi
    call command_line_mebibytes
    mov %rax, %r11
    lea ram_key, %rsi
    call command_line_mebibytes
    mov %rax, ram_end
    xor %eax, %eax
    lea debug_key, %rsi
    call command_line_number
    mov %rax, start_flags
    lea do_key, %rsi
    call command_line_text
    mov %rax, %r14
    mov %rax, orders
    test %rax, %rax
    jz .Lnothing_to_do
    mov $1, %eax
    lea times_key, %rsi
    call command_line_number
    mov %rax, times
    xor %eax, %eax
    lea sweep_key, %rsi
    call command_line_number
    mov %eax, sweeps
    test %eax, %eax
    jz .Lset_the_clock
    call begin_to_sweep
.Lset_the_clock:
    xor %eax, %eax
    lea clock_key, %rsi
    call command_line_number
    mov %eax, has_clock
    test %eax, %eax
    jz .Lfind_device
    call time_exits

.Lfind_device:
    mov $ECAM_NE, %ebx
    cmpl $NE_IDENTITY, (%rbx)
    jne .Lno_device
    movw $PCI_COMMAND_MEMORY, PCI_COMMAND(%rbx)
    mov PCI_BAR3(%rbx), %r13d
    and $-16, %r13d
    movb $0, ENABLE(%r13)
.Lwait_for_off:
    call short_pause
    cmpb $0, ENABLE(%r13)
    jne .Lwait_for_off
    movw $1, VERSION(%r13)
    movb $1, ENABLE(%r13)

next_letter:
    movzbl (%r14), %eax
    inc %r14
    xor %ecx, %ecx
.Lfind_letter:
    cmp letters(%rcx), %al
    je .Lletter_found
    inc %ecx
    cmp $letters_end - letters, %ecx
    jb .Lfind_letter
    mov orders, %r14
    decq times
    jnz next_letter
    cmpl $0, sweeps
    jne wait_for_sweep
power_off:
    mov $SLEEP_ENABLE_S5, %al
    mov $ACPI_SLEEP_CONTROL, %dx
    out %al, %dx
    halt_for_ever
.Lletter_found:
    call print_char
    call print_space
    mov %rcx, %rbx
    call read_clock
    mov %rax, began
    call *actions(, %rbx, 8)
    /* RAX: a number with a sign. */
    push %rax
    call read_clock
    sub began, %rax
    mov %rax, took
    pop %rax
    test %rax, %rax
    jns .Lprint_number
    push %rax
    mov $'-', %al
    call print_char
    pop %rax
    neg %rax
.Lprint_number:
    call print_decimal
    cmpl $0, has_clock
    je .Lline_done
    call print_space
    mov took, %rax
    call print_decimal
.Lline_done:
    call print_newline
    jmp next_letter

.Lnothing_to_do:
    say "carver: do=<letters> is missing on the command line\n"
    ret
.Lno_device:
    say "carver: there is no NE device\n"
    ret

/* RAX: the time-stamp counter. Uses RDX. */
read_clock:
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    ret

time_exits:
    call read_clock
    mov %rax, %rbx
    mov $EXITS, %ecx
    mov $NOBODYS_PORT, %dx
.Lnext_exit:
    out %al, %dx
    loop .Lnext_exit
    call read_clock
    sub %rbx, %rax
    xor %edx, %edx
    mov $EXITS, %ecx
    div %rcx
    say "exit "
    call print_decimal
    jmp print_newline

delay:
    call read_clock
    lea DELAY_CYCLES(%rax), %rbx
.Ldelay_next:
    call short_pause
    call read_clock
    cmp %rbx, %rax
    jb .Ldelay_next
    xor %eax, %eax
    ret

begin_to_sweep:
    mov %r12, sweep_gap
    mov %r11, sweep_gap + 8
    mov $SEARCH_START, %edi
    mov %r12, %rsi
    call fill_pattern
    mov %r11, %rdi
    mov ram_end, %rsi
    call fill_pattern
    call prepare_processors
    mov $1, %r13d
    jmp start_processor

processor_started:
    mov $SEARCH_START, %edi
    mov sweep_gap, %rsi
    call check_pattern
    mov sweep_gap + 8, %rdi
    mov ram_end, %rsi
    call check_pattern
    mov $'.', %al
    call print_char
    incl sweeps
    jmp processor_started

/* One that begins now. */
wait_for_sweep:
    mov sweeps, %ebx
    add $2, %ebx
.Lwait_for_sweep_next:
    call short_pause
    cmp %ebx, sweeps
    jb .Lwait_for_sweep_next
    jmp power_off

/* EAX: a command whose request is in SEND_DATA. Returns its rc in RAX. */
execute:
    mov EVTCNT(%r13), %ebx
    mov %eax, COMMAND(%r13)
.Lwait_for_reply:
    call short_pause
    mov EVTCNT(%r13), %edx
    cmp %bx, %dx
    je .Lwait_for_reply
    movslq RECV_DATA(%r13), %rax
    ret

/* Each look at a register costs an exit. */
short_pause:
    mov $20000, %ecx
.Lpause_next:
    pause
    loop .Lpause_next
    ret

/* EAX: a command whose request is the slot alone. */
execute_with_slot:
    mov slot_uid, %rdx
    mov %rdx, SEND_DATA(%r13)
    jmp execute

alloc:
    movb $0, SEND_DATA(%r13)
    mov $SLOT_ALLOC, %eax
    call execute
    mov RECV_DATA + REPLY_SLOT_UID(%r13), %rdx
    mov %rdx, slot_uid
    movl $FIRST_VCPU, next_vcpu
    ret

add_memory:
    mov %r12, SEND_DATA + 8(%r13)
    mov %r11, %rdx
    sub %r12, %rdx
    mov %rdx, SEND_DATA + 16(%r13)
    mov $SLOT_ADD_MEM, %eax
    jmp execute_with_slot

add_memory_with_patience:
    call add_memory
    cmp $-ENOMEM, %rax
    je add_memory_with_patience
    ret

add_vcpu:
    mov next_vcpu, %edx
    incl next_vcpu
    mov %rdx, SEND_DATA + 8(%r13)
    mov $SLOT_ADD_VCPU, %eax
    jmp execute_with_slot

start:
    movq $0, SEND_DATA + 8(%r13)
    mov start_flags, %rdx
    mov %rdx, SEND_DATA + 16(%r13)
    mov $ENCLAVE_START, %eax
    jmp execute_with_slot

stop:
    mov $ENCLAVE_STOP, %eax
    jmp execute_with_slot

free:
    mov $SLOT_FREE, %eax
    jmp execute_with_slot

wait_for_end:
    mov $SLOT_INFO, %eax
    call execute_with_slot
    test %rax, %rax
    jnz .Lwaited
    cmpw $STATE_STOPPED, RECV_DATA + REPLY_STATE(%r13)
    jne wait_for_end
.Lwaited:
    ret

fill:
    mov %r12, %rdi
    mov %r11, %rsi
    call fill_pattern
    cmpl $0, START_INFO_NR_MODULES(%r15)
    je .Lfilled
    mov START_INFO_MODLIST(%r15), %rdx
    mov MODLIST_ADDRESS(%rdx), %rsi
    mov MODLIST_SIZE(%rdx), %rcx
    lea IMAGE_OFFSET(%r12), %rdi
    rep movsb
.Lfilled:
    xor %eax, %eax
    ret

count_not_ones:
    xor %eax, %eax
    mov %r12, %rdi
.Lones_next:
    cmpq $-1, (%rdi)
    je .Lis_ones
    inc %rax
.Lis_ones:
    add $PAGE, %rdi
    cmp %r11, %rdi
    jb .Lones_next
    ret

count_not_zero:
    xor %eax, %eax
    mov %r12, %rdi
.Lzero_next:
    cmpq $0, (%rdi)
    je .Lis_zero
    inc %rax
.Lis_zero:
    add $8, %rdi
    cmp %r11, %rdi
    jb .Lzero_next
    ret

count_marks:
    xor %eax, %eax
    mov $SEARCH_START, %edi
    mov $MARK, %rdx
.Lmark_next:
    cmp %rdx, (%rdi)
    jne .Lno_mark
    inc %rax
.Lno_mark:
    add $8, %rdi
    cmp ram_end, %rdi
    jb .Lmark_next
    ret

disk_in:
    mov %r12, %rdi
    jmp .Ldisk_in
disk_in_across:
    lea -SECTOR / 2(%r12), %rdi
.Ldisk_in:
    mov $DISK_IN, %eax
    xor %edx, %edx
    jmp disk_request

disk_out:
    mov %r12, %rdi
    jmp .Ldisk_out
disk_out_across:
    lea -SECTOR / 2(%r12), %rdi
.Ldisk_out:
    mov $DISK_OUT, %eax
    mov $1, %edx
    jmp disk_request

reset:
    call print_newline
    reset_machine

panic:
    call print_newline
    mov $PANICKED, %al
    mov $PANIC_PORT, %dx
    out %al, %dx
    halt_for_ever

halt:
    call print_newline
    halt_for_ever

    .section .rodata
letters:
    .ascii "pamnvsxfwozqiIuUdrkh"
letters_end:
    .balign 8
actions:
    .quad fill, alloc, add_memory, add_memory_with_patience, add_vcpu, start, stop, free, wait_for_end, count_not_ones, count_not_zero, count_marks
    .quad disk_in, disk_in_across, disk_out, disk_out_across, delay, reset, panic, halt
from_key:
    .asciz "from="
to_key:
    .asciz "to="
ram_key:
    .asciz "ram="
debug_key:
    .asciz "debug="
do_key:
    .asciz "do="
times_key:
    .asciz "times="
sweep_key:
    .asciz "sweep="
clock_key:
    .asciz "clock="

    .bss
    .balign 8
ram_end:
    .skip 8
orders:
    .skip 8
times:
    .skip 8
sweep_gap:
    .skip 16
began:
    .skip 8
took:
    .skip 8
/* One more than there were. */
sweeps:
    .skip 4
has_clock:
    .skip 4
start_flags:
    .skip 8
slot_uid:
    .skip 8
next_vcpu:
    .skip 4
