/* The first instructions. The machine starts in long mode, with the direct map and the boot information in place. */
#include "abi.h"

    .section .text.start, "ax"
    .globl _start
_start:
    movabsq $STACK_TOP, %rsp
    xorl %ebp, %ebp
    movabsq $BOOT_INFO, %rdi
    call main
    movl %eax, %edi
    call exit                   /* main's value is the exit status */

/* void ring(void): rings the doorbell; the host serves what the call box asks for before the next instruction. */
    .globl ring
ring:
    outb %al, $DOORBELL_PORT
    ret                         /* right behind the out, so that a host that stops the machine stops it here */

/* void exit(int status) */
    .globl exit
exit:
    movl %edi, %eax
    movw $EXIT_PORT, %dx
    outl %eax, %dx
    jmp exit

/* void console_putc(char c) */
    .globl console_putc
console_putc:
    movl %edi, %eax
    outb %al, $CONSOLE_PORT
    ret

    .section .note.GNU-stack, "", @progbits
