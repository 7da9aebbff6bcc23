/* Frames: asked for, shared, given back, counted; and what is done when there are none. */
#include "kernel.h"

void count_frames(struct task *task, int64_t n_frames)
{
    volatile struct process *process = process_of(task);
    process->n_frames += n_frames;
    if (process->n_frames > process->most_frames)
        process->most_frames = process->n_frames;
}

void count_fault(struct task *task, uint64_t address, int kind)
{
    process_of(task)->faults[kind]++;
    note(NOTE_FAULT, pid_of(task), (int64_t)address, kind);
}

pfn_t take_frames(struct task *task, int64_t n_frames, uint16_t mobility)
{
    pfn_t pfn = frame_alloc_for(n_frames, pid_of(task), 0, mobility);
    if (pfn >= 0)
        count_frames(task, n_frames);
    return pfn;
}

void drop_frames(struct task *task, pfn_t pfn, int64_t n_frames)
{
    int status = call(&(struct call_box){ .call = FRAME_FREE, .pfn = pfn, .owner = pid_of(task) });
    if (status != STATUS_OK)
        panic(status_name(status), NULL);
    count_frames(task, -n_frames);
}

int share_frames(struct task *task, pfn_t pfn, int64_t n_frames)
{
    if (call(&(struct call_box){ .call = FRAME_SHARE, .pfn = pfn, .owner = pid_of(task) }) != STATUS_OK)
        return NO_MEMORY;
    count_frames(task, n_frames);
    return DONE;
}

int64_t users_of(struct task *task, pfn_t pfn)
{
    struct call_box box = { .call = FRAME_SHARE, .pfn = pfn, .owner = pid_of(task) };
    if (call(&box) != STATUS_OK)
        return MANY;                            /* more than can be counted */
    int64_t users = box.n_frames - 1;           /* there is no other way to ask than to be one of them */
    box = (struct call_box){ .call = FRAME_FREE, .pfn = pfn, .owner = pid_of(task) };
    call(&box);
    return users;
}

int make_room(void)
{
    struct task *largest = turn;
    for (struct task *task = turn->next; task != turn; task = task->next) {
        int64_t more = process_of(task)->n_frames - process_of(largest)->n_frames;
        if (more > 0 || (more == 0 && task > largest))
            largest = task;
    }
    int lives = largest != turn;
    end_process(largest, ENDED_OUT_OF_MEMORY, 0);
    return lives;
}
