/* How a process begins and ends. A pid is given once in a run: the process table tells of all that there were. */
#include "kernel.h"

struct task tasks[MAX_PROCESSES];
static int next_pid = 1;                        /* 0 is the kernel */
static uint64_t boot_root;                      /* physical: the tables that the machine came with, without a user's half */

int n_pids(void)
{
    return next_pid;
}

static void copy_text(volatile uint8_t *to, const volatile uint8_t *from, int size)
{
    int i = 0;
    for (; i < size - 1 && from[i]; i++)
        to[i] = from[i];
    for (; i < size; i++)
        to[i] = 0;
}

/* A top table with the kernel's half, and nothing in the user's. */
static int new_root(struct task *task)
{
    pfn_t pfn = take_frames(task, 1, UNMOVABLE);
    if (pfn < 0)
        return NO_MEMORY;
    uint64_t *root = frame_address(pfn);
    const uint64_t *kernel_half = (const uint64_t *)PAGE_TABLES;
    zero_frame(root);
    for (int i = 256; i < 512; i++)
        root[i] = kernel_half[i];
    task->root = root;
    process_of(task)->root = physical_of(root);
    return DONE;
}

/* A process with nothing but its entry in the table and a top table; NULL when there can be no more. */
static struct task *new_process(uint16_t parent, const volatile uint8_t *name)
{
    if (next_pid == MAX_PROCESSES)
        return NULL;
    struct task *task = &tasks[next_pid++];
    volatile struct process *process = process_of(task);
    process->pid = pid_of(task);
    process->parent = parent;
    process->is_live = 1;
    copy_text(process->name, name, sizeof process->name);
    task->heap_end = segment_start(HEAP_SEGMENT);
    note(NOTE_STARTED, pid_of(task), parent, 0);
    return task;
}

void end_process(struct task *task, uint8_t why, int64_t status)
{
    volatile struct process *process = process_of(task);
    if (why == ENDED_OUT_OF_MEMORY)
        print("pid %d (%s) killed: out of memory, with %ld frames\n", pid_of(task), (const char *)process->name, process->n_frames);
    if (task->next)
        leave_ring(task);
    if (task->root) {
        if (loaded_root() == physical_of(task->root))
            load_root(boot_root);
        space->destroy(task);
        drop_frames(task, (pfn_t)(physical_of(task->root) / FRAME_BYTES), 1);
        task->root = NULL;
        process->root = 0;
    }
    process->is_live = 0;
    process->ended = why;
    process->exit_status = status;
    note(NOTE_ENDED, pid_of(task), status, why);
    if (process->n_frames)
        panic("a process has ended and holds frames", NULL);
}

/* --- a program begins -------------------------------------------------------------------------------------------------------- */

/* Stack, argument and first registers. */
static int prepare(struct task *task, const struct module *module)
{
    enum { ROOM = (sizeof module->argument + 15) / 16 * 16 };
    if (space->add(task, STACK_SEGMENT, STACK_AT_START, WRITABLE | GROWS_DOWN) != DONE)
        return NO_MEMORY;
    uint64_t at = STACK_END - ROOM;
    uint8_t *argument = space->reach(task, at, 1);
    if (!argument)
        return NO_MEMORY;
    copy_text(argument, module->argument, sizeof module->argument);
    struct registers *registers = &task->registers;
    registers->rdi = registers->rsp = at;
    registers->cs = USER_CODE;
    registers->ss = USER_DATA;
    registers->rflags = FLAGS_AT_START;
    return DONE;
}

static void start(const struct module *module)
{
    struct task *task = new_process(0, module->name);
    if (!task) {
        print("no pid is left for %s\n", (const char *)module->name);
        return;
    }
    int done = new_root(task);
    if (done == DONE)
        done = load_elf(task, (const uint8_t *)module->address, (uint64_t)module->size);
    if (done == DONE)
        done = prepare(task, module);
    if (done == DONE) {
        join_ring(task);
        return;
    }
    if (done == REFUSED)
        print("pid %d (%s) killed: %s\n", pid_of(task), (const char *)module->name, elf_complaint);
    end_process(task, done == REFUSED ? ENDED_KILLED : ENDED_OUT_OF_MEMORY, 0);
}

void start_programs(const struct boot_info *boot)
{
    boot_root = loaded_root();
    for (int64_t i = 0; i < boot->n_modules; i++)
        for (int64_t copy = 0; copy < boot->modules[i].copies; copy++)
            start(&boot->modules[i]);
}

/* --- fork -------------------------------------------------------------------------------------------------------------------- */

int64_t fork_process(struct task *parent)
{
    struct task *child = new_process(pid_of(parent), process_of(parent)->name);
    if (!child)
        return REFUSED;
    child->registers = parent->registers;
    child->registers.rax = 0;
    child->heap_end = parent->heap_end;
    if (new_root(child) != DONE || space->copy(child, parent) != DONE) {
        end_process(child, ENDED_OUT_OF_MEMORY, 0);
        return NO_MEMORY;
    }
    join_ring(child);
    return pid_of(child);
}
