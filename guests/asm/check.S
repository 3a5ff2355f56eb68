/* SPDX-License-Identifier: Apache-2.0
 *
 * What `alcove host check` runs to find out whether this KVM can carry an enclave. A /dev/kvm that opens, and runs a
 * guest of three instructions, may still emulate every instruction and give up on one that compilers use all
 * the time. So: paging with 4 KiB pages, a remap with INVLPG, SSE, BMI2 and a timed loop.
 *
 * Prints `paging ok`, `sse ok`, `bmi2 ok`, `exits 1000`, `loop <TSC cycles of 10 million iterations>`, `done`. The name
 * of a step is out before the step begins, so that the host sees where a guest stopped and how long a step took. A step
 * that fails says `failed` for `ok`; BMI2 that CPUID does not have is `bmi2 absent`; an instruction that faults ends the guest with an
 * `exception` line; a KVM that can not go on stops it without `done`.
 */
#include "long_mode.inc"

/* The fifth GiB x 128: nothing of the identity map is near. */
#define TEST_AREA (1 << 39)
#define TEST_PAGES 512

#define EXITS 1000
#define UNCLAIMED_PORT 0x80     /* no device of ours: the exit does nothing */

#define LOOP_ITERATIONS 10000000

#define CPUID_7_EBX_BMI2 (1 << 8)

guest_main:
    say "paging "
    call check_paging
    call print_verdict
    say "sse "
    call check_sse
    call print_verdict
    call check_bmi2
    call make_exits
    call time_loop
    say "done\n"
    ret

/* ZF: well. */
print_verdict:
    jnz .Lfailed
    say "ok\n"
    ret
.Lfailed:
    say "failed\n"
    ret

/* 512 pages of 4 KiB, turn by turn on two frames; then the other way round. */
check_paging:
    movq $test_pdpt + PAGE_TABLE_FLAGS, identity_pml4 + 8
    movq $test_pd + PAGE_TABLE_FLAGS, test_pdpt
    movq $test_pt + PAGE_TABLE_FLAGS, test_pd
    movl $0x11111111, even_frame
    movl $0x22222222, odd_frame

    mov $even_frame + PAGE_TABLE_FLAGS, %r8d
    mov $odd_frame + PAGE_TABLE_FLAGS, %r9d
    call map_test_area
    mov $0x11111111, %r8d
    mov $0x22222222, %r9d
    call compare_test_area
    jne .Lpaging_done

    mov $odd_frame + PAGE_TABLE_FLAGS, %r8d
    mov $even_frame + PAGE_TABLE_FLAGS, %r9d
    call map_test_area
    mov $0x22222222, %r8d
    mov $0x11111111, %r9d
    call compare_test_area
    jne .Lpaging_done

    /* What is written through a mapping arrives in the frame. */
    mov $TEST_AREA, %rdi
    movl $0x33333333, 8(%rdi)
    cmpl $0x33333333, odd_frame + 8
.Lpaging_done:
    ret

/* R8: entry for even pages, R9: for odd ones. */
map_test_area:
    mov $TEST_AREA, %rdi
    xor %ecx, %ecx
.Lmap_next:
    mov %r8, test_pt(, %rcx, 8)
    invlpg (%rdi)
    xchg %r8, %r9
    add $4096, %rdi
    inc %ecx
    cmp $TEST_PAGES, %ecx
    jb .Lmap_next
    ret

/* R8D: content of even pages, R9D: of odd ones. ZF: as it should be. */
compare_test_area:
    mov $TEST_AREA, %rdi
    mov $TEST_PAGES, %ecx
.Lcompare_next:
    cmp %r8d, (%rdi)
    jne .Lcompare_done
    xchg %r8, %r9
    add $4096, %rdi
    dec %ecx
    jnz .Lcompare_next
.Lcompare_done:
    ret

check_sse:
    movups sse_a, %xmm0
    movups sse_b, %xmm1
    addps %xmm1, %xmm0
    cvttps2dq %xmm0, %xmm2
    movups %xmm2, sse_result
    mov sse_expected, %rax
    cmp %rax, sse_result
    jne .Lsse_done
    mov sse_expected + 8, %rax
    cmp %rax, sse_result + 8
    jne .Lsse_done
    mov $1234567, %eax
    cvtsi2sd %rax, %xmm3
    mulsd %xmm3, %xmm3
    cvttsd2si %xmm3, %rax
    mov $1524155677489, %rbx
    cmp %rbx, %rax
.Lsse_done:
    ret

check_bmi2:
    say "bmi2 "
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    test $CPUID_7_EBX_BMI2, %ebx
    jnz .Lbmi2_there
    say "absent\n"
    ret
.Lbmi2_there:
    mov $0x123456789, %rax
    mov $68, %ecx
    shlx %rcx, %rax, %rbx       /* the count is taken modulo 64 */
    mov $0x1234567890, %rdx
    cmp %rdx, %rbx
    jne .Lbmi2_verdict
    mov $0xabc, %eax
    mov $0x0f0f0f0f, %edx
    pdep %rdx, %rax, %rbx
    cmp $0x0a0b0c, %rbx
    jne .Lbmi2_verdict
    mov $0xffffffffffffffff, %rdx
    mov $0x10, %eax
    mulx %rax, %rbx, %rcx       /* low half to RBX, high half to RCX */
    cmp $0xfffffffffffffff0, %rbx
    jne .Lbmi2_verdict
    cmp $0xf, %rcx
.Lbmi2_verdict:
    call print_verdict
    ret

/* A thousand exits for whoever times them from outside. */
make_exits:
    say "exits "
    mov $EXITS, %ecx
.Lexit:
    out %al, $UNCLAIMED_PORT
    dec %ecx
    jnz .Lexit
    say "1000\n"
    ret

time_loop:
    say "loop "
    call read_tsc
    mov %rax, %rbx
    mov $LOOP_ITERATIONS, %ecx
.Lloop:
    dec %ecx
    jnz .Lloop
    call read_tsc
    sub %rbx, %rax
    call print_decimal
    call print_newline
    ret

read_tsc:
    lfence
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    ret

    .section .rodata
    .balign 16
sse_a:
    .float 1, 2, 3, 4
sse_b:
    .float 10.5, 20.5, 30.5, 40.5
sse_expected:
    .long 11, 22, 33, 44

    .bss
    .balign 4096
test_pdpt:
    .skip 4096
test_pd:
    .skip 4096
test_pt:
    .skip 4096
even_frame:
    .skip 4096
odd_frame:
    .skip 4096
sse_result:
    .skip 16
