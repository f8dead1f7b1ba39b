/*
 * The stub's assembly: the helper (registers only, no stack, orders from a
 * read-only page), the birth of threads, the wait of a signal handler, and
 * signal return.
 *
 * What the helper may do is wide, so it must never take data from memory
 * that the application can write: it has no stack (a signal with rsp 0 kills
 * the process) and everything it uses comes from registers, this text, or the
 * order page.
 */
#include "stub/layout.h"

#define NR_write 1
#define NR_mmap 9
#define NR_munmap 11
#define NR_rt_sigaction 13
#define NR_rt_sigreturn 15
#define NR_clone 56
#define NR_exit 60
#define NR_exit_group 231
#define NR_prctl 157
#define NR_arch_prctl 158
#define NR_futex 202
#define NR_sigaltstack 131
#define NR_seccomp 317

    .section .header, "ax"
    .globl stub_header
stub_header:
    .quad 0x31627574736376
    .quad stub_zygote_entry
    .quad stub_text_end
    .quad stub_birth
    .quad stub_restorer
    .quad stub_handler
    .quad stub_trampoline
    .quad stub_fast_begin
    .quad stub_fast_end
    .quad helper_one
    .quad stub_getpid, stub_gettid, stub_getppid, stub_getuid, stub_geteuid, stub_getgid, stub_getegid

    .section .text.asm, "ax"

/*
 * The zygote comes here from the Sentry's forked image. rdi: a table of ranges
 * to unmap, in the constant block, ended by a zero size; rdx: the offset of its
 * control unit; rbx: the secret.
 *
 * The secret is what makes a helper. One filter, installed here, is all that any
 * stub ever has: it lets a thread make the helper's calls only with the secret in an argument
 * that the call does not use. rbx holds it, in helpers alone; it is in no memory that a stub
 * can read: the filter's own program is unmapped at once. A helper takes no signal that it survives.
 */
    .globl stub_zygote_entry
stub_zygote_entry:
    xor %esp, %esp
    mov %rdi, %r15
    mov %rdx, %rbp
    fninit
    vzeroall
1:  mov (%r15), %rdi
    mov 8(%r15), %rsi
    test %rsi, %rsi
    jz 2f
    mov $NR_munmap, %eax
    syscall
    test %rax, %rax
    jnz helper_die
    add $16, %r15
    jmp 1b
2:  mov $(STUB_CONST + CST_SIGACT), %r15d
3:  mov (%r15), %rdi
    test %rdi, %rdi
    jz 4f
    lea 8(%r15), %rsi
    xor %edx, %edx
    mov $8, %r10d
    mov $NR_rt_sigaction, %eax
    syscall
    test %rax, %rax
    jnz helper_die
    add $40, %r15
    jmp 3b
4:  mov $1, %edi                    /* PR_SET_PDEATHSIG, SIGKILL */
    mov $9, %esi
    mov $NR_prctl, %eax
    syscall
#ifndef UNSAFE_SUD
    mov $1, %edi                    /* SECCOMP_SET_MODE_FILTER */
    xor %esi, %esi
    mov $STUB_FILTER, %edx          /* a struct sock_fprog */
    mov $NR_seccomp, %eax
    syscall
    test %rax, %rax
    jnz helper_die
#endif
    mov $STUB_FILTER, %edi
    mov $STUB_FILTER_SIZE, %esi
    mov %rbx, %r9
    mov $NR_munmap, %eax
    syscall
    test %rax, %rax
    jnz helper_die
    /* falls through */

/* rbp: control unit offset. Maps the control pages, then serves orders. */
helper_start:
    mov %rbx, %r12
    shl $32, %r12                   /* mmap's arguments are all used, but of flags and fd only */
    mov %rbx, %r13                  /* the low halves: the secret is in the others */
    shr $32, %r13
    shl $32, %r13
    mov $STUB_PROC, %edi
    mov $0x3000, %esi
    mov $1, %edx                    /* PROT_READ */
    lea 0x11(%r12), %r10            /* MAP_SHARED | MAP_FIXED */
    mov STUB_CONST + CST_ARENA, %r8d
    or %r13, %r8
    mov %rbp, %r9
    mov $NR_mmap, %eax
    syscall
    cmp $STUB_PROC, %rax
    jne helper_die
    mov $STUB_RESULT, %edi
    mov $0x1000, %esi
    mov $3, %edx
    lea 0x3000(%rbp), %r9
    mov $NR_mmap, %eax
    syscall
    cmp $STUB_RESULT, %rax
    jne helper_die
    xor %r14d, %r14d                /* the last order served */

helper_wait:
    mov STUB_ORDER + ORD_SEQ, %eax
    cmp %r14d, %eax
    jne helper_serve
    mov $(STUB_ORDER + ORD_SEQ), %edi
    xor %esi, %esi                  /* FUTEX_WAIT */
    mov %r14d, %edx
    xor %r10d, %r10d
    mov $NR_futex, %eax
    syscall
    jmp helper_wait

helper_serve:
    mov %eax, %r14d
    xor %r12d, %r12d                /* index */
    mov STUB_ORDER + ORD_COUNT, %r13d
    mov $(STUB_ORDER + ORD_OPS), %r15d
helper_next:
    cmp %r13d, %r12d
    jae helper_done
    mov OPS_KIND(%r15), %ecx
    mov OPS_ARGS + 0(%r15), %rdi
    mov OPS_ARGS + 8(%r15), %rsi
    mov OPS_ARGS + 16(%r15), %rdx
    mov OPS_ARGS + 24(%r15), %r10
    mov OPS_ARGS + 32(%r15), %r8
    mov OPS_ARGS + 40(%r15), %r9
    cmp $OP_FORK, %ecx
    je helper_fork
    cmp $OP_THREAD, %ecx
    je helper_thread
    cmp $OP_CMPXCHG, %ecx
    je helper_cmpxchg
    cmp $OP_STORE1, %ecx
    je helper_store1
    mov OPS_NR(%r15), %eax
    cmp $NR_futex, %eax             /* all arguments used, and allowed without */
    je helper_call
    cmp $NR_mmap, %eax
    je helper_mmap
    mov %rbx, %r9
helper_call:
    syscall
helper_result:
    mov %rax, STUB_RESULT + RSL_VALUE(, %r12, 8)
    inc %r12d
    testl $OP_STOP_ON_ERROR, OPS_FLAGS(%r15)
    lea 64(%r15), %r15
    jz helper_next
    cmp $-4095, %rax
    jb helper_next
/*
 * The end of a list is told by a system call that application threads do not have: they can forge
 * results, which are about themselves, but not the moment after which an fd may be closed.
 */
helper_done:
    mov %rbx, %r9
    mov STUB_ORDER + ORD_EFD, %edi
    mov $helper_one, %esi
    mov $8, %edx
    mov $NR_write, %eax
    syscall
    jmp helper_wait
    .balign 8
    .globl helper_one
helper_one:
    .quad 1

helper_mmap:
    mov %rbx, %rcx
    shl $32, %rcx
    mov %r10d, %r10d
    or %rcx, %r10
    mov %rbx, %rcx
    shr $32, %rcx
    shl $32, %rcx
    mov %r8d, %r8d
    or %rcx, %r8
    jmp helper_call

helper_fork:
    mov %rdx, %rbp
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    mov %rbx, %r9
    mov $NR_clone, %eax
    syscall
    test %rax, %rax
    jnz helper_result
    jmp helper_start

helper_thread:
    lea (%rsi, %rdx), %rbp          /* slot, and in the lowest bit how to begin */
    xor %esi, %esi
    xor %edx, %edx
    xor %r8d, %r8d
    mov %rbx, %r9
    mov $NR_clone, %eax             /* r10 is the ctid */
    syscall
    test %rax, %rax
    jnz helper_result
    /* The new thread: an application's from its first instruction, which forgets the secret. */
    xor %ebx, %ebx
    xor %r9d, %r9d
    mov %rbp, %rbx
    and $1, %ebp
    and $-4096, %rbx
#ifdef UNSAFE_SUD
    mov $59, %edi                   /* PR_SET_SYSCALL_USER_DISPATCH, on, but from the stub's text */
    mov $1, %esi
    mov $STUB_TEXT, %edx
    mov $STUB_TEXT_SIZE, %r10d
    xor %r8d, %r8d
    mov $NR_prctl, %eax
    syscall
    test %rax, %rax
    jnz thread_die
#endif
    /* From here on only this process itself can be harmed. */
    lea SLOT_STACK_TOP(%rbx), %rsp
    mov %rbx, SLOT_PRIVATE + PRV_SELF(%rbx)
    movq $0, SLOT_PRIVATE + PRV_FS(%rbx)
    mov %rbx, SLOT_PRIVATE + PRV_GS(%rbx)
    testl $1, STUB_CONST + CST_FSGSBASE
    jz 2f
    wrgsbase %rbx
    jmp 3f
2:  mov $0x1001, %edi               /* ARCH_SET_GS */
    mov %rbx, %rsi
    mov $NR_arch_prctl, %eax
    syscall
    test %rax, %rax
    jnz thread_die
3:  lea SLOT_ALT(%rbx), %rax
    push $SLOT_ALT_SIZE
    push $0
    push %rax
    mov %rsp, %rdi
    xor %esi, %esi
    mov $NR_sigaltstack, %eax
    syscall
    test %rax, %rax
    jnz thread_die
    cmp $OP_THREAD_CONTINUE, %ebp
    je 1f
    .globl stub_birth
stub_birth:
    ud2                             /* makes a signal frame; the handler waits for orders there */
1:  lea SLOT_PRIVATE(%rbx), %rdi
    mov PRV_SP(%rdi), %rsp
    jmp handover_wait

thread_die:
    xor %edi, %edi
    mov $NR_exit, %eax
    syscall
    hlt

helper_cmpxchg:
    mov %rsi, %rax
    lock cmpxchg %edx, (%rdi)
    mov %eax, %eax
    jmp helper_result

helper_store1:
    mov %sil, (%rdi)
    xor %eax, %eax
    jmp helper_result

helper_die:
    mov %rbx, %r9
    mov $1, %edi
    mov $NR_exit_group, %eax
    syscall
    hlt

/* void stub_handover(slot): tells the Sentry, waits for its command. */
    .globl stub_handover
stub_handover:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi
    mov %rsp, SLOT_PRIVATE + PRV_SP(%rdi)
    call stub_post
    jmp handover_wait
/* void stub_await(slot): only waits. */
    .globl stub_await
stub_await:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi
    mov %rsp, SLOT_PRIVATE + PRV_SP(%rdi)
handover_wait:
    mov (%rsp), %rdi
    call stub_wait
    pop %rdi
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/*
 * Where rewritten sites come: rax is the number, rcx the return address, as
 * after a real `syscall`. The guest's stack and red zone are not touched, flags
 * and all other registers come back as they were; vector registers stay live.
 */
#define REG(i) CH_REGS + 8 * i
    .globl stub_trampoline, stub_trampoline_gs, stub_trampoline_slot
stub_trampoline:
stub_trampoline_gs:                 /* faults here when %gs is not ours: the handler takes over */
    mov %gs:(SLOT_PRIVATE + PRV_SELF), %r11
stub_trampoline_slot:               /* or here */
    mov %rsp, REG(19)(%r11)
    lea SLOT_STACK_TOP(%r11), %rsp
    push REG(19)(%r11)
    pushf
    push %rcx
    push %rdi
    push %rsi
    push %rdx
    push %r10
    push %r8
    push %r9
    push %rax
    cld
    mov %r15, REG(0)(%r11)
    mov %r14, REG(1)(%r11)
    mov %r13, REG(2)(%r11)
    mov %r12, REG(3)(%r11)
    mov %rbp, REG(4)(%r11)
    mov %rbx, REG(5)(%r11)
    mov %r10, REG(7)(%r11)
    mov %r9, REG(8)(%r11)
    mov %r8, REG(9)(%r11)
    mov %rax, REG(10)(%r11)
    mov %rcx, REG(11)(%r11)
    mov %rdx, REG(12)(%r11)
    mov %rsi, REG(13)(%r11)
    mov %rdi, REG(14)(%r11)
    mov %rax, REG(15)(%r11)
    mov %rcx, REG(16)(%r11)
    mov 64(%rsp), %rax
    mov %rax, REG(6)(%r11)
    mov %rax, REG(18)(%r11)
    testl $1, STUB_CONST + CST_FSGSBASE
    jz 1f
    rdfsbase %rax
    jmp 2f
1:  mov SLOT_PRIVATE + PRV_FS(%r11), %rax
2:  mov %rax, REG(21)(%r11)
    movq $0, REG(22)(%r11)
    movq $0x33, REG(17)(%r11)
    movq $0x2b, REG(20)(%r11)
    mov %r11, %rdi
    mov %rsp, %rsi
    call stub_tramp
tramp_left:
    mov %rsp, %r11
    and $-STUB_SLOT_SIZE, %r11
    test %eax, %eax
    jnz stub_demote

/* A kick inside [tramp_exit, tramp_exit_end) makes the handler start it again. */
    .globl tramp_exit, tramp_exit_end
tramp_exit:
    cmpl $0, SLOT_PRIVATE + PRV_KICK(%r11)
    jne tramp_kicked
    mov 64(%rsp), %r11
    pop %rax
    pop %r9
    pop %r8
    pop %r10
    pop %rdx
    pop %rsi
    pop %rdi
    pop %rcx
    popf
    pop %rsp
    jmp *%rcx
tramp_exit_end:

tramp_kicked:
    mov %r11, %rdi
    mov %rsp, %rsi
    call stub_tramp_kick
    jmp tramp_left

    .globl stub_demote
stub_demote:
    ud2                             /* the handler makes the frame the guest's and goes on */

/* long stub_futex_wait(uaddr, op, val, timeout, uaddr2, val3, kick word, nr): -EINTR on a kick. */
    .globl stub_futex_wait, stub_futex_wait_end, stub_futex_wait_kicked
stub_futex_wait:
    mov %rcx, %r10
    mov 8(%rsp), %rax
    cmpl $0, (%rax)
    jne stub_futex_wait_kicked
    mov 16(%rsp), %eax              /* futex or futex_waitv */
    syscall
stub_futex_wait_end:
    ret
stub_futex_wait_kicked:
    mov $-4, %rax
    ret

/* u64 stub_copy(to, from, size): the bytes not copied, because of a fault. */
    .globl stub_copy, stub_copy_insn, stub_copy_insn_end
stub_copy:
    mov %rdx, %rcx
stub_copy_insn:
    rep movsb
stub_copy_insn_end:
    mov %rcx, %rax
    ret

/* u64 stub_copy_str(to, from, max): bytes copied with the NUL; 0 on a fault or without a NUL. */
    .globl stub_copy_str, stub_copy_str_fault, stub_copy_str_end
stub_copy_str:
    xor %ecx, %ecx
1:  movzbl (%rsi, %rcx), %eax
    mov %al, (%rdi, %rcx)
    inc %rcx
    test %al, %al
    jz 2f
    cmp %rdx, %rcx
    jb 1b
stub_copy_str_fault:
    xor %ecx, %ecx
2:  mov %rcx, %rax
    ret
stub_copy_str_end:

/* int stub_probe(addr): 1 when the byte cannot be written. */
    .globl stub_probe, stub_probe_insn, stub_probe_fault
stub_probe:
    xor %eax, %eax
stub_probe_insn:
    lock addb $0, (%rdi)
    ret
stub_probe_fault:
    mov $1, %eax
    ret

/* Neither flags nor any register but rax change here; a kick inside rewinds to the site. */
    .globl stub_fast_begin, stub_fast_end
stub_fast_begin:
stub_getpid:
    mov STUB_PROC + PRC_PID, %eax
    jmp *%rcx
stub_getppid:
    mov STUB_PROC + PRC_PID + 4, %eax
    jmp *%rcx
stub_getuid:
    mov STUB_PROC + PRC_PID + 8, %eax
    jmp *%rcx
stub_geteuid:
    mov STUB_PROC + PRC_PID + 12, %eax
    jmp *%rcx
stub_getgid:
    mov STUB_PROC + PRC_PID + 16, %eax
    jmp *%rcx
stub_getegid:
    mov STUB_PROC + PRC_PID + 20, %eax
    jmp *%rcx
stub_gettid:
    mov %gs:CH_TID, %eax
    jmp *%rcx
stub_fast_end:

    .globl stub_restorer
stub_restorer:
    mov $NR_rt_sigreturn, %eax
    syscall
    hlt

/* long stub_syscall(nr, a, b, c, d, e, f) */
    .globl stub_syscall
stub_syscall:
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %r10
    mov %r9, %r8
    mov 8(%rsp), %r9
    syscall
    ret

    .section .note.GNU-stack, "", @progbits
