/* The first instructions of a process, and its door to the kernel.
 *
 * A process starts with RDI = its argument, a text that ends with a zero and lies on its stack, RSP = the stack's top, a multiple of 16,
 * and every other register 0.
 *
 * A system call is a far call through the call gate at selector 0x38: its number in RAX, its arguments in RDI, RSI and RDX, its answer in
 * RAX. The processor changes to ring 0 and to the kernel's stack on the way, and back with the kernel's far return. RBX, RBP, RSP and R12
 * to R15 come back as they were; what a C function may change (RCX, RDX, RSI, RDI, R8 to R11, the flags) may have been.
 */
    .section .text.start, "ax"
    .globl _start
_start:
    xorl %ebp, %ebp             /* no frame above this one */
    call main
    movl %eax, %edi
    call exit                   /* main's value is the exit status */

/* int64_t system_call(uint64_t number, uint64_t first, uint64_t second, uint64_t third) */
    .globl system_call
    .type system_call, @function
system_call:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    rex64 lcall *gate(%rip)
    ret
    .size system_call, . - system_call

gate:
    .quad 0                     /* an offset; the gate has its own */
    .word 0x38 | 3              /* the gate's selector, asked for from ring 3 */

    .section .note.GNU-stack, "", @progbits
