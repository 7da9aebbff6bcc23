/* The guest kernel: processes in ring 3, each in an address space of its own, over the frames of the machine's manager.
 *
 *   entry.S     the ways into ring 0 and back          process.c   how a process begins and ends; fork
 *   gdt.c       the processor's tables                 schedule.c  whose turn it is
 *   traps.c     what is done about each trap           syscalls.c  what a process can ask for
 *   vm.c        address spaces of pages                elf.c       from a program's file to an address space
 *   segments.c  address spaces of segments             frames.c    frames, and what to do when there are none
 *
 * The kernel runs with interrupts off and is never preempted: one stack serves all, and no lock is needed. It never uses a user's address:
 * `space->reach` translates it, with the rights of the process, and what it answers is an address in the direct map.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "kernel_sim.h"

/* --- entry.S, gdt.c ---------------------------------------------------------------------------------------------------------- */

enum { KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_DATA = 0x18 | 3, USER_CODE = 0x20 | 3, TASK_STATE = 0x28, SYSTEM_CALL_GATE = 0x38 };
enum { DEBUG = 1, DOUBLE_FAULT = 8, PAGE_FAULT = 14, TIMER_TICK = 32, SYSTEM_CALL = 0x100 };
enum { FLAGS_AT_START = 0x202 };                /* interrupts on */

/* A process's registers. The processor pushes the last five itself, on to the stack of ring 0, which is the end of this very structure. */
struct registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
} __attribute__((aligned(16)));

void tables_set_up(void);
void stack_of_ring_0(void *top);                /* where the next entry from ring 3 saves its registers */
_Noreturn void resume(const struct registers *registers);
uint64_t fault_address(void);                   /* CR2 */
void load_root(uint64_t physical);              /* CR3; also forgets all translations of the user's half */
uint64_t loaded_root(void);
void forget_page(uint64_t address);             /* invlpg */
void processor_set_up(void);
void out_long(uint16_t port, uint32_t value);

/* --- process.c --------------------------------------------------------------------------------------------------------------- */

enum { READABLE = 0, WRITABLE = 1, EXECUTABLE = 2, GROWS_DOWN = 4 };

struct region {                                 /* paging: what of a segment of the address space is in use, and how */
    uint64_t first, end;                        /* addresses; equal: nothing */
    uint64_t flags;
};

struct task {                                   /* what only the kernel needs to know of a process; the rest is in the process table */
    struct registers registers;
    struct task *next, *previous;               /* the ring of those that want to run */
    uint64_t *root;                             /* the frame that CR3 points to, in the direct map */
    uint64_t heap_end;                          /* the break */
    struct region regions[N_SEGMENTS];
};

extern struct task tasks[MAX_PROCESSES];        /* by pid */
#define processes ((volatile struct process *)PROCESS_TABLE)

static inline uint16_t pid_of(const struct task *task)
{
    return (uint16_t)(task - tasks);
}

static inline volatile struct process *process_of(const struct task *task)
{
    return &processes[pid_of(task)];
}

void start_programs(const struct boot_info *boot);
int64_t fork_process(struct task *parent);      /* the child's pid, or a failure */
void end_process(struct task *task, uint8_t why, int64_t status);
int n_pids(void);                               /* pids below this have been given */

/* --- schedule.c -------------------------------------------------------------------------------------------------------------- */

extern struct task *turn;                       /* whose turn it is; NULL: nobody is left */

void join_ring(struct task *task);              /* behind all others */
void leave_ring(struct task *task);
void end_turn(void);
_Noreturn void run(void);                       /* let the process run whose turn it is; the machine ends when there is none */
void set_quantum(uint32_t blocks);              /* 0: a process runs until it yields */

/* --- frames.c ---------------------------------------------------------------------------------------------------------------- */

enum { UNMOVABLE = 0, MOVABLE = 1 };
enum { DONE = 0, REFUSED = -1, NO_MEMORY = -2, MANY = 1 << 30 };       /* what many functions answer */

pfn_t take_frames(struct task *task, int64_t n_frames, uint16_t mobility);      /* for a process; or below 0 */
void drop_frames(struct task *task, pfn_t pfn, int64_t n_frames);               /* a whole allocation, or this process's use of it */
int share_frames(struct task *task, pfn_t pfn, int64_t n_frames);               /* one more user of an allocation */
int64_t users_of(struct task *task, pfn_t pfn);  /* how many have an allocation that this process has */
void count_frames(struct task *task, int64_t n_frames);                         /* the process holds so many more */
void count_fault(struct task *task, uint64_t address, int kind);                /* FAULT_... */
int make_room(void);                            /* end the process that holds the most: whether the one whose turn it is lives on */

static inline void zero_frame(void *frame)
{
    memset(frame, 0, FRAME_BYTES);
}

static inline void copy_frame(void *to, const void *from)
{
    memcpy(to, from, FRAME_BYTES);
}

static inline void *direct(uint64_t physical)
{
    return (void *)(DIRECT_MAP + physical);
}

static inline uint64_t physical_of(const void *address)        /* of an address in the direct map */
{
    return (uint64_t)address - DIRECT_MAP;
}

/* Something for the machine's timeline. This is all there is to it: without the call nothing else changes. */
static inline void note(int64_t what, uint16_t pid, int64_t a, int64_t b)
{
    call(&(struct call_box){ .call = NOTE, .segment = what, .owner = pid, .base = a, .bound = b });
}

/* --- address spaces ---------------------------------------------------------------------------------------------------------- */

#define USER_END ((uint64_t)N_SEGMENTS << SEGMENT_SHIFT)
#define STACK_END ((uint64_t)(STACK_SEGMENT + 1) << SEGMENT_SHIFT)
#define SEGMENT_BYTES ((uint64_t)1 << SEGMENT_SHIFT)
enum { STACK_AT_START = 16 << 10, STACK_LIMIT = 1 << 20 };

static inline uint64_t segment_start(int number)
{
    return (uint64_t)number << SEGMENT_SHIFT;
}

static inline uint64_t whole_frames(uint64_t bytes)
{
    return (bytes + FRAME_BYTES - 1) & ~(uint64_t)(FRAME_BYTES - 1);
}

/* The two ways to make an address space. All but `reach` answer DONE, REFUSED or NO_MEMORY. */
struct space {
    int (*add)(struct task *task, int number, uint64_t bytes, unsigned flags);  /* a segment, full of zeros, from its start (the stack: to its end) */
    int (*fault)(struct task *task, uint64_t address, uint64_t error);          /* mend a page fault; REFUSED: the process must not do this */
    void *(*reach)(struct task *task, uint64_t address, int is_write);          /* in the direct map, to the end of the page; NULL: see `why` */
    int (*grow_heap)(struct task *task, uint64_t old_end, uint64_t new_end);    /* or shrink it */
    int (*unmap)(struct task *task, uint64_t address, uint64_t bytes);
    int (*copy)(struct task *child, struct task *parent);
    void (*destroy)(struct task *task);
    void (*explain)(const struct task *task, int number);                       /* prints how much of a segment there is */
    int (*is_free)(const struct task *task, int number);                        /* whether nothing is in that segment */
};
extern const struct space paging, segmentation, *space;
extern int large_pages_allowed;                 /* paging */

int load_elf(struct task *task, const uint8_t *file, uint64_t size);    /* REFUSED with `*elf_complaint` set */
extern const char *elf_complaint;

/* --- traps.c, syscalls.c, main.c --------------------------------------------------------------------------------------------- */

void system_call(struct task *task);
_Noreturn void machine_ends(void);
_Noreturn void panic(const char *why, const struct registers *registers);

#endif
