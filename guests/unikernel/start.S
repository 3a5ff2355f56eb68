/* SPDX-License-Identifier: Apache-2.0
 *
 * The unikernel's lower half: rings, exceptions, and ENCLS and ENCLU themselves. unikernel.cpp is the rest.
 */
#include "long_mode.inc"

#define USER_DATA 0x2b
#define USER_CODE 0x33
#define TASK 0x38

#define RETURN_VECTOR 0x80
#define TIMER_VECTOR 0x40
#define LAPIC_EOI 0xfee000b0

    .code64
    .text

guest_main:
    mov $tss, %eax
    mov %ax, task_descriptor + 2
    shr $16, %eax
    mov %al, task_descriptor + 4
    mov %ah, task_descriptor + 7
    lgdt kernel_gdt_pointer
    mov $TASK, %eax
    ltr %ax
    mov $kernel_stack_top, %eax
    mov %rax, tss + 4
    call unikernel_main
    reset_machine

/* uint64_t encls(leaf, rbx, rcx, rdx): RAX, or kFaulted and the vector. */
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
    pop %rbx
    ret

/* uint64_t run_enclave(leaf, tcs, command, argument): what the enclave left in RSI, or, when an exception came
 * first, all ones; `last_exception` has it. The ENCLU is its own AEP: after an interrupt it resumes. */
    .globl run_enclave
run_enclave:
    movq $-1, last_exception
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, kernel_rsp
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
    int $RETURN_VECTOR

    .globl return_to_kernel
return_to_kernel:
    mov %rsi, %rax
unwind_to_kernel:
    mov kernel_rsp, %rsp
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
    movq $-1, last_exception
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, kernel_rsp
    movq $1, provoked
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    movq $0, provoked
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

/* The frame: 0 RAX, 8 vector, 16 error code, 24 RIP, 32 CS. */
kernel_exception:
    push %rax
    mov 24(%rsp), %rax
    cmp $encls_here, %rax
    je .Lencls_faulted
    mov %rax, last_exception + 24
    mov 8(%rsp), %rax
    mov %rax, last_exception
    mov 16(%rsp), %rax
    mov %rax, last_exception + 8
    xor %eax, %eax
    cmpq $14, 8(%rsp)
    jne .Lno_address
    mov %cr2, %rax
.Lno_address:
    mov %rax, last_exception + 16
    mov (%rsp), %rax
    mov %rax, last_exception + 32
    testb $3, 32(%rsp)
    jnz .Lback_to_kernel
    cmpq $0, provoked
    je .Lunwanted
.Lback_to_kernel:
    movq $0, provoked
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
    .globl last_exception
last_exception:
    .skip 5 * 8
    .globl timer_interrupts
timer_interrupts:
    .quad 0
    .globl timer_done
timer_done:
    .quad 0
provoked:
    .quad 0
kernel_rsp:
    .quad 0

/* CODE64 and DATA are where the start has them. */
kernel_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
    .quad 0
    .quad 0x00cff3000000ffff    /* USER_DATA */
    .quad 0x00affb000000ffff    /* USER_CODE */
task_descriptor:                /* TASK; its address is filled in */
    .quad 0x0000890000000067
    .quad 0
kernel_gdt_end:
kernel_gdt_pointer:
    .word kernel_gdt_end - kernel_gdt - 1
    .quad kernel_gdt

    .bss
    .balign 4096
    .globl identity_pml4
    .globl identity_pdpt
    .globl identity_pd
tss:
    .skip 4096
kernel_stack:
    .skip 8192
kernel_stack_top:
user_stack:
    .skip 4096
user_stack_top:
