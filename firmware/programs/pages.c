/* Pages of the guest's own, for measurements: arguments are how many, how often each is touched, and what is touched.
 *   0  pages of 4 KiB through tables of four levels: with more of them than the translation buffer holds, every touch is a miss
 *   1  one page, again and again: no misses at all
 * Tables and pages come from the manager; one frame stands behind all pages. */
#include "kernel_sim.h"

#define PRESENT 1UL
#define WRITABLE 2UL
#define BASE 0x10000000UL

static uint64_t *new_table(void)
{
    uint64_t *table = frame_address(frame_alloc(1));
    memset(table, 0, FRAME_BYTES);
    return table;
}

static uint64_t *next_table(uint64_t *entry)
{
    if (!(*entry & PRESENT))
        *entry = ((uint64_t)new_table() - DIRECT_MAP) | PRESENT | WRITABLE;
    return (uint64_t *)(DIRECT_MAP + (*entry & ~0xfffUL));
}

static void map_all(uint64_t *table, int64_t n_pages, uint64_t frame)
{
    for (int64_t i = 0; i < n_pages; i++) {
        uint64_t virtual = BASE + (uint64_t)i * FRAME_BYTES, *here = table;
        for (int shift = 39; shift > 12; shift -= 9)
            here = next_table(&here[virtual >> shift & 511]);
        here[virtual >> 12 & 511] = frame | PRESENT | WRITABLE;
    }
}

static void touch(uint64_t step, int64_t n_pages, int64_t n_rounds)
{
    for (int64_t round = 0; round < n_rounds; round++) {
        uint64_t at = BASE, end = BASE + (uint64_t)n_pages * FRAME_BYTES;
        uint64_t n_touches = (end - at) / FRAME_BYTES;
        __asm__ volatile("1: mov (%0), %%rax\n add %2, %0\n dec %1\n jnz 1b" : "+r"(at), "+r"(n_touches) : "r"(step) : "rax", "memory");
    }
}

int main(const struct boot_info *boot)
{
    uint64_t boot_table;
    __asm__ volatile("mov %%cr3, %0" : "=r"(boot_table));
    uint64_t *table = new_table();
    memcpy(table, (const void *)(FIRMWARE + (boot_table & 0x1fffff)), FRAME_BYTES);
    map_all(table, boot->arguments[0], (uint64_t)frame_alloc(1) * FRAME_BYTES);
    __asm__ volatile("mov %0, %%cr3" :: "r"((uint64_t)table - DIRECT_MAP) : "memory");
    touch(boot->arguments[2] ? 0 : FRAME_BYTES, boot->arguments[0], boot->arguments[1]);
    return 0;
}
