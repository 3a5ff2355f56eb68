/* SPDX-License-Identifier: Apache-2.0
 *
 * The enclave: its pages as EADD takes them, and where each goes. sign_enclave.py reads enclave_layout too, and
 * fills the SIGSTRUCT in.
 *
 * It is entered with a command in RDI and an argument in RSI, and leaves its answer in RSI:
 *
 *   0  nothing              3  spins until [argument] is not 0, counting
 *   1  adds the argument    4  runs instruction number `argument` of `instructions`; 1 when it went through
 *      to a secret sum      5  loads from the argument   6  stores RSI to it
 *   2  the sum              7  jumps to it
 */
#define PAGE 4096
#define REG (2 << 8)
#define TCS (1 << 8)
#define R 1
#define W 2
#define X 4
#define EEXIT 4

/* GPRSGX */
#define GPR_BYTES 184
#define GPR_RSI 48
#define GPR_RIP 136
#define GPR_EXITINFO 160

    .section .enclave, "awx"
    .balign PAGE, 0
tcs_page:
    .quad 0, 0
    .quad ssa_page - tcs_page       /* OSSA */
    .long 0, 2                      /* CSSA, NSSA */
    .quad code_page - tcs_page      /* OENTRY */
    .quad 0, 0, 0
    .long 0xfff, 0xfff
    .balign PAGE, 0
ssa_page:
    .skip 2 * PAGE
    .set saved, ssa_page + PAGE - GPR_BYTES
code_page:
    test %eax, %eax
    jnz interrupted
    mov %rcx, %r15                  /* where EENTER came from */
    cmp $7, %rdi
    ja leave
    lea commands(%rip), %rax
    movslq (%rax, %rdi, 4), %rdi
    add %rdi, %rax
    jmp *%rax
commands:
    .long leave - commands, add - commands, sum - commands, spin - commands
    .long run - commands, load - commands, store - commands, jump - commands

add:
    add %rsi, secret(%rip)
sum:
    mov secret(%rip), %rsi
leave:
    mov %r15, %rbx
    mov $EEXIT, %eax
    .byte 0x0f, 0x01, 0xd7          /* ENCLU */

    /* CSSA is 1: the frame below has what an exception interrupted. RSI there becomes its EXITINFO. */
interrupted:
    mov saved + GPR_EXITINFO(%rip), %esi
    mov %rsi, saved + GPR_RSI(%rip)
    lea leave(%rip), %rax
    mov %rax, saved + GPR_RIP(%rip)
    mov %rcx, %rbx
    mov $EEXIT, %eax
    .byte 0x0f, 0x01, 0xd7

spin:
    xor %r14d, %r14d
.Lspin:
    inc %r14
    cmpq $0, (%rsi)
    je .Lspin
    mov %r14, %rsi
    jmp leave
load:
    mov (%rsi), %rsi
    jmp leave
store:
    mov %rsi, (%rsi)
    jmp leave
jump:
    jmp *%rsi
run:
    lea instructions(%rip), %rax
    shl $4, %rsi
    add %rsi, %rax
    xor %ecx, %ecx
    xor %edx, %edx
    jmp *%rax
went_through:
    mov $1, %esi
    jmp leave

    /* Those that enclaves may not use (SDM vol. 3D, "Illegal Instructions"), 16 bytes each. */
    .macro instruction text:vararg
    .balign 16
    \text
    jmp went_through
    .endm
    .balign 16
instructions:
    instruction cpuid
    instruction getsec
    instruction rdpmc
    instruction sgdt secret(%rip)
    instruction sidt secret(%rip)
    instruction sldt %eax
    instruction str %eax
    instruction smsw %eax
    instruction in $0x80, %al
    instruction out %al, $0x80
    instruction outsb
    instruction insb
    instruction int $0x80
    instruction syscall
    instruction sysenter
    instruction vmfunc
    instruction rsm
    instruction mov %eax, %ss
    instruction int3
    instruction ud2
    instruction hlt
    instruction .byte 0xf1          /* ICEBP */
    .balign PAGE, 0
data_page:
secret:
    .quad 0
    .balign PAGE, 0
enclave_end:

    .data
    .balign 8
    .globl enclave_layout
enclave_layout:                     /* size of ELRANGE, pages of a frame, pages; then each source, offset, flags */
    .quad 16 * PAGE, 1, 5
    .quad tcs_page, tcs_page - tcs_page, TCS
    .quad ssa_page, ssa_page - tcs_page, REG | R | W
    .quad ssa_page + PAGE, ssa_page + PAGE - tcs_page, REG | R | W
    .quad code_page, code_page - tcs_page, REG | R | X
    .quad data_page, data_page - tcs_page, REG | R | W

    .globl enclave_mrsigner
enclave_mrsigner:
    .skip 32

    .balign PAGE, 0
    .globl enclave_sigstruct
enclave_sigstruct:
    .skip PAGE
