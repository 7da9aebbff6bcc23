/* Whose turn it is: round robin. The processes that want to run, which is all that live, stand in a ring. */
#include "kernel.h"

enum { LEAST_QUANTUM = 20 };        /* the way back to ring 3 takes some of it */

struct task *turn;
static struct task *loaded;         /* whose address space and stack the processor has now */
static uint32_t quantum;
static int begins = 1;              /* whether a turn begins */

void set_quantum(uint32_t blocks)
{
    quantum = blocks && blocks < LEAST_QUANTUM ? LEAST_QUANTUM : blocks;
}

void join_ring(struct task *task)
{
    if (!turn)
        turn = task->next = task->previous = task;
    task->next = turn;              /* before the one that runs is behind all others */
    task->previous = turn->previous;
    turn->previous->next = task;
    turn->previous = task;
}

void leave_ring(struct task *task)
{
    if (task == loaded)
        loaded = NULL;
    if (task == turn) {
        end_turn();
        turn = turn == task ? NULL : turn;
    }
    task->next->previous = task->previous;
    task->previous->next = task->next;
}

void end_turn(void)
{
    turn = turn->next;
    begins = 1;
}

void run(void)
{
    if (!turn)
        machine_ends();
    if (turn != loaded) {
        loaded = turn;
        load_root(physical_of(turn->root));
        stack_of_ring_0(&turn->registers + 1);
        note(NOTE_RUNS, pid_of(turn), 0, 0);
    }
    if (begins && quantum)
        out_long(TIMER_PORT, quantum);
    begins = 0;
    resume(&turn->registers);
}
