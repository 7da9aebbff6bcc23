/* Exceptions and interrupts, from ring 0 and from ring 3, without a kernel around them: what a handler finds on its stack, and that iretq goes on
 * where it was. arguments[0] chooses the scenario, arguments[1] how often it is done. */
#include "kernel_sim.h"

#define USER_CODE 0x400000UL
#define USER_DATA 0x600000UL
#define PRESENT 1UL
#define WRITABLE 2UL
#define USER 4UL

struct frame { uint64_t code, rip, cs, flags, rsp, ss; };

struct __attribute__((packed)) { uint32_t spare; uint64_t rsp[3], spare2, ist[7], spare3; uint16_t spare4, io_map; } tss;
static uint64_t gdt[9] __attribute__((aligned(16)));
static struct { uint64_t low, high; } idt[64] __attribute__((aligned(16)));
static uint8_t stack_of_faults[8192] __attribute__((aligned(16))), stack_of_doubles[8192] __attribute__((aligned(16)));
static struct { uint64_t vector, code, address, rip, cs, rsp; } last;
int64_t n_calls;
static int64_t n_traps;
static uint64_t top_table;

void trap_common(uint64_t vector, struct frame *frame);
void enter_user(uint64_t rip, uint64_t rsp);
void call_entry(void);
extern const uint8_t user_begin[], user_end[];
extern void *const trap_entries[64];

/* Entries push their vector, and a zero where the processor pushes no error code; one common tail saves what C may change. */
__asm__(
    ".macro entry number, has_code\n"
    "1: .if \\has_code == 0\n push $0\n .endif\n push $\\number\n jmp trap_tail\n"
    ".pushsection .rodata\n .quad 1b\n .popsection\n"
    ".endm\n"
    ".pushsection .rodata\n .balign 8\n trap_entries:\n .popsection\n"
    ".altmacro\n.set n, 0\n"
    ".rept 64\n"
    " .if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)\n entry %n, 1\n .else\n entry %n, 0\n .endif\n"
    " .set n, n + 1\n"
    ".endr\n.noaltmacro\n"
    "trap_tail:\n"
    " push %rax\n push %rcx\n push %rdx\n push %rsi\n push %rdi\n push %r8\n push %r9\n push %r10\n push %r11\n push %rbx\n"
    " mov 80(%rsp), %rdi\n lea 88(%rsp), %rsi\n mov %rsp, %rbx\n and $-16, %rsp\n call trap_common\n mov %rbx, %rsp\n"
    " pop %rbx\n pop %r11\n pop %r10\n pop %r9\n pop %r8\n pop %rdi\n pop %rsi\n pop %rdx\n pop %rcx\n pop %rax\n"
    " add $16, %rsp\n iretq\n"
    "enter_user: push $0x1b\n push %rsi\n push $0x202\n push $0x23\n push %rdi\n iretq\n"
    "call_entry: incq n_calls(%rip)\n lretq\n"
    /* What runs in ring 3: %r15 says how often, %r14 which scenario. */
    "user_begin: mov %r14, %rax\n cmp $0, %rax\n je 3f\n cmp $1, %rax\n je 4f\n cmp $2, %rax\n je 5f\n cmp $3, %rax\n je 6f\n cmp $4, %rax\n je 8f\n ud2\n"
    "3: mov $0x600000, %rbx\n 33: movb $1, 5(%rbx)\n add $4096, %rbx\n dec %r15\n jnz 33b\n jmp 9f\n"          /* page faults: page after page is touched */
    "4: xor %edx, %edx\n mov $1, %eax\n xor %ecx, %ecx\n 44: div %ecx\n dec %r15\n jnz 44b\n jmp 9f\n"   /* division errors: the handler passes over */
    "5: .byte 0x48\n lcall *far_pointer(%rip)\n dec %r15\n jnz 5b\n jmp 9f\n"                      /* system calls */
    "6: dec %r15\n jnz 6b\n jmp 9f\n"                                                       /* work, for the timer */
    "8: int3\n cli\n dec %r15\n jnz 8b\n jmp 9f\n"                                            /* a breakpoint, and what ring 3 may not do */
    "9: ud2\n"
    ".balign 8\nfar_pointer: .quad 0\n .word 0x3b\n"
    "user_end:\n"
);

static uint64_t *table_at(uint64_t entry)
{
    return (uint64_t *)(DIRECT_MAP + (entry & 0x000ffffffffff000UL));
}

static uint64_t new_table(void)
{
    pfn_t pfn = frame_alloc(1);
    memset(frame_address(pfn), 0, FRAME_BYTES);
    return (uint64_t)pfn * FRAME_BYTES;
}

static void map(uint64_t virtual, uint64_t entry)
{
    uint64_t *table = table_at(top_table);
    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t *next = &table[virtual >> shift & 511];
        if (!(*next & PRESENT))
            *next = new_table() | PRESENT | WRITABLE | USER;
        table = table_at(*next);
    }
    table[virtual >> 12 & 511] = entry;
    __asm__ volatile("invlpg (%0)" :: "r"(virtual) : "memory");
}

static int64_t scenario;

void trap_common(uint64_t vector, struct frame *frame)
{
    uint64_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    n_traps++;
    last.vector = vector, last.code = frame->code, last.address = address, last.rip = frame->rip, last.cs = frame->cs, last.rsp = frame->rsp;
    if (vector == 14 && frame->cs == 0x23 && scenario == 0) {       /* demand-zero */
        uint64_t zeroed = new_table();
        map(address, zeroed | PRESENT | WRITABLE | USER);
        return;
    }
    if (vector == 0 || (vector == 13 && frame->cs == 0x23)) {
        frame->rip += vector == 0 ? 2 : 1;
        return;
    }
    if (vector == 3 || vector == 32)
        return;
    print("traps %ld calls %ld last vector %lu code %lu address %lx cs %lx\n", n_traps, n_calls, vector, frame->code, address, frame->cs);
    exit(vector == 6 ? 0 : 1);
}

static void set_gate(int vector, uint64_t handler, int stack, int privilege)
{
    idt[vector].low = (handler & 0xffff) | 0x08UL << 16 | (uint64_t)stack << 32 | (uint64_t)(0x8e | privilege << 5) << 40 | (handler & 0xffff0000) << 32;
    idt[vector].high = handler >> 32;
}

static void set_up(void)
{
    gdt[1] = 0x00af9b000000ffffUL, gdt[2] = 0x00cf93000000ffffUL, gdt[3] = 0x00cff3000000ffffUL, gdt[4] = 0x00affb000000ffffUL;
    uint64_t base = (uint64_t)&tss, entry = (uint64_t)call_entry;
    gdt[5] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
    gdt[6] = base >> 32;
    gdt[7] = (entry & 0xffff) | 0x08UL << 16 | 0xecUL << 40 | (entry >> 16 & 0xffff) << 48;
    gdt[8] = entry >> 32;
    tss.rsp[0] = (uint64_t)(stack_of_faults + sizeof stack_of_faults);
    tss.ist[0] = (uint64_t)(stack_of_doubles + sizeof stack_of_doubles);
    tss.io_map = sizeof tss;
    for (int vector = 0; vector < 64; vector++)
        set_gate(vector, (uint64_t)trap_entries[vector], vector == 8, vector == 3 ? 3 : 0);
    struct __attribute__((packed)) { uint16_t limit; uint64_t base; } gdtr = {sizeof gdt - 1, (uint64_t)gdt}, idtr = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lgdt %0\n lidt %1\n ltr %w2" :: "m"(gdtr), "m"(idtr), "r"(0x28));
    uint64_t boot_table;
    __asm__ volatile("mov %%cr3, %0" : "=r"(boot_table));
    top_table = new_table();
    const uint64_t *boot = (const uint64_t *)(FIRMWARE + (boot_table & 0x1fffff));
    for (int i = 256; i < 512; i++)
        table_at(top_table)[i] = boot[i];
    __asm__ volatile("mov %0, %%cr3" :: "r"(top_table) : "memory");
}

int main(const struct boot_info *boot)
{
    scenario = boot->arguments[0];
    set_up();
    pfn_t code = frame_alloc(1);
    memcpy(frame_address(code), user_begin, (size_t)(user_end - user_begin));
    map(USER_CODE, (uint64_t)code * FRAME_BYTES | PRESENT | USER);
    if (scenario == 3) {
        __asm__ volatile("outl %0, %1" :: "a"(1000), "Nd"((uint16_t)TIMER_PORT));
    } else if (scenario == 10) {        /* ring 0 reads where nothing is */
        (void)*(volatile uint64_t *)0x123456789abcUL;
    } else if (scenario == 11) {        /* a stack that has run out: the page fault cannot be pushed */
        __asm__ volatile("mov %0, %%rsp\n push %%rax" :: "r"(0x200000000000UL) : "memory");
    } else if (scenario == 12) {        /* and nor can the double fault */
        tss.ist[0] = 0x300000000000UL;
        __asm__ volatile("mov %0, %%rsp\n push %%rax" :: "r"(0x200000000000UL) : "memory");
    }
    __asm__ volatile("mov %0, %%r14\n mov %1, %%r15\n mov %2, %%rdi\n mov %3, %%rsi\n jmp enter_user" ::
                     "r"(scenario), "r"(boot->arguments[1]), "r"(USER_CODE), "r"(USER_DATA + 0x100000) : "r14", "r15", "rdi", "rsi");
    return 1;
}
