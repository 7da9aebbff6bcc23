/* The processor's tables: which code may do what, where traps lead, and where ring 0 finds its stack.
 *
 * Source: AMD64 Architecture Programmer's Manual, volume 2, chapters 4.8 (descriptors), 8.9 (gates) and 12.2.5 (the task state segment).
 */
#include "kernel.h"

enum { GATE_CALL_USER = 0xec, GATE_INTERRUPT = 0x8e, TSS_AVAILABLE = 0x89 };   /* present, privilege level, type */

struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, kind;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
};

struct task_state {
    uint32_t reserved_0;
    uint64_t rsp[3];
    uint64_t reserved_1;
    uint64_t interrupt_stack[7];
    uint64_t reserved_2;
    uint16_t reserved_3, io_map;
} __attribute__((packed));

extern const char vectors[], timer_entry[], debug_entry[], system_call_entry[];
void load_tables(const struct table_register *gdt, const struct table_register *idt);

static struct task_state task_state;
static struct gate interrupts[TIMER_TICK + 1];
static uint8_t double_fault_stack[4096] __attribute__((aligned(16)));
static uint64_t descriptors[] = {
    [KERNEL_CODE / 8] = 0x00af9a000000ffff, [KERNEL_DATA / 8] = 0x00cf92000000ffff,
    [USER_DATA / 8] = 0x00cff2000000ffff, [USER_CODE / 8] = 0x00affa000000ffff,
    [TASK_STATE / 8] = 0, 0, [SYSTEM_CALL_GATE / 8] = 0, 0,
};

static struct gate gate_to(const char *code, uint8_t kind, uint8_t stack)
{
    uint64_t offset = (uint64_t)code;
    return (struct gate){ (uint16_t)offset, KERNEL_CODE, stack, kind, (uint16_t)(offset >> 16), (uint32_t)(offset >> 32), 0 };
}

void tables_set_up(void)
{
    for (int vector = 0; vector <= TIMER_TICK; vector++)
        interrupts[vector] = gate_to(vectors + 16 * vector, GATE_INTERRUPT, vector == DOUBLE_FAULT);
    interrupts[TIMER_TICK] = gate_to(timer_entry, GATE_INTERRUPT, 0);
    interrupts[DEBUG] = gate_to(debug_entry, GATE_INTERRUPT, 0);
    *(struct gate *)&descriptors[SYSTEM_CALL_GATE / 8] = gate_to(system_call_entry, GATE_CALL_USER, 0);

    uint64_t state = (uint64_t)&task_state, limit = sizeof task_state - 1;
    descriptors[TASK_STATE / 8] = limit | (state & 0xffffff) << 16 | (uint64_t)TSS_AVAILABLE << 40 | (state >> 24 & 0xff) << 56;
    descriptors[TASK_STATE / 8 + 1] = state >> 32;
    task_state.io_map = sizeof task_state;      /* beyond the limit: no port is the user's */
    task_state.interrupt_stack[0] = (uint64_t)(double_fault_stack + sizeof double_fault_stack);

    load_tables(&(struct table_register){ sizeof descriptors - 1, (uint64_t)descriptors },
                &(struct table_register){ sizeof interrupts - 1, (uint64_t)interrupts });
}

void stack_of_ring_0(void *top)
{
    task_state.rsp[0] = (uint64_t)top;
}
