/* SPDX-License-Identifier: Apache-2.0
 *
 * The unikernel's lower half: rings, exceptions, and ENCLS and ENCLU themselves. unikernel.cpp is the rest.
 */
#include "long_mode.inc"
#include "processors.inc"

#define USER_DATA 0x2b
#define USER_CODE 0x33
#define TASK 0x38
#define TASK_BYTES 16

#define PROCESSORS 4
#define PROCESSOR_SHIFT 8           /* of a Processor's size (unikernel.hpp); its fields */
#define KERNEL_RSP 8
#define PROVOKED 16
#define LAST_EXCEPTION 24           /* vector, error code, address, RIP, RAX */
#define SEEN 64                     /* 15 general registers, then XMM0 and XMM7 */
#define SEEN_XMM 192
#define NMIS 224
#define NMI_RIP 232

#define TSS_SHIFT 7
#define TSS_RSP0 4
#define STACK_SHIFT 12

#define IA32_LSTAR 0xc0000082
#define IA32_GS_BASE 0xc0000101

#define RETURN_VECTOR 0x80
#define LAPIC_EOI 0xfee000b0

    .globl trampoline
    .globl trampoline_end

/* What an event interrupted: its general registers as it left them, and two of SSE's. */
    .macro record_registers
    .set field, SEEN
    .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    mov %\register, %gs:field
    .set field, field + 8
    .endr
    movups %xmm0, %gs:SEEN_XMM
    movups %xmm7, %gs:SEEN_XMM + 16
    .endm

    .code64
    .text

guest_main:
    mov %rdi, %rbp
    xor %r12d, %r12d
    call settle_processor
    mov %rbp, %rdi
    call unikernel_main
    reset_machine

/* R12D: which one. Its GDT, task and stack for events from ring 3; GS has its Processor from here on, in ring 3 too:
 * code inside an enclave has another GS, and the processor gives this one back at each exit. */
settle_processor:
    lgdt kernel_gdt_pointer
    mov %r12d, %eax
    shl $PROCESSOR_SHIFT, %eax
    add $processors, %eax
    xor %edx, %edx
    mov $IA32_GS_BASE, %ecx
    wrmsr
    mov %r12d, %ebx
    shl $4, %ebx
    add $task_descriptors, %ebx
    mov %r12d, %edx
    shl $TSS_SHIFT, %edx
    add $tasks, %edx
    mov %r12d, %eax
    inc %eax
    shl $STACK_SHIFT, %eax
    add $event_stacks, %eax
    mov %rax, TSS_RSP0(%rdx)
    movq $0x67, (%rbx)              /* and not busy, if it was */
    mov %dx, 2(%rbx)
    shr $16, %edx
    mov %dl, 4(%rbx)
    movb $0x89, 5(%rbx)
    mov %dh, 7(%rbx)
    mov %r12d, %eax
    imul $TASK_BYTES, %eax
    add $TASK, %eax
    ltr %ax
    ret

/* Another one, as unikernel.cpp's start_processor() wakes it; again after an INIT. The registers that coming here does
 * not change are kept first. */
processor_started:
    mov %r15, arrived + 8
    mov %r14, arrived + 16
    mov %r13, arrived + 24
    mov %r12, arrived + 32
    movups %xmm0, arrived + 40
    movups %xmm7, arrived + 56
    mov $LAPIC_ID, %eax
    mov (%rax), %r12d
    shr $24, %r12d
    lidt interrupt_table
    xor %eax, %eax                  /* as every kernel does, and so Alcove learns of the IDT */
    xor %edx, %edx
    mov $IA32_LSTAR, %ecx
    wrmsr
    call settle_processor
    mov %r12d, %esp
    shl $STACK_SHIFT, %esp
    add $kernel_stacks, %esp
    incq arrived
    call processor_main
    halt_for_ever

/* The beginning of a function that return_to_kernel or an exception ends. */
    .macro enter_kernel_call
    movq $-1, %gs:LAST_EXCEPTION
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %gs:KERNEL_RSP
    .endm

/* uint64_t encls(leaf, rbx, rcx, rdx): RAX, or kFaulted and the vector; encls_rbx has RBX. */
    .globl encls
encls:
    push %rbx
    mov %rdi, %rax
    mov %rsi, %rbx
    mov %rcx, %r8
    mov %rdx, %rcx
    mov %r8, %rdx
encls_here:
    .byte 0x0f, 0x01, 0xcf
encls_after:
    mov %rbx, encls_rbx
    pop %rbx
    ret

/* uint64_t run_enclave(leaf, tcs, command, argument): what the enclave left in RSI, or, when an exception came
 * first, all ones; last_exception() has it. The ENCLU is its own AEP: after an interrupt it resumes. */
    .globl run_enclave
run_enclave:
    enter_kernel_call
    mov %rdi, %rax
    mov %rsi, %rbx
    mov %rdx, %rdi
    mov %rcx, %rsi
    lea run_enclave_aep(%rip), %rcx
    pushq $USER_DATA
    pushq $user_stack_top
    pushq user_rflags
    pushq $USER_CODE
    push %rcx
    iretq
    .globl run_enclave_aep
run_enclave_aep:
    .byte 0x0f, 0x01, 0xd7
    nop                             /* for a trap behind EEXIT */
    int $RETURN_VECTOR

/* uint64_t run_outside(function, argument): the same with a function of the enclave's that ends with RET, called in
 * ring 3 where it lies in the image. */
    .globl run_outside
run_outside:
    enter_kernel_call
    mov %rdi, %rax
    pushq $USER_DATA
    pushq $user_stack_top
    pushq user_rflags
    pushq $USER_CODE
    pushq $.Lrun_outside
    iretq
.Lrun_outside:
    call *%rax
    int $RETURN_VECTOR

    .globl return_to_kernel
return_to_kernel:
    mov %rsi, %rax
unwind_to_kernel:
    mov %gs:KERNEL_RSP, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* uint64_t provoke(function, argument): what it returns, or all ones when an exception came first. Ring 0. */
    .globl provoke
provoke:
    enter_kernel_call
    movq $1, %gs:PROVOKED
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    movq $0, %gs:PROVOKED
    jmp unwind_to_kernel

/* void print_text(const char*), void print_number(uint64_t). */
    .globl print_text
print_text:
    mov %rdi, %rsi
    jmp print_string
    .globl print_number
print_number:
    mov %rdi, %rax
    jmp print_hex64

    .globl timer_interrupt
timer_interrupt:
    push %rax
    incq timer_interrupts
    cmpq $5, timer_interrupts
    jb .Lnot_yet
    movq $1, timer_done
.Lnot_yet:
    mov $LAPIC_EOI, %eax
    movl $0, (%rax)
    pop %rax
    iretq

    .globl nmi_interrupt
nmi_interrupt:
    record_registers
    push %rax
    mov 8(%rsp), %rax
    mov %rax, %gs:NMI_RIP
    incq %gs:NMIS
    pop %rax
    iretq

    .globl kernel_stubs
    .balign 16
kernel_stubs:
    .set vector, 0
    .rept EXCEPTIONS
    .balign 16
    .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
    pushq $0
    .endif
    pushq $vector
    jmp kernel_exception
    .set vector, vector + 1
    .endr

    .globl other_undefined_opcode
other_undefined_opcode:
    nop
    jmp kernel_stubs + 6 * 16

/* The frame: 0 RAX, 8 vector, 16 error code, 24 RIP, 32 CS. */
kernel_exception:
    record_registers
    push %rax
    mov 24(%rsp), %rax
    cmp $encls_here, %rax
    je .Lencls_faulted
    mov %rax, %gs:LAST_EXCEPTION + 24
    mov 8(%rsp), %rax
    mov %rax, %gs:LAST_EXCEPTION
    mov 16(%rsp), %rax
    mov %rax, %gs:LAST_EXCEPTION + 8
    xor %eax, %eax
    cmpq $14, 8(%rsp)
    jne .Lno_address
    mov %cr2, %rax
.Lno_address:
    mov %rax, %gs:LAST_EXCEPTION + 16
    mov (%rsp), %rax
    mov %rax, %gs:LAST_EXCEPTION + 32
    testb $3, 32(%rsp)
    jnz .Lback_to_kernel
    cmpq $0, %gs:PROVOKED
    je .Lunwanted
.Lback_to_kernel:
    movq $0, %gs:PROVOKED
    mov $-1, %rax
    jmp unwind_to_kernel
.Lencls_faulted:
    mov 8(%rsp), %rax
    bts $30, %rax
    movq $encls_after, 24(%rsp)
    add $24, %rsp
    iretq
.Lunwanted:
    add $8, %rsp
    jmp exception

    .data
    .balign 8
    .globl user_rflags
user_rflags:
    .quad 0x202
    .globl encls_rbx
encls_rbx:
    .quad 0
    .globl timer_interrupts
timer_interrupts:
    .quad 0
    .globl timer_done
timer_done:
    .quad 0
    .globl arrived
arrived:                        /* how many, then R15 to R12, XMM0 and XMM7 of the last */
    .skip 72
    .globl interrupt_table
interrupt_table:                /* for LIDT; unikernel.cpp has the table */
    .skip 10
    .balign 256
    .globl processors
processors:
    .set number, 0
    .rept PROCESSORS
    .quad processors + (number << PROCESSOR_SHIFT)
    .balign 256
    .set number, number + 1
    .endr

/* CODE64 and DATA are where the start has them. */
kernel_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
    .quad 0
    .quad 0x00cff3000000ffff    /* USER_DATA */
    .quad 0x00affb000000ffff    /* USER_CODE */
task_descriptors:               /* from TASK on, filled in by each processor */
    .skip PROCESSORS * TASK_BYTES
kernel_gdt_end:
kernel_gdt_pointer:
    .word kernel_gdt_end - kernel_gdt - 1
    .quad kernel_gdt

    .bss
    .balign 4096
    .globl identity_pml4
    .globl identity_pdpt
    .globl identity_pd
tasks:
    .skip PROCESSORS << TSS_SHIFT
    .balign 16
event_stacks:                   /* of events from ring 3 */
    .skip PROCESSORS << STACK_SHIFT
kernel_stacks:                  /* of all but the first */
    .skip (PROCESSORS - 1) << STACK_SHIFT
user_stack:                     /* nothing stays on it */
    .skip 4096
user_stack_top:
