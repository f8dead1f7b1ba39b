/*
 * Where the program begins: before the C library relocates it, which writes to nearly every page of
 * its data. One call copies those pages, in place of a fault each, or two: one to read the file's
 * page, one to write to it. A sandbox starts this program three times. Where the host does not know the
 * advice (before Linux 5.14) the pages come by faults.
 *
 * The stack, and %rdx, are the C library's.
 */
#define MADV_POPULATE_WRITE 23
#define NR_MADVISE          28

    .text
    .globl cvisor_entry
    .type cvisor_entry, @function
cvisor_entry:
    mov %rdx, %r12
    lea __init_array_start(%rip), %rdi
    and $-4096, %rdi
    lea edata(%rip), %rsi
    sub %rdi, %rsi
    mov $MADV_POPULATE_WRITE, %edx
    mov $NR_MADVISE, %eax
    syscall
    mov %r12, %rdx
    jmp _start
    .size cvisor_entry, . - cvisor_entry
    .section .note.GNU-stack, "", @progbits
