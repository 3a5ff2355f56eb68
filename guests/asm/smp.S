/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts the other processors, one after the other, as an operating system does: INIT and two start-up messages
 * through the local APIC (SDM vol. 3A, "MP Initialization Protocol Algorithm"). `cpus=<n>` on the command line
 * says how many processors there are, this one included; their APIC ids are 0 to n-1.
 *
 * Prints `cpu <id>` from each processor, with the id that its own APIC gives, then `cpus <count>`; for a processor
 * that does not come, `cpu <id> did not start`.
 */
#include "long_mode.inc"
#include "start_info.inc"

#define LAPIC_ID 0xfee00020
#define LAPIC_SPURIOUS 0xfee000f0
#define LAPIC_SPURIOUS_ENABLE 0x1ff
#define LAPIC_ICR_LOW 0xfee00300
#define LAPIC_ICR_HIGH 0xfee00310
#define ICR_INIT_ASSERT 0x4500
#define ICR_STARTUP(page) (0x4600 | (page))
#define ICR_PENDING (1 << 12)

/* Below 1 MiB, where real mode reaches. Nothing that the loader left there is read any more. */
#define TRAMPOLINE 0x8000

/* Long on every machine, and a start takes a few of these only where nothing comes. */
#define SHORT_WAIT_CYCLES 10000000
#define WAITS_FOR_A_CPU 500

guest_main:
    xor %eax, %eax
    lea cpus_key, %rsi
    call command_line_number
    mov %rax, %r12
    test %rax, %rax
    jnz .Lcount_given
    say "smp: cpus=<n> is missing on the command line\n"
    ret
.Lcount_given:
    mov $LAPIC_SPURIOUS, %ebx
    movl $LAPIC_SPURIOUS_ENABLE, (%rbx)

    mov $trampoline, %esi
    mov $TRAMPOLINE, %edi
    mov $trampoline_end - trampoline, %ecx
    rep movsb

    call print_own_id
    mov $1, %r13d
.Lnext_cpu:
    cmp %r12, %r13
    jae .Lall_started
    call start_cpu
    inc %r13
    jmp .Lnext_cpu
.Lall_started:
    say "cpus "
    mov cpus_running, %eax
    call print_decimal
    call print_newline
    ret

/* R13: the APIC id. */
start_cpu:
    mov cpus_running, %r14d
    mov $ICR_INIT_ASSERT, %eax
    call send_message
    call short_wait
    mov $ICR_STARTUP(TRAMPOLINE >> 12), %eax
    call send_message
    call short_wait
    cmp cpus_running, %r14d
    jne .Lstarted
    mov $ICR_STARTUP(TRAMPOLINE >> 12), %eax
    call send_message
    mov $WAITS_FOR_A_CPU, %r15d
.Lwait_for_cpu:
    cmp cpus_running, %r14d
    jne .Lstarted
    call short_wait
    dec %r15d
    jnz .Lwait_for_cpu
    say "cpu "
    mov %r13, %rax
    call print_decimal
    say " did not start\n"
.Lstarted:
    ret

/* EAX: the low half of the interrupt command; R13: the destination. */
send_message:
    mov %r13d, %edx
    shl $24, %edx
    mov $LAPIC_ICR_HIGH, %ebx
    mov %edx, (%rbx)
    mov $LAPIC_ICR_LOW, %ebx
    mov %eax, (%rbx)
.Lpending:
    testl $ICR_PENDING, (%rbx)
    jnz .Lpending
    ret

short_wait:
    rdtsc
    mov %eax, %ebx
.Lwaiting:
    pause
    rdtsc
    sub %ebx, %eax
    cmp $SHORT_WAIT_CYCLES, %eax
    jb .Lwaiting
    ret

print_own_id:
    say "cpu "
    mov $LAPIC_ID, %ebx
    mov (%rbx), %eax
    shr $24, %eax
    call print_decimal
    call print_newline
    ret

/* A processor that was started: real mode, at TRAMPOLINE. */
    .code16
trampoline:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl trampoline_gdt_pointer - trampoline
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $CODE32, $started_in_protected_mode
trampoline_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

    .code32
started_in_protected_mode:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    enter_long_mode started_in_long_mode

    .code64
started_in_long_mode:
    settle_in_long_mode
    /* One stack serves all: they come one at a time, and halt before the next is called. */
    mov $second_stack_top, %esp
    call print_own_id
    lock incl cpus_running
    halt_for_ever

    .section .rodata
cpus_key:
    .asciz "cpus="

    .data
    .balign 4
cpus_running:
    .long 1

    .bss
    .balign 16
    .skip 4096
second_stack_top:
