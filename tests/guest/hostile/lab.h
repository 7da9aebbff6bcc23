/* A kernel of no use: tables, handlers that tell what they find, and a page of code for ring 3. What is done with it is its guests' business.
 *
 * Frames below 64 are taken without asking: the tables that make user pages are in 1 to 3, user pages 0, 1 and 2 (code, data, stack) in 16 to 18.
 */
#include "kernel_sim.h"

enum { PRESENT = 1, WRITABLE = 2, USER = 4, KERNEL_CODE = 8, KERNEL_DATA = 16, USER_DATA = 0x1b, USER_CODE = 0x23, TASK_STATE = 0x28, CALL_GATE = 0x3b };
enum { INTERRUPT_GATE = 0x8e, TRAP_GATE = 0x8f, N_VECTORS = 64, BREAKPOINT = 3, PAGE_FAULT = 14, USER_PAGES = 0x400000 };

#define PHYSICAL(frame) ((uint64_t)(frame) * FRAME_BYTES)
#define USER_PAGE(i) (USER_PAGES + PHYSICAL(i))

struct trap {
    uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, vector, error, rip, cs, flags, rsp, ss;
};

struct __attribute__((packed)) task_state { uint32_t spare; uint64_t rsp[3], spare_2, ist[7], spare_3; uint16_t spare_4, io_map; };
struct __attribute__((packed)) table_register { uint16_t limit; uint64_t base; };

void trapped(struct trap *trap);
extern const uint8_t vectors[], gate_entry[];

static uint64_t gdt[9] __attribute__((aligned(16)));
static struct { uint64_t low, high; } idt[N_VECTORS] __attribute__((aligned(16)));
static struct task_state task_state __attribute__((aligned(4096)));
static uint8_t stack_of_traps[4096] __attribute__((aligned(4096))), other_stack[4096] __attribute__((aligned(16)));

__asm__(
    ".text\n.balign 16\n.globl vectors, gate_entry\nvectors:\n.set vector, 0\n"
    ".rept 64\n.balign 16\n.if vector > 31 || ((0x60227d00 >> vector) & 1) == 0\n pushq $0\n.endif\n pushq $vector\n jmp save\n.set vector, vector + 1\n.endr\n"
    "save: pushq %r11\n pushq %r10\n pushq %r9\n pushq %r8\n pushq %rdi\n pushq %rsi\n pushq %rdx\n pushq %rcx\n pushq %rax\n"
    " cld\n mov %rsp, %rdi\n pushq %rbp\n mov %rsp, %rbp\n and $-16, %rsp\n call trapped\n mov %rbp, %rsp\n popq %rbp\n"
    " popq %rax\n popq %rcx\n popq %rdx\n popq %rsi\n popq %rdi\n popq %r8\n popq %r9\n popq %r10\n popq %r11\n addq $16, %rsp\n iretq\n"
    "gate_entry: lretq\n");

static inline uint64_t *frame_words(uint64_t frame) { return frame_address((pfn_t)frame); }

static inline uint64_t fault_address(void)
{
    uint64_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    return address;
}

static inline void load_root(uint64_t physical) { __asm__ volatile("mov %0, %%cr3" : : "r"(physical) : "memory"); }

static void set_gate(int vector, uint64_t to, int stack, int kind)
{
    idt[vector].low = (to & 0xffff) | (uint64_t)KERNEL_CODE << 16 | (uint64_t)stack << 32 | (uint64_t)kind << 40 | (to & 0xffff0000) << 32;
    idt[vector].high = to >> 32;
}

static void tables_set_up(void)
{
    uint64_t state = (uint64_t)&task_state, gate = (uint64_t)gate_entry;
    gdt[1] = 0x00af9a000000ffff, gdt[2] = 0x00cf92000000ffff, gdt[3] = 0x00cff2000000ffff, gdt[4] = 0x00affa000000ffff;
    gdt[5] = (sizeof task_state - 1) | (state & 0xffffff) << 16 | 0x89UL << 40 | (state >> 24 & 0xff) << 56, gdt[6] = state >> 32;
    gdt[7] = (gate & 0xffff) | (uint64_t)KERNEL_CODE << 16 | 0xecUL << 40 | (gate & 0xffff0000) << 32, gdt[8] = gate >> 32;
    for (int vector = 0; vector < N_VECTORS; vector++)
        set_gate(vector, (uint64_t)vectors + 16 * (uint64_t)vector, 0, INTERRUPT_GATE);
    task_state.rsp[0] = (uint64_t)stack_of_traps + sizeof stack_of_traps;
    task_state.ist[0] = (uint64_t)other_stack + sizeof other_stack;
    task_state.io_map = sizeof task_state;
    struct table_register of_gdt = { sizeof gdt - 1, (uint64_t)gdt }, of_idt = { sizeof idt - 1, (uint64_t)idt };
    __asm__ volatile("lgdt %0\n lidt %1\n mov %2, %%ds\n mov %2, %%es\n mov %2, %%ss\n pushq $8\n leaq 1f(%%rip), %%rax\n pushq %%rax\n lretq\n1: ltr %w3"
                     : : "m"(of_gdt), "m"(of_idt), "r"(KERNEL_DATA), "r"(TASK_STATE) : "rax", "memory");
}

static void map_user(int i, uint64_t entry)
{
    ((uint64_t *)PAGE_TABLES)[0] = PHYSICAL(1) | PRESENT | WRITABLE | USER;
    frame_words(1)[0] = PHYSICAL(2) | PRESENT | WRITABLE | USER;
    frame_words(2)[2] = PHYSICAL(3) | PRESENT | WRITABLE | USER;
    frame_words(3)[i] = entry;
}

static void user_set_up(const uint8_t *code, const uint8_t *end)
{
    map_user(0, PHYSICAL(16) | PRESENT | USER);
    map_user(1, PHYSICAL(17) | PRESENT | WRITABLE | USER);
    map_user(2, PHYSICAL(18) | PRESENT | WRITABLE | USER);
    memcpy(frame_words(16), code, (size_t)(end - code));
}

static void enter_user(uint64_t rip, uint64_t rsp, uint64_t flags)
{
    __asm__ volatile("pushq %0\n pushq %1\n pushq %2\n pushq %3\n pushq %4\n iretq"
                     : : "r"((uint64_t)USER_DATA), "r"(rsp), "r"(flags), "r"((uint64_t)USER_CODE), "r"(rip));
}
