/* The ways into ring 0 and back.
 *
 * Coming from ring 3, the processor loads RSP with the task state segment's RSP0, which is the end of the process's `struct registers`, and
 * pushes there; what follows here fills in the rest of the structure, downwards. Then the kernel's own stack is taken: nothing on it outlives
 * an entry, so it is used from its top every time.
 */
#include "abi.h"

/* struct registers: where the code segment is, once everything has been pushed. */
#define SAVED_CS 144

    .text

/* The vectors, 16 bytes each: those that the processor pushes no error code for push a zero. */
    .balign 16
    .globl vectors
vectors:
    .set vector, 0
    .rept 33
    .balign 16
    .if ((0x60227d00 >> vector) & 1) == 0
    pushq $0
    .endif
    pushq $vector
    jmp save
    .set vector, vector + 1
    .endr

/* A call gate leaves the user's flags as they are, so that timer and single step can come in the first instruction of a system call: too late. */
    .balign 16
    .globl timer_entry, debug_entry
timer_entry:
    testb $3, 8(%rsp)
    jnz vectors + 512
    iretq
debug_entry:
    testb $3, 8(%rsp)
    jnz vectors + 16
    andl $~0x100, 16(%rsp)      /* single steps no more */
    iretq

/* A far call through the call gate has pushed SS, RSP, CS, RIP: put the flags where an exception has them. */
    .balign 16
    .globl system_call_entry
system_call_entry:
    pushfq
    pushq $2
    popfq                       /* no interrupts, and nothing else that the user may have set */
    pushq %rax
    movq 8(%rsp), %rax          /* flags */
    xchgq %rax, 24(%rsp)        /* into the place of CS */
    xchgq %rax, 16(%rsp)        /* that into the place of RIP */
    movq %rax, 8(%rsp)          /* and that below */
    popq %rax
    pushq $0
    pushq $0x100                /* SYSTEM_CALL */

save:
    pushq %rax; pushq %rbx; pushq %rcx; pushq %rdx; pushq %rsi
    pushq %rdi; pushq %rbp; pushq %r8; pushq %r9; pushq %r10
    pushq %r11; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    cld
    movq %rsp, %rdi
    testb $3, SAVED_CS(%rsp)
    jz 1f                       /* from ring 0: the kernel is at fault, and stays on the stack it is on */
    movabsq $STACK_TOP, %rsp
1:  xorl %ebp, %ebp             /* no frame above */
    call trapped                /* does not come back */

    .globl resume
resume:                         /* void resume(const struct registers *) */
    movq %rdi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %r11
    popq %r10; popq %r9; popq %r8; popq %rbp; popq %rdi
    popq %rsi; popq %rdx; popq %rcx; popq %rbx; popq %rax
    addq $16, %rsp              /* vector, error */
    iretq

    .globl load_tables
load_tables:                    /* void load_tables(const struct table_register *gdt, const struct table_register *idt) */
    lgdt (%rdi)
    lidt (%rsi)
    movl $0x10, %eax            /* KERNEL_DATA */
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    pushq $0x08                 /* KERNEL_CODE */
    leaq 1f(%rip), %rax
    pushq %rax
    lretq
1:  movl $0x28, %eax            /* TASK_STATE */
    ltr %ax
    ret

    .globl fault_address
fault_address:                  /* uint64_t fault_address(void) */
    movq %cr2, %rax
    ret

    .globl load_root
load_root:                      /* void load_root(uint64_t physical) */
    movq %rdi, %cr3
    ret

    .globl loaded_root
loaded_root:                    /* uint64_t loaded_root(void) */
    movq %cr3, %rax
    ret

    .globl forget_page
forget_page:                    /* void forget_page(uint64_t address) */
    invlpg (%rdi)
    ret

    .globl processor_set_up
processor_set_up:               /* void processor_set_up(void) */
    movl $0xc0000080, %ecx      /* EFER.NXE: pages that cannot be executed */
    rdmsr
    orl $0x800, %eax
    wrmsr
    movq %cr0, %rax             /* CR0.EM: no floating point, for its registers are nobody's and saved by nobody */
    orl $4, %eax
    movq %rax, %cr0
    ret

    .globl out_long
out_long:                       /* void out_long(uint16_t port, uint32_t value) */
    movl %edi, %edx
    movl %esi, %eax
    outl %eax, %dx
    ret

    .section .note.GNU-stack, "", @progbits
