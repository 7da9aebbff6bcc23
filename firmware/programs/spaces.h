/* Address spaces of pages, for programs in ring 0 that have no kernel: the tables are frames of their owner, the kernel's half is that of the boot. */
#ifndef SPACES_H
#define SPACES_H

#include "kernel_sim.h"

enum { PRESENT = 1, WRITABLE = 2, USER = 4, LARGE = 128 };

struct space { uint16_t owner; pfn_t root; };

static inline uint8_t *at(pfn_t pfn)
{
    return frame_address(pfn);
}

static inline pfn_t zeroed(uint16_t owner)
{
    pfn_t pfn = frame_alloc_for(1, owner, 0, 0);
    memset(at(pfn), 0, FRAME_BYTES);
    return pfn;
}

static inline uint64_t loaded_root(void)
{
    uint64_t root;
    __asm__ volatile("mov %%cr3, %0" : "=r"(root));
    return root;
}

static inline void load_root(uint64_t root)
{
    __asm__ volatile("mov %0, %%cr3" :: "r"(root) : "memory");
}

static inline void invalidate(uint64_t virtual)
{
    __asm__ volatile("invlpg (%0)" :: "r"(virtual) : "memory");
}

/* Below the end of the first range of frames CR3 points to a frame; else to the tables of the boot, in the firmware. */
static inline struct space new_space(const struct boot_info *info, uint16_t owner)
{
    uint64_t now = loaded_root();
    struct space space = {owner, zeroed(owner)};
    uint64_t base = now < (uint64_t)info->ranges[0].end_pfn * FRAME_BYTES ? DIRECT_MAP + now : FIRMWARE + (now & 0x1fffff);
    memcpy(at(space.root) + FRAME_BYTES / 2, (const void *)(base + FRAME_BYTES / 2), FRAME_BYTES / 2);
    return space;
}

static inline void enter(const struct space *space)
{
    load_root((uint64_t)space->root * FRAME_BYTES);
}

/* Where the entry for an address stands, at a level: 0 is that of the page. Tables that are missing are made. */
static inline uint64_t *entry_of(const struct space *space, uint64_t virtual, int level)
{
    uint64_t *table = (uint64_t *)at(space->root);
    for (int now = 3; now > level; now--) {
        uint64_t *entry = &table[virtual >> (12 + 9 * now) & 511];
        if (!(*entry & PRESENT))
            *entry = (uint64_t)zeroed(space->owner) * FRAME_BYTES | PRESENT | WRITABLE | USER;
        table = (uint64_t *)at((pfn_t)(*entry / FRAME_BYTES));
    }
    return &table[virtual >> (12 + 9 * level) & 511];
}

/* The table that an entry of this level leads to. */
static inline pfn_t table_of(const struct space *space, uint64_t virtual, int level)
{
    return (pfn_t)(*entry_of(space, virtual, level) / FRAME_BYTES);
}

static inline void map(const struct space *space, uint64_t virtual, pfn_t pfn, uint64_t flags)
{
    *entry_of(space, virtual, 0) = (uint64_t)pfn * FRAME_BYTES | flags | PRESENT;
}

static inline void note(int64_t what, uint16_t owner)
{
    struct call_box box = {.call = NOTE, .segment = what, .owner = owner};
    call(&box);
}

#endif
