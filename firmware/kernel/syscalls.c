/* What a process can ask for: the number in RAX, arguments in RDI and RSI, the answer in RAX. Below 0: refused.
 *
 * A process that asks for memory and cannot have it is told so. Nobody is ended for that; it is touching memory that cannot be refused.
 */
#include "kernel.h"

/* All or nothing: the first round finds out whether the bytes are the process's to read, page by page; the second prints them. */
static int64_t sys_write(struct task *task, uint64_t from, uint64_t n)
{
    for (int round = 0; round < 2; round++)
        for (uint64_t done = 0, part; done < n; done += part) {
            const char *bytes = space->reach(task, from + done, 0);
            if (!bytes)
                return REFUSED;
            part = FRAME_BYTES - (from + done) % FRAME_BYTES;
            part = part < n - done ? part : n - done;
            for (uint64_t i = 0; round && i < part; i++)
                console_putc(bytes[i]);
        }
    return (int64_t)n;
}

/* The new break, or, if it cannot be that, the one that is. */
static int64_t sys_brk(struct task *task, uint64_t end)
{
    uint64_t start = segment_start(HEAP_SEGMENT);
    if (end >= start && end < start + SEGMENT_BYTES && space->grow_heap(task, task->heap_end, end) == DONE)
        task->heap_end = end;
    return (int64_t)task->heap_end;
}

static int64_t sys_mmap(struct task *task, uint64_t bytes)
{
    if (!bytes || bytes > SEGMENT_BYTES)
        return REFUSED;
    for (int number = FIRST_FREE_SEGMENT; number < N_SEGMENTS; number++)
        if (space->is_free(task, number)) {
            int done = space->add(task, number, whole_frames(bytes), WRITABLE);
            return done == DONE ? (int64_t)segment_start(number) : done;
        }
    return REFUSED;
}

static int64_t sys_munmap(struct task *task, uint64_t address, uint64_t bytes)
{
    if (address < segment_start(FIRST_FREE_SEGMENT) || address >= USER_END || address % FRAME_BYTES || !bytes || bytes > SEGMENT_BYTES)
        return REFUSED;
    return space->unmap(task, address, whole_frames(bytes));
}

void system_call(struct task *task)
{
    struct registers *registers = &task->registers;
    uint64_t number = registers->rax, first = registers->rdi, second = registers->rsi;
    int64_t answer = REFUSED;
    if (number < sizeof process_of(task)->calls / sizeof process_of(task)->calls[0])
        process_of(task)->calls[number]++;
    switch (number) {
    case SYS_exit:
        note(NOTE_CALL, pid_of(task), SYS_exit, 0);
        end_process(task, ENDED_EXIT, (int32_t)first);
        return;
    case SYS_write: answer = sys_write(task, first, second); break;
    case SYS_brk: answer = sys_brk(task, first); break;
    case SYS_mmap: answer = sys_mmap(task, first); break;
    case SYS_munmap: answer = sys_munmap(task, first, second); break;
    case SYS_fork: answer = fork_process(task); break;
    case SYS_yield: answer = 0; end_turn(); break;
    case SYS_getpid: answer = pid_of(task); break;
    }
    registers->rax = (uint64_t)answer;
    note(NOTE_CALL, pid_of(task), (int64_t)number, answer);
}
