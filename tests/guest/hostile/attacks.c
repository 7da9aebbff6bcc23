/* What ring 3 tries against ring 0, and ring 0 against the machine: arguments[0] says what. Every trap is told in a line. */
#include "lab.h"

enum attack { MICROCODE_WRITTEN, POINTER_ON_THE_STACK, SINGLE_STEP, PAGE_FAULT_ASKED_FOR, ABSENT_GATE, PORT_READ, NO_TASK_STATE, GATE_WITHOUT_TASK_STATE,
              SHORT_TASK_STATE, HANDLER_NOWHERE, N_ATTACKS };

#define TEXT_OF(name, text) __asm__(".text\n" #name "_begin:\n" text "\n" #name "_end:\n"); extern const uint8_t name##_begin[], name##_end[];
TEXT_OF(microcode, "mov 0x403000, %rbx\n mov $0xffffffff801cc000, %rdx\n movq $0, 0x800(%rdx)\n int3")
TEXT_OF(pointer, "mov $0x3b, %esp\n mov 0x403000, %rbx\n .byte 0x48\n lcall *(%rdx)\n mov $0x402800, %esp\n movq $0, -0x100(%rdx)\n int3")
TEXT_OF(step, "pushfq\n orq $0x100, (%rsp)\n popfq\n mov 0x403000, %rbx\n nop\n ud2")
TEXT_OF(asked, "nop\n int $14")
TEXT_OF(absent, "nop\n int $50")
TEXT_OF(port, "in $0x80, %al\n nop\n ud2")
TEXT_OF(plain, "nop\n int3")
TEXT_OF(gate, "mov $0x401000, %eax\n .byte 0x48\n lcall *(%rax)\n int3")

static const struct { const uint8_t *begin, *end; } texts[N_ATTACKS] = {
    [MICROCODE_WRITTEN] = { microcode_begin, microcode_end }, [POINTER_ON_THE_STACK] = { pointer_begin, pointer_end },
    [SINGLE_STEP] = { step_begin, step_end }, [PAGE_FAULT_ASKED_FOR] = { asked_begin, asked_end }, [ABSENT_GATE] = { absent_begin, absent_end },
    [PORT_READ] = { port_begin, port_end }, [NO_TASK_STATE] = { plain_begin, plain_end }, [GATE_WITHOUT_TASK_STATE] = { gate_begin, gate_end },
    [SHORT_TASK_STATE] = { plain_begin, plain_end }, [HANDLER_NOWHERE] = { plain_begin, plain_end },
};

void trapped(struct trap *trap)
{
    uint64_t address = trap->vector == PAGE_FAULT ? fault_address() : 0;
    print("%ld error 0x%lx rip 0x%lx cs 0x%lx cr2 0x%lx\n", trap->vector, trap->error, trap->rip, trap->cs, address);
    if (trap->vector == 1)
        return;
    if (address != USER_PAGE(3))
        exit(0);
    map_user(3, PHYSICAL(19) | PRESENT | WRITABLE | USER);      /* a page on demand, and for POINTER_ON_THE_STACK, a hint */
    trap->rdx = task_state.rsp[0] - 24;                         /* CS and RSP, as a far pointer */
}

int main(const struct boot_info *boot)
{
    enum attack attack = (enum attack)boot->arguments[0];
    tables_set_up();
    user_set_up(texts[attack].begin, texts[attack].end);
    frame_words(17)[1] = CALL_GATE;
    set_gate(50, (uint64_t)vectors + 16 * 50, 0, INTERRUPT_GATE - 0x80 + 0x60);
    if (attack == NO_TASK_STATE || attack == GATE_WITHOUT_TASK_STATE) {
        frame_words(2)[0] = PHYSICAL(4) | PRESENT | WRITABLE | USER;    /* where a TSS at 0 would be */
        frame_words(4)[0] = PHYSICAL(20) | PRESENT | WRITABLE | USER;
        memcpy(frame_words(20), &task_state, sizeof task_state);
        __asm__ volatile("ltr %w0" : : "r"(0));
    }
    if (attack == SHORT_TASK_STATE) {
        gdt[5] = (gdt[5] & ~(0xffffUL | 2UL << 40)) | 5;
        __asm__ volatile("ltr %w0" : : "r"(TASK_STATE));
    }
    if (attack == HANDLER_NOWHERE) {
        set_gate(PAGE_FAULT, 0x12345000, 1, INTERRUPT_GATE);
        *(volatile uint8_t *)0x500000;
    }
    enter_user(USER_PAGE(0), USER_PAGE(2) + 0x800, 2);
    return 1;
}
