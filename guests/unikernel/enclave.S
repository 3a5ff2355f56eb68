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
 *   8  fills its registers with SECRET, writes 1 to [argument + 8], and waits until [argument] is not 0;
 *      1 when SECRET is all there still
 *   9  hypercall `argument` of `hypercalls`; RAX as that left it when it changed nothing else, or 1
 *  10  EREPORT:  TARGETINFO at the argument, the report goes behind it
 *  11  EGETKEY:  KEYREQUEST at the argument, the key goes behind it; RAX
 *  12  EACCEPT of [argument + 8] pages from [argument] on, as new ones; how many were, and in the upper half
 *      what it said of the next one
 *  13  computes so many rounds
 *  14  sweeps over pages of its own: `sweep` says how
 *  15  loads 32 bits from the argument
 *  16  the same, in the handler of an exception that interrupted it
 *
 * It has four threads. Each finds its state save area by GS.
 */
#define PAGE 4096
#define REG (2 << 8)
#define TCS (1 << 8)
#define R 1
#define W 2
#define X 4
#define EREPORT 0
#define EGETKEY 1
#define EEXIT 4
#define EACCEPT 5

#define PENDING 8
#define NESTED 16

/* GPRSGX, at the end of the first page of the state save area */
#define GPR_BYTES 184
#define GPR (PAGE - GPR_BYTES)
#define GPR_RSI 48
#define GPR_RIP 136
#define GPR_EXITINFO 160

#define SECRET 0x5ec2e7ab1e5ec2e7

/* Where threads 2 to 4 are: behind pages that nobody adds. */
#define MORE_THREADS 0x10000

/* A page with the thread control structure, whose state save area is the two behind it. */
    .macro thread at
    .quad 0, 0
    .quad \at + PAGE               /* OSSA */
    .long 0, 2                      /* CSSA, NSSA */
    .quad code_page - tcs_page      /* OENTRY */
    .quad 0, 0, \at + PAGE         /* AEP, OFSBASE, OGSBASE */
    .long 0xfff, 0xfff
    .balign PAGE, 0
    .skip 2 * PAGE
    .endm

    .macro do_enclu leaf
    mov $\leaf, %eax
    .byte 0x0f, 0x01, 0xd7
    .endm

    .section .enclave, "awx"
    .balign PAGE, 0
tcs_page:
    thread 0
code_page:
    test %eax, %eax
    jnz interrupted
    mov %rcx, %r15                  /* where EENTER came from */
    cmp $NESTED, %rdi
    ja leave
    lea commands(%rip), %rax
    movslq (%rax, %rdi, 4), %rdi
    add %rdi, %rax
    jmp *%rax
commands:
    .long leave - commands, add - commands, sum - commands, spin - commands
    .long run - commands, load - commands, store - commands, jump - commands
    .long guard - commands, hypercall - commands, report - commands, getkey - commands
    .long accept - commands, compute - commands, sweep - commands, look - commands, look - commands

add:
    lock add %rsi, secret(%rip)
sum:
    mov secret(%rip), %rsi
leave:
    mov %r15, %rbx
    do_enclu EEXIT

    /* CSSA is 1: the frame below has what an exception interrupted. RSI there becomes its EXITINFO. */
interrupted:
    cmp $NESTED, %rdi
    jne .Lexplain
    mov (%rsi), %esi                /* CSSA becomes 2 when it faults; ERESUME comes back here */
    mov %rcx, %rbx
    do_enclu EEXIT
.Lexplain:
    mov %gs:GPR + GPR_EXITINFO, %esi
    mov %rsi, %gs:GPR + GPR_RSI
    lea leave(%rip), %rax
    mov %rax, %gs:GPR + GPR_RIP
    mov %rcx, %rbx
    do_enclu EEXIT

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
look:
    mov (%rsi), %esi
    jmp leave
store:
    mov %rsi, (%rsi)
    jmp leave
jump:
    jmp *%rsi
run:
    lea instructions(%rip), %rax
    shl $5, %rsi
    add %rsi, %rax
    xor %ecx, %ecx
    xor %edx, %edx
    jmp *%rax
went_through:
    mov $1, %esi
    jmp leave

guard:
    mov $SECRET, %rax
    .irp register, rbx, rcx, rdx, rdi, rbp, r8, r9, r10, r11, r12, r13, r14
    mov %rax, %\register
    .endr
    movq %rax, %xmm0
    punpcklqdq %xmm0, %xmm0
    movaps %xmm0, %xmm7
    movq $1, 8(%rsi)
.Lguarding:
    pause
    cmpq $0, (%rsi)
    je .Lguarding
    xor %esi, %esi
    .irp register, rbx, rcx, rdx, rdi, rbp, r8, r9, r10, r11, r12, r13, r14
    cmp %rax, %\register
    jne leave
    .endr
    movq %xmm7, %rcx
    cmp %rax, %rcx
    jne leave
    mov $SECRET, %rcx
    cmp %rax, %rcx
    jne leave
    inc %esi
    jmp leave

hypercall:
    lea hypercalls(%rip), %rax
    shl $3, %rsi
    add %rsi, %rax
    mov %rax, %r14
    mov $SECRET, %rax
    .irp register, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13
    mov %rax, %\register
    .endr
    mov $9, %eax                    /* KVM_HC_CLOCK_PAIRING: writes to memory */
    jmp *%r14
    .balign 8
hypercalls:
    vmcall
    jmp went_through_a_hypercall
    .balign 8
    vmmcall
went_through_a_hypercall:
    mov %rax, %r14
    mov $SECRET, %rax
    .irp register, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13
    cmp %rax, %\register
    jne .Lchanged
    .endr
    mov %r14, %rsi
    jmp leave
.Lchanged:
    mov $1, %esi
    jmp leave

report:
    lea request(%rip), %rdi
    mov $512 / 8, %ecx
    rep movsq
    lea request(%rip), %rbx
    lea report_data(%rip), %rcx
    lea answer(%rip), %rdx
    mov %rsi, %rdi
    do_enclu EREPORT
    mov %rdx, %rsi
    mov $432 / 8, %ecx
    rep movsq
    xor %esi, %esi
    jmp leave

getkey:
    lea request(%rip), %rdi
    mov $512 / 8, %ecx
    rep movsq
    lea request(%rip), %rbx
    lea answer(%rip), %rcx
    do_enclu EGETKEY
    mov (%rcx), %rdx
    mov %rdx, (%rsi)
    mov 8(%rcx), %rdx
    mov %rdx, 8(%rsi)
    mov %rax, %rsi
    jmp leave

accept:
    mov (%rsi), %rcx
    mov 8(%rsi), %rdx
    lea new_page(%rip), %rbx
    xor %esi, %esi
.Laccept:
    cmp %rdx, %rsi
    jae leave
    do_enclu EACCEPT
    test %eax, %eax
    jnz .Lrefused
    add $PAGE, %rcx
    inc %rsi
    jmp .Laccept
.Lrefused:
    shl $32, %rax
    or %rax, %rsi
    jmp leave

compute:
    call compute_rounds             /* the stack is the outside's */
    jmp leave

    /* Also called where the image has it. Multiplies, shifts, loads and stores; RSI rounds. */
    .globl compute_rounds
compute_rounds:
    lea work(%rip), %rdi
    mov $1, %eax
.Lcompute:
    imul $0x27d4eb2d, %rax, %rax
    mov %rax, %rcx
    shr $29, %rcx
    xor %rcx, %rax
    and $0xff, %ecx
    add (%rdi, %rcx, 8), %rax
    mov %rax, (%rdi, %rcx, 8)
    dec %rsi
    jnz .Lcompute
    ret

    /* At RSI: where the pages begin, how many there are, visits, and whether they come in random order, else one page
     * after the other, again and again. Each visit goes through a whole page, eight bytes at a time; every other one
     * writes it. */
sweep:
    mov (%rsi), %r8
    mov 8(%rsi), %r9
    mov 16(%rsi), %r10
    mov 24(%rsi), %r11
    xor %r12d, %r12d
    mov $1, %r13d
    mov $1, %ebx                    /* what comes out hangs on nothing but the pages */
.Lvisit:
    test %r11, %r11
    jz .Lin_order
    mov $6364136223846793005, %rax
    imul %rax, %r13
    inc %r13
    mov %r13, %rax
    shr $33, %rax
    xor %edx, %edx
    div %r9
    mov %rdx, %r12
.Lin_order:
    mov %r12, %rdi
    shl $12, %rdi
    add %r8, %rdi
    mov $512, %ecx
    test $1, %r10b
    jz .Lwrite
.Lread:
    add (%rdi), %rbx
    add $8, %rdi
    dec %ecx
    jnz .Lread
    jmp .Lvisited
.Lwrite:
    add %rbx, (%rdi)
    add $8, %rdi
    dec %ecx
    jnz .Lwrite
.Lvisited:
    inc %r12
    cmp %r9, %r12
    jb .Lnext_visit
    xor %r12d, %r12d
.Lnext_visit:
    dec %r10
    jnz .Lvisit
    mov %rbx, %rsi
    jmp leave

    /* 32 bytes each. First those that enclaves may not use (SDM vol. 3D, "Illegal Instructions"). */
    .macro instruction text:vararg
    .balign 32
    \text
    jmp went_through
    .endm
    /* Symbols, as the preprocessor does not look into quotes. */
    .set EENTER, 2
    .set ERESUME, 3
    .set NOWHERE, 0x3fb
    .set USER_DATA, 0x2b            /* selectors as Alcove and Linux have them */
    .set USER_CODE, 0x33
    .set TF, 0x100
    .set UNMASKED, 0x300            /* of the x87's control word: no exception is masked */
    .macro sequence text           /* of several, in quotes */
    .balign 32
    \text
    jmp went_through
    .endm
    .balign 32
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
    /* Selectors that are nowhere: what RAX and the secret's upper half have. */
    instruction lcall *secret(%rip)
    instruction ljmp *secret(%rip)
    sequence "push $NOWHERE; push %rax; lretq"
    sequence "push $NOWHERE; push %rax; iretq"
    sequence "mov $NOWHERE, %eax; mov %eax, %ds"
    sequence "mov $NOWHERE, %eax; mov %eax, %es"
    sequence "mov $NOWHERE, %eax; mov %eax, %fs"
    sequence "mov $NOWHERE, %eax; mov %eax, %gs"
    sequence "push $NOWHERE; pop %fs"
    sequence "push $NOWHERE; pop %gs"
    instruction lss nowhere(%rip), %eax
    instruction lfs nowhere(%rip), %eax
    instruction lgs nowhere(%rip), %eax
    sequence "mov $EENTER, %eax; .byte 0x0f, 0x01, 0xd7"
    sequence "mov $ERESUME, %eax; .byte 0x0f, 0x01, 0xd7"
    /* Those that go through and do nothing. */
    sequence "push $USER_CODE; lea 1f(%rip), %rax; push %rax; lretq; 1:"
    sequence "mov %rsp, %rcx; push $USER_DATA; push %rcx; pushf; push $USER_CODE; lea 1f(%rip), %rax; push %rax; iretq; 1:"
    sequence "xor %eax, %eax; mov %eax, %ds"
    sequence "pushf; orl $TF, (%rsp); popf; nop"
    /* And those that they may. */
    instruction rdtsc
    instruction rdrand %eax
    instruction rdseed %eax
    instruction xgetbv
    sequence "rdfsbase %rax; wrfsbase %rax"
    sequence "xor %edx, %edx; mov $3, %eax; xsave work(%rip)"
    instruction clflush secret(%rip)
    instruction rdtscp
    instruction pause
    sequence "mov %rsp, %rcx; push $USER_DATA; push %rcx; pushf; orl $TF, (%rsp); push $USER_CODE; lea 1f(%rip), %rax; push %rax; iretq; 1:"
    /* Those of ring 0. Not INVD and WBINVD, which QEMU 10 lets ring 3 execute. */
    instruction cli
    instruction sti
    instruction clts
    instruction lgdt secret(%rip)
    instruction lidt secret(%rip)
    instruction lldt %ax
    instruction ltr %ax
    instruction lmsw %ax
    instruction mov %cr0, %rax
    instruction mov %rax, %cr3
    instruction mov %rax, %dr7
    instruction rdmsr
    instruction wrmsr
    instruction invlpg secret(%rip)
    instruction swapgs
    instruction xsetbv
    instruction monitor
    instruction mwait
    /* And exceptions of its own. */
    sequence "xor %eax, %eax; div %eax"
    sequence "fninit; movw $UNMASKED, work(%rip); fldcw work(%rip); fldz; fldz; fdivp; fwait"
    .balign PAGE, 0
data_page:
secret:
    .quad 0
    .balign 512, 0
request:
    .skip 512
report_data:                        /* REPORTDATA */
    .rept 8
    .quad SECRET
    .endr
nowhere:                            /* a far pointer whose selector is beyond every table */
    .long 0
    .word NOWHERE
    .balign 64, 0
new_page:                           /* SECINFO, for EACCEPT */
    .quad REG | R | W | PENDING
    .balign 512, 0
answer:
    .skip 512
work:                               /* of compute_rounds */
    .skip 2048
    .balign PAGE, 0
    .skip MORE_THREADS - (. - tcs_page)
more_threads:
    thread MORE_THREADS
    thread MORE_THREADS+3*PAGE
    thread MORE_THREADS+6*PAGE
enclave_end:

    .data
    .balign 8
    .globl enclave_layout
enclave_layout:                     /* size of ELRANGE, pages of a frame, pages; then each source, offset, flags */
    .quad 1024 * PAGE, 1, 14
    .macro page at, flags:vararg
    .quad \at, \at - tcs_page, \flags
    .endm
    .macro thread_pages at
    page \at, TCS
    page \at+PAGE, REG | R | W
    page \at+2*PAGE, REG | R | W
    .endm
    thread_pages tcs_page
    page code_page, REG | R | X
    page data_page, REG | R | W
    thread_pages more_threads
    thread_pages more_threads+3*PAGE
    thread_pages more_threads+6*PAGE

    .globl enclave_mrsigner
enclave_mrsigner:
    .skip 32

    .balign PAGE, 0
    .globl enclave_sigstruct
enclave_sigstruct:
    .skip PAGE
