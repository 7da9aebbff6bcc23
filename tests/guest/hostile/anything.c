/* Anything at all, drawn from a seed (arguments[0]): page tables, tables of the processor, accesses, instructions of ring 0, and visits to ring 3.
 * A trap goes on with the next step. The machine may do with such a guest whatever it likes, as long as it survives it. */
#include "lab.h"

enum { N_STEPS = 4000, MOST_TRAPS = 3000, N_TABLES = 12 };

uint64_t back, back_stack;          /* where a trap goes on */
static uint64_t state, n_traps;
void call_step(void);
void step(void);

__asm__(".text\ncall_step: pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n pushq %rax\n leaq 1f(%rip), %rax\n"
        " movq %rax, back(%rip)\n movq %rsp, back_stack(%rip)\n call step\n"
        "1: popq %rax\n popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n ret\n");

static const uint8_t in_ring_3[][8] = {
    { 0xcc }, { 0x90, 0xcd, 0x20 }, { 0x0f, 0x05 }, { 0xe6, 0x80, 0xcc }, { 0x48, 0xff, 0x1c, 0x24 }, { 0xff, 0x2c, 0x24 }, { 0x50, 0x58, 0xeb, 0xfc },
    { 0xf4 }, { 0x48, 0xcf }, { 0x48, 0xcb }, { 0x9d, 0xcc }, { 0xf3, 0xa4 }, { 0xcd, 14 }, { 0x90, 0x90, 0xeb, 0xfc },
};

void trapped(struct trap *trap)
{
    if (n_traps++ > MOST_TRAPS)
        exit(7);
    trap->rip = back, trap->rsp = back_stack, trap->cs = KERNEL_CODE, trap->ss = KERNEL_DATA, trap->flags = 2;
}

static uint64_t any(void)           /* xorshift64* (Vigna, 2016) */
{
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t bound) { return any() % bound; }
static int one_in(uint64_t n) { return below(n) == 0; }

static uint64_t any_physical(void)
{
    switch (below(12)) {
    case 0: return any() & 0x3ffffffff000;
    case 1: return any() & 0xffffffffff000;
    case 2: return 0xffe00000 + (any() & 0x1ff000);     /* the firmware */
    case 3: return PHYSICAL(below(8192));               /* half of it beyond the memory */
    case 4: return any() & 0xfffff000;
    default: return PHYSICAL(1 + below(N_TABLES));
    }
}

static uint64_t any_entry(void)
{
    uint64_t entry = any_physical() | (any() & 0x67);
    entry |= one_in(8) ? 0 : PRESENT;
    entry |= one_in(2) ? PRESENT | WRITABLE | USER : 0;
    entry |= one_in(6) ? 0x80 : 0;
    entry |= one_in(40) ? any() & 0xfff : 0;
    entry |= one_in(40) ? any() : 0;
    return entry | (one_in(20) ? 1UL << 63 : 0);
}

static uint64_t any_address(void)
{
    uint64_t address;
    switch (below(8)) {
    case 0: address = any(); break;
    case 1: address = any() & 0x7fffffffffff; break;
    case 2: address = DIRECT_MAP + (any() & 0xffffff); break;
    case 3: address = 0xffffffff80000000 + (any() & 0x1fffff); break;
    default: address = below(4) << 39 | below(4) << 30 | below(4) << 21 | below(4) << 12 | (any() & 0xfff);
    }
    return one_in(3) ? (address & ~0xfffUL) | (0xff0 + below(16)) : address;      /* often at the end of a page */
}

static void visit_ring_3(uint64_t address)
{
    uint8_t *code = (uint8_t *)frame_words(16);
    if (one_in(3))
        for (int i = 0; i < 64; i++)
            code[i] = (uint8_t)any();
    else
        memcpy(code, in_ring_3[below(sizeof in_ring_3 / sizeof *in_ring_3)], sizeof *in_ring_3);
    enter_user(one_in(3) ? address : USER_PAGE(0), one_in(2) ? any_address() : USER_PAGE(2) + 8 * below(600), one_in(3) ? 2 | (any() & 0x4fd7) : 2);
}

static void any_table(void)         /* the processor's own */
{
    struct table_register table = { (uint16_t)any(), any_address() };
    switch (below(40)) {
    case 0: __asm__ volatile("lgdt %0" : : "m"(table)); break;
    case 1: __asm__ volatile("lidt %0" : : "m"(table)); break;
    case 2: case 3: case 4: case 5: gdt[5] &= ~(2UL << 40); __asm__ volatile("ltr %w0" : : "r"(below(72))); break;
    case 6: case 7: case 8: case 9: case 10: ((uint8_t *)&task_state)[below(sizeof task_state)] = (uint8_t)any(); break;
    case 11: case 12: case 13: idt[below(N_VECTORS)].low ^= 1UL << below(64); break;
    default: gdt[below(9)] ^= 1UL << below(64);
    }
}

static void any_access(uint64_t address)
{
    uint64_t count = below(9000), to = (uint64_t)frame_words(40), value = any();
    if (address >= 0xffffffff80000000)      /* not this guest itself */
        return;
    switch (below(6)) {
    case 0: *(volatile uint64_t *)address = value; break;
    case 1: __asm__ volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(address) : "memory"); break;
    case 2: __asm__ volatile("rep movsb" : "+S"(address), "+D"(to), "+c"(count) : : "memory"); break;
    case 3: address &= 0x7fffffffffff, count /= 4; __asm__ volatile("rep stosq" : "+D"(address), "+c"(count) : "a"(value) : "memory"); break;
    case 4: __asm__ volatile("fxsave (%0)" : : "r"(address & ~0xfUL) : "memory"); break;
    default: __asm__ volatile("jmp *%0" : : "r"(address));
    }
}

__attribute__((used)) void step(void)
{
    uint64_t address = any_address(), root;
    switch (below(20)) {
    case 0: case 1: case 2: case 3: frame_words(1 + below(N_TABLES))[below(one_in(2) ? 512 : 4)] = any_entry(); break;
    case 4: ((uint64_t *)PAGE_TABLES)[below(4)] = any_entry(); break;
    case 5: __asm__ volatile("mov %%cr3, %0\n mov %0, %%cr3" : "=r"(root) : : "memory"); break;
    case 6: __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); break;
    case 7: if (one_in(30)) load_root(one_in(2) ? any() : PHYSICAL(1 + below(N_TABLES))); break;
    case 8: __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs" : : "r"(below(100))); break;
    case 9: any_table(); break;
    case 10: __asm__ volatile("outl %0, %1\n sti\n nop\n nop\n cli" : : "a"((uint32_t)(one_in(4) ? below(50) : 0)), "d"((uint16_t)TIMER_PORT)); break;
    case 11: __asm__ volatile("int3"); break;
    case 12: case 13: visit_ring_3(address); break;
    default: any_access(address);
    }
}

static const uint8_t nothing[1];

int main(const struct boot_info *boot)
{
    state = (uint64_t)boot->arguments[0] * 0x9e3779b97f4a7c15 | 1;
    tables_set_up();
    user_set_up(nothing, nothing + 1);
    for (int vector = 0; vector < N_VECTORS; vector++)
        if (one_in(8))
            set_gate(vector, (uint64_t)vectors + 16 * (uint64_t)vector, 1 + (int)below(2), one_in(2) ? TRAP_GATE : INTERRUPT_GATE);
    task_state.ist[1] = one_in(2) ? any_address() : (uint64_t)other_stack + sizeof other_stack;
    for (int i = 0; i < N_STEPS; i++)
        call_step();
    return 0;
}
