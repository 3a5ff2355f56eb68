/* SPDX-License-Identifier: Apache-2.0
 *
 * int call_enclave(uint64_t command, uint64_t argument, unsigned function, struct sgx_enclave_run* run, void* vdso)
 *
 * Enters by __vdso_sgx_enter_enclave, for an enclave that leaves other registers behind than C expects.
 *
 * void enter_without_vdso(uint64_t command, uint64_t argument, uint64_t tcs)
 *
 * Enters by an ENCLU of its own, as programs did before the vDSO had that: an exception becomes a signal.
 */
    .text
    .globl call_enclave
call_enclave:
    .irp register, rbp, rbx, r12, r13, r14, r15
    push %\register
    .endr
    push %rcx                       /* run: on the stack, which is aligned now */
    mov %edx, %ecx
    mov %r8, %rax
    xor %edx, %edx
    xor %r8d, %r8d
    xor %r9d, %r9d
    call *%rax
    pop %rcx
    .irp register, r15, r14, r13, r12, rbx, rbp
    pop %\register
    .endr
    ret

    .globl enter_without_vdso
enter_without_vdso:
    .irp register, rbp, rbx, r12, r13, r14, r15
    push %\register
    .endr
    mov %rdx, %rbx
    mov $2, %eax                    /* EENTER */
    lea .Laep(%rip), %rcx
.Laep:
    .byte 0x0f, 0x01, 0xd7
    .irp register, r15, r14, r13, r12, rbx, rbp
    pop %\register
    .endr
    ret
    .section .note.GNU-stack, "", @progbits
