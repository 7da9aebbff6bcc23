/* What is done about each trap: a tick, a system call, a page fault that can be mended; anything else ends the process. */
#include "kernel.h"

enum { EXIT_PANIC = 70, NAMED = 22 };

static const char *const names[NAMED + 1] = {
    "divide error", "debug", "nonmaskable interrupt", "breakpoint", "overflow", "bound range", "invalid instruction", "no coprocessor",
    "double fault", "coprocessor overrun", "invalid task state", "segment not present", "stack fault", "general protection", "page fault",
    "vector 15", "floating point", "alignment check", "machine check", "SIMD floating point", "virtualization", "control protection", "unknown trap",
};

void panic(const char *why, const struct registers *registers)
{
    print("kernel panic: %s", why);
    if (registers)
        print(" (error 0x%lx) at rip 0x%lx, rsp 0x%lx, cr2 0x%lx", registers->error, registers->rip, registers->rsp, fault_address());
    print("\n");
    exit(EXIT_PANIC);
}

/* One line: who, what, where. */
static void kill(struct task *task, uint64_t address)
{
    const struct registers *registers = &task->registers;
    print("pid %d (%s) killed: %s", pid_of(task), (const char *)process_of(task)->name,
          names[registers->vector < NAMED ? registers->vector : NAMED]);
    if (registers->vector == PAGE_FAULT) {
        print(" at 0x%lx (%s", address, registers->error & 16 ? "execute" : registers->error & 2 ? "write" : "read");
        if (address < USER_END) {
            print("; offset 0x%lx of ", address % SEGMENT_BYTES);
            space->explain(task, (int)(address >> SEGMENT_SHIFT));
        }
        print(")");
    } else if (registers->error) {
        print(" (error 0x%lx)", registers->error);
    }
    print(", rip 0x%lx\n", registers->rip);
    process_of(task)->fatal_rip = registers->rip;
    count_fault(task, address, FAULT_FATAL);
    end_process(task, ENDED_KILLED, 0);
}

static void page_fault(struct task *task, uint64_t address)
{
    for (;;) {
        int done = space->fault(task, address, task->registers.error);
        if (done == REFUSED)
            kill(task, address);
        if (done != NO_MEMORY || !make_room())
            return;
    }
}

_Noreturn void trapped(struct registers *registers)
{
    if (!(registers->cs & 3))
        panic(names[registers->vector < NAMED ? registers->vector : NAMED], registers);
    struct task *task = turn;
    switch (registers->vector) {
    case SYSTEM_CALL: system_call(task); break;
    case PAGE_FAULT: page_fault(task, fault_address()); break;
    case TIMER_TICK: process_of(task)->ticks++; end_turn(); break;
    default: kill(task, registers->rip);
    }
    run();
}
