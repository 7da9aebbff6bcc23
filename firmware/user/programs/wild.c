/* wild: what no process may do; the argument says which (below), and `all`, the default, forks a child for each.
 *
 * The kernel must end the process for it. One that comes back from it exits with status 1; so a run is right when every process but the
 * parent of `all` was killed.
 */
#include "user.h"

static const char constant[] = "constant";
static unsigned char data[16];

static void read_at(uint64_t address)
{
    (void)*(volatile unsigned char *)address;
}

static void write_at(uint64_t address)
{
    *(volatile unsigned char *)address = 1;
}

static void call_at(uint64_t address)
{
    void (*volatile function)(void) = (void (*)(void))address;
    function();
}

static void execute(unsigned char *place)
{
    *(volatile unsigned char *)place = 0xc3;    /* ret */
    call_at((uint64_t)place);
}

static void null_read(void) { read_at(0); }
static void null_call(void) { call_at(0); }
static void code_write(void) { write_at((uint64_t)null_read); }
static void rodata_write(void) { write_at((uint64_t)constant); }
static void data_execute(void) { execute(data); }
static void kernel_read(void) { read_at(DIRECT_MAP); }
static void kernel_write(void) { write_at(FIRMWARE); }
static void kernel_call(void) { call_at(FIRMWARE); }
static void table_read(void) { read_at(PROCESS_TABLE); }
static void beyond_bound(void) { read_at((uint64_t)SEGMENT_START(DATA_SEGMENT) + ((uint64_t)1 << 30)); }
static void missing_segment(void) { read_at((uint64_t)SEGMENT_START(FIRST_FREE_SEGMENT + 4)); }
static void non_canonical(void) { read_at((uint64_t)1 << 47); }
static void privileged_cli(void) { __asm__ volatile("cli"); }
static void privileged_hlt(void) { __asm__ volatile("hlt"); }
static void privileged_cr3(void) { uint64_t value; __asm__ volatile("movq %%cr3, %0" : "=r"(value)); }
static void port(void) { __asm__ volatile("outb %%al, %0" : : "i"(CONSOLE_PORT)); }
static void divide(void) { __asm__ volatile("divl %0" : : "r"(0), "a"(1), "d"(0) : "cc"); }
static void undefined(void) { __asm__ volatile("ud2"); }
static void interrupt(void) { __asm__ volatile("int $0x80"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void syscall(void) { __asm__ volatile("syscall" : : : "rcx", "r11", "memory"); }
static void kernel_selector(void) { __asm__ volatile("pushq $8; pushq $0; lretq"); }

static void stack_execute(void)
{
    unsigned char place[16];
    execute(place);
}

static void heap_execute(void)
{
    execute(sbrk(PAGE));
}

static void beyond_heap(void)
{
    char *start = sbrk(PAGE);
    start[PAGE - 1] = 1;                        /* this is allowed */
    write_at((uint64_t)start + PAGE);
}

static void below_break(void)
{
    char *start = sbrk(2 * PAGE);
    start[PAGE] = 1;
    sbrk(-(int64_t)PAGE);
    read_at((uint64_t)start + PAGE);
}

static void after_munmap(void)
{
    char *start = mmap(2 * PAGE);
    start[PAGE] = 1;
    munmap(start, 2 * PAGE);
    read_at((uint64_t)start + PAGE);
}

static void beyond_mapping(void)
{
    char *start = mmap(2 * PAGE);
    start[2 * PAGE - 1] = 1;
    write_at((uint64_t)start + 2 * PAGE);
}

static void stack_overflow(void)
{
    volatile char mine[2048];
    mine[0] = 1;
    if (mine[0])
        stack_overflow();
    mine[0] = 0;                                /* not a tail call */
}

static const struct {
    const char *name;
    void (*act)(void);
} kinds[] = {
    { "null", null_read }, { "null-call", null_call }, { "code-write", code_write }, { "rodata-write", rodata_write },
    { "data-execute", data_execute }, { "stack-execute", stack_execute }, { "heap-execute", heap_execute },
    { "kernel-read", kernel_read }, { "kernel-write", kernel_write }, { "kernel-call", kernel_call }, { "table-read", table_read },
    { "beyond-heap", beyond_heap }, { "below-break", below_break }, { "after-munmap", after_munmap }, { "beyond-mapping", beyond_mapping },
    { "beyond-bound", beyond_bound }, { "missing-segment", missing_segment }, { "non-canonical", non_canonical },
    { "stack-overflow", stack_overflow }, { "cli", privileged_cli }, { "hlt", privileged_hlt }, { "cr3", privileged_cr3 }, { "port", port },
    { "divide", divide }, { "undefined", undefined }, { "int", interrupt }, { "breakpoint", breakpoint }, { "syscall", syscall },
    { "kernel-selector", kernel_selector },
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static int act(int kind)
{
    kinds[kind].act();
    printf("wild: %s went unpunished\n", kinds[kind].name);
    return 1;
}

static int act_all(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int64_t pid = fork();
        if (pid == 0)
            return act(kind);
        check(pid > 0, "wild: no child for %s\n", kinds[kind].name);
        yield();
    }
    printf("wild: %d children, none of which should come to an end of its own\n", KINDS);
    return failures != 0;
}

int main(const char *argument)
{
    if (!*argument || strcmp(argument, "all") == 0)
        return act_all();
    for (int kind = 0; kind < KINDS; kind++)
        if (strcmp(argument, kinds[kind].name) == 0)
            return act(kind);
    printf("wild: nothing is called %s\n", argument);
    return 2;
}
