/* SPDX-License-Identifier: Apache-2.0
 *
 * A hostile guest: writes pseudo-random values, 1, 2, 4 and 8 bytes wide, to every register of every virtio-mmio
 * window and to random I/O ports, and reads now and then. A machine that survives it prints `garbage ok`.
 * `seed=<n>` on the command line chooses another sequence; the same seed gives the same accesses.
 *
 * Ports that end the machine are spared, or nothing would be shown: the i8042, port 0x92, 0xcf9, and the ACPI
 * registers.
 */
#include "long_mode.inc"
#include "start_info.inc"

#define WINDOWS_START 0xd0000000
#define WINDOW_BYTES 0x1000
#define WINDOWS 8
/* The registers, and some of the configuration space behind 0x100. */
#define REGISTER_BYTES 0x200
#define ROUNDS 2
#define PORT_ACCESSES 4096

guest_main:
    mov $1, %eax
    lea seed_key, %rsi
    call command_line_number
    /* The generator stands still at zero. */
    mov $0x9e3779b97f4a7c15, %rbx
    imul %rbx, %rax
    or $1, %rax
    mov %rax, random_state

    mov $ROUNDS, %r15d
.Lnext_round:
    call garble_windows
    call garble_ports
    dec %r15d
    jnz .Lnext_round
    call repair_serial_port
    say "\ngarbage ok\n"
    ret

garble_windows:
    mov $WINDOWS_START, %r12d
    mov $WINDOWS, %r13d
.Lnext_window:
    xor %r14d, %r14d
.Lnext_register:
    lea (%r12, %r14), %rdi
    call next_random
    mov %al, (%rdi)
    call next_random
    mov %ax, (%rdi)
    call next_random
    mov %eax, (%rdi)
    /* Small values reach further than large ones: queue numbers, sizes, status bits. */
    call next_random
    and $0xf, %eax
    mov %eax, (%rdi)
    call next_random
    mov %rax, (%rdi)
    mov (%rdi), %al
    mov (%rdi), %ax
    mov (%rdi), %eax
    mov (%rdi), %rax
    /* One that straddles two registers. */
    call next_random
    mov %eax, 2(%rdi)
    add $4, %r14d
    cmp $REGISTER_BYTES, %r14d
    jb .Lnext_register
    /* And some anywhere in the window, across its end too. */
    mov $64, %r14d
.Lnext_place:
    call next_random
    and $WINDOW_BYTES - 1, %eax
    lea (%r12, %rax), %rdi
    call next_random
    mov %rax, (%rdi)
    mov (%rdi), %eax
    dec %r14d
    jnz .Lnext_place
    add $WINDOW_BYTES, %r12d
    dec %r13d
    jnz .Lnext_window
    ret

garble_ports:
    mov $PORT_ACCESSES, %r14d
.Lnext_port:
    call next_random
    /* Half of them below 0x1000, where devices are. */
    test $1 << 16, %eax
    jz .Lany_port
    and $0xfff, %eax
.Lany_port:
    movzwl %ax, %edx
    call is_spared_port
    jc .Lport_done
    call next_random
    mov %eax, %ecx
    and $3, %ecx
    jz .Lbyte
    dec %ecx
    jz .Lword
    dec %ecx
    jz .Llong
    in %dx, %al
    jmp .Lport_done
.Lbyte:
    out %al, %dx
    jmp .Lport_done
.Lword:
    out %ax, %dx
    jmp .Lport_done
.Llong:
    out %eax, %dx
.Lport_done:
    dec %r14d
    jnz .Lnext_port
    ret

/* DX: a port. Carry: an access of up to four bytes there could reach one that ends the machine. */
is_spared_port:
    mov $spared_ports, %esi
.Lnext_spared:
    mov (%rsi), %eax
    test %eax, %eax
    jz .Lnot_spared
    mov %edx, %ecx
    movzwl %ax, %ebx
    sub %ebx, %ecx
    shr $16, %eax
    cmp %eax, %ecx
    jb .Lspared
    add $4, %esi
    jmp .Lnext_spared
.Lspared:
    stc
    ret
.Lnot_spared:
    clc
    ret

/* xorshift64. Returns in RAX. */
next_random:
    push %rbx
    mov random_state, %rax
    mov %rax, %rbx
    shl $13, %rbx
    xor %rbx, %rax
    mov %rax, %rbx
    shr $7, %rbx
    xor %rbx, %rax
    mov %rax, %rbx
    shl $17, %rbx
    xor %rbx, %rax
    mov %rax, random_state
    pop %rbx
    ret

/* The serial port was garbled as well, and the result has to pass it: 8n1, no interrupts, no loop-back. */
repair_serial_port:
    mov $COM1 + 3, %dx
    mov $0x03, %al
    out %al, %dx
    mov $COM1 + 4, %dx
    xor %eax, %eax
    out %al, %dx
    mov $COM1 + 1, %dx
    out %al, %dx
    mov $COM1 + 2, %dx
    out %al, %dx
    ret

    .section .rodata
seed_key:
    .asciz "seed="
    .balign 4
/* First port and count, three ports early because an access may be four bytes wide. */
spared_ports:
    .word 0x60 - 3, 5 + 3
    .word 0x92 - 3, 1 + 3
    .word 0xcf9 - 3, 1 + 3
    .word ACPI_SLEEP_CONTROL - 3, 8 + 3
    .long 0

    .bss
    .balign 8
random_state:
    .skip 8
