/* SPDX-License-Identifier: Apache-2.0
 *
 * A hostile guest: writes pseudo-random values, 1, 2, 4 and 8 bytes wide, to every register of every virtio-mmio
 * window and to random I/O ports, and reads now and then. Then it sets up the queues of every device as a driver
 * does, and fills their rings with nonsense while the device works on them. A machine that survives it prints
 * `garbage ok, devices <n>, starts <n>`: how many devices there were, and how often one took the features that it
 * was given. `seed=<n>` on the command line chooses another sequence; the same seed gives the same accesses.
 *
 * Descriptors point to nowhere or into an arena that is nobody's, so that a device that does as it is told leaves
 * this guest alone.
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

/* VIRTIO 1.2, 4.2.2: the registers that a driver needs. */
#define VIRTIO_MAGIC 0x74726976
#define DRIVER_FEATURES 0x020
#define DRIVER_FEATURES_SEL 0x024
#define QUEUE_SEL 0x030
#define QUEUE_NUM_MAX 0x034
#define QUEUE_NUM 0x038
#define QUEUE_READY 0x044
#define QUEUE_NOTIFY 0x050
#define STATUS 0x070
#define QUEUE_DESC_LOW 0x080
#define QUEUE_DESC_HIGH 0x084
#define QUEUE_DRIVER_LOW 0x090
#define QUEUE_DRIVER_HIGH 0x094
#define QUEUE_DEVICE_LOW 0x0a0
#define QUEUE_DEVICE_HIGH 0x0a4
#define STATUS_ACKNOWLEDGE_DRIVER 0x3
#define STATUS_FEATURES_OK 0x8
#define STATUS_DRIVER_OK 0x4
#define INDIRECT_DESC_AND_EVENT_IDX (3 << 28)
#define VERSION_1_OF_HIGH_HALF 1

#define QUEUES 3
#define QUEUE_SIZE 16
#define DESCRIPTORS 0
#define AVAILABLE 0x200
#define USED 0x400
#define RING_BYTES 0x1000
#define STARTS 12
#define FILLS 6
#define ARENA 0x2000000
#define ARENA_MASK 0xffffff
#define ARENA_TABLES 0x10000

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
    call garble_arena
    call garble_rings
    say "\ngarbage ok, devices "
    mov devices, %eax
    call print_decimal
    say ", starts "
    mov starts, %eax
    call print_decimal
    call print_newline
    ret

/* Its first part is random: indirect tables that a descriptor happens to name. */
garble_arena:
    mov $ARENA, %r12d
.Lnext_in_arena:
    call next_random
    mov %rax, (%r12)
    add $8, %r12d
    cmp $ARENA + ARENA_TABLES, %r12d
    jb .Lnext_in_arena
    ret

garble_rings:
    mov $WINDOWS_START, %r12d
    mov $WINDOWS, %r13d
.Lnext_device:
    cmpl $VIRTIO_MAGIC, (%r12)
    jne .Ldevice_done
    incl devices
    mov $STARTS, %r14d
.Lnext_start:
    call start_device
    mov $FILLS, %r15d
.Lnext_fill:
    call fill_rings
    movl $0, QUEUE_NOTIFY(%r12)
    movl $1, QUEUE_NOTIFY(%r12)
    movl $2, QUEUE_NOTIFY(%r12)
    dec %r15d
    jnz .Lnext_fill
    dec %r14d
    jnz .Lnext_start
    movl $0, STATUS(%r12)
.Ldevice_done:
    add $WINDOW_BYTES, %r12d
    dec %r13d
    jnz .Lnext_device
    ret

/* R12: the window. What VIRTIO 1.2, 3.1.1 asks of a driver, with the features of rings chosen at random. */
start_device:
    movl $0, STATUS(%r12)
    movl $STATUS_ACKNOWLEDGE_DRIVER, STATUS(%r12)
    movl $1, DRIVER_FEATURES_SEL(%r12)
    movl $VERSION_1_OF_HIGH_HALF, DRIVER_FEATURES(%r12)
    call next_random
    and $INDIRECT_DESC_AND_EVENT_IDX, %eax
    movl $0, DRIVER_FEATURES_SEL(%r12)
    mov %eax, DRIVER_FEATURES(%r12)
    movl $STATUS_ACKNOWLEDGE_DRIVER | STATUS_FEATURES_OK, STATUS(%r12)
    testl $STATUS_FEATURES_OK, STATUS(%r12)
    jz .Lfeatures_refused
    incl starts
.Lfeatures_refused:
    xor %ecx, %ecx
    mov $rings, %edi
.Lnext_queue:
    mov %ecx, QUEUE_SEL(%r12)
    cmpl $QUEUE_SIZE, QUEUE_NUM_MAX(%r12)
    jb .Lqueue_done
    movl $QUEUE_SIZE, QUEUE_NUM(%r12)
    lea DESCRIPTORS(%rdi), %eax
    mov %eax, QUEUE_DESC_LOW(%r12)
    movl $0, QUEUE_DESC_HIGH(%r12)
    lea AVAILABLE(%rdi), %eax
    mov %eax, QUEUE_DRIVER_LOW(%r12)
    movl $0, QUEUE_DRIVER_HIGH(%r12)
    lea USED(%rdi), %eax
    mov %eax, QUEUE_DEVICE_LOW(%r12)
    movl $0, QUEUE_DEVICE_HIGH(%r12)
    movl $1, QUEUE_READY(%r12)
.Lqueue_done:
    add $RING_BYTES, %edi
    inc %ecx
    cmp $QUEUES, %ecx
    jb .Lnext_queue
    movl $STATUS_ACKNOWLEDGE_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK, STATUS(%r12)
    ret

/* Descriptors and available rings of all queues. Most values are near to what is allowed, so that they get far. */
fill_rings:
    mov $rings, %edi
    mov $QUEUES, %esi
.Lfill_queue:
    mov $QUEUE_SIZE, %ecx
    mov %rdi, %rdx
.Lnext_descriptor:
    call next_random
    test $3, %al
    jz .Laddress_chosen
    shr $8, %rax
    and $ARENA_MASK, %eax
    add $ARENA, %eax
.Laddress_chosen:
    mov %rax, (%rdx)
    call next_random
    test $7 << 28, %eax
    jz .Llength_chosen
    and $0x1fff, %eax
.Llength_chosen:
    mov %eax, 8(%rdx)
    call next_random
    and $0x001f0007, %eax
    mov %eax, 12(%rdx)
    add $16, %rdx
    dec %ecx
    jnz .Lnext_descriptor
    /* Flags, index, entries, and the event index behind them. */
    lea AVAILABLE(%rdi), %rdx
    mov $QUEUE_SIZE + 3, %ecx
.Lnext_entry:
    call next_random
    and $0x1f, %eax
    mov %ax, (%rdx)
    add $2, %rdx
    dec %ecx
    jnz .Lnext_entry
    add $RING_BYTES, %edi
    dec %esi
    jnz .Lfill_queue
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
    .balign 4096
rings:
    .skip QUEUES * RING_BYTES
    .balign 8
random_state:
    .skip 8
devices:
    .skip 4
starts:
    .skip 4
