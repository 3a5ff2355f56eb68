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
#include "processors.inc"
#include "start_info.inc"

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
    call prepare_processors

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

print_own_id:
    say "cpu "
    mov $LAPIC_ID, %ebx
    mov (%rbx), %eax
    shr $24, %eax
    call print_decimal
    call print_newline
    ret

processor_started:
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
