/* What the sanitizer must not take for a mistake, and a mistake it must not miss: arguments[0] says what. */
#include "lab.h"

enum { FRAME_ON_A_STACK, STACK_OF_ITS_OWN, STORE_OVER_THE_BORDER, LOAD_OVER_THE_BORDER, COPY_OVER_THE_BORDER, NEVER_WRITTEN,
       DROPPED_BY_CR4, KERNELS_TABLE_FREED };
enum { ENTRY = PRESENT | WRITABLE };

static volatile uint64_t seen;

void trapped(struct trap *trap)
{
    if (trap->vector != BREAKPOINT)
        exit((int)trap->vector);
}

static uint8_t *new_pages(int n) { return frame_address(frame_alloc(n)); }

static pfn_t new_table(void)
{
    pfn_t pfn = frame_alloc(1);
    memset(frame_address(pfn), 0, FRAME_BYTES);
    return pfn;
}

static void bytes(int64_t what)
{
    uint8_t *page = new_pages(2), *other = new_pages(2);
    if (what == FRAME_ON_A_STACK)
        __asm__ volatile("mov %%rsp, %%rbx\n mov %0, %%rsp\n int3\n mov %%rbx, %%rsp" : : "r"(page + 4096) : "rbx", "memory");
    if (what == STACK_OF_ITS_OWN) {
        task_state.ist[0] = (uint64_t)page + 4096;
        set_gate(BREAKPOINT, (uint64_t)vectors + 16 * BREAKPOINT, 1, INTERRUPT_GATE);
        __asm__ volatile("int3");
    }
    if (what == LOAD_OVER_THE_BORDER)
        *(volatile uint32_t *)(page + 4092) = *(volatile uint32_t *)(page + 4096) = 1;
    else if (what >= STORE_OVER_THE_BORDER)
        *(volatile uint64_t *)(page + 4092) = 1;
    if (what == LOAD_OVER_THE_BORDER)
        seen = *(volatile uint64_t *)(page + 4092);
    if (what == STORE_OVER_THE_BORDER || what == COPY_OVER_THE_BORDER)
        seen = *(volatile uint32_t *)(page + 4096);
    if (what == COPY_OVER_THE_BORDER) {
        void *to = other + 100, *from = page + 4092;
        uint64_t count = 1;
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        seen = *(volatile uint64_t *)(other + 100);
    }
    if (what == NEVER_WRITTEN)
        seen = *(volatile uint64_t *)(page + 4100);
}

static void tables(int64_t what)
{
    pfn_t root = new_table(), third = new_table(), second = new_table(), first = new_table(), page = new_table(), other = new_table();
    memcpy(frame_words((uint64_t)root) + 256, (uint64_t *)PAGE_TABLES + 256, 2048);
    frame_words((uint64_t)root)[0] = frame_words((uint64_t)root)[300] = PHYSICAL(third) | ENTRY;
    frame_words((uint64_t)third)[0] = PHYSICAL(second) | ENTRY;
    frame_words((uint64_t)second)[0] = PHYSICAL(first) | ENTRY;
    frame_words((uint64_t)first)[1] = PHYSICAL(page) | ENTRY;
    load_root(PHYSICAL(root));
    volatile uint64_t *user = (uint64_t *)FRAME_BYTES, *kernels = (uint64_t *)(0xffff960000000000 + FRAME_BYTES);
    if (what == DROPPED_BY_CR4) {
        seen = *user;
        frame_words((uint64_t)first)[1] = PHYSICAL(other) | ENTRY;
        __asm__ volatile("mov %%cr4, %%rax\n xor $0x80, %%rax\n mov %%rax, %%cr4\n xor $0x80, %%rax\n mov %%rax, %%cr4" : : : "rax", "memory");
        seen = *user;
    } else {
        seen = *kernels;
        frame_free(first);
        seen = *kernels;
    }
}

int main(const struct boot_info *boot)
{
    tables_set_up();
    if (boot->arguments[0] < DROPPED_BY_CR4)
        bytes(boot->arguments[0]);
    else
        tables(boot->arguments[0]);
    return 0;
}
