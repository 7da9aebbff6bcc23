/* orderly: a random program in ring 0 without a mistake. The seed alone decides what it does: it allocates runs of frames and segments, gives back
 * all of them or parts, and has two processes whose pages it maps, shares, protects, unmaps and remaps, with every invlpg and load of CR3 that is
 * due. It reads whatever it has written. So what a sanitizer reports about it is the sanitizer's mistake. arguments[0]: how many steps (default 400);
 * arguments[1]: which invalidation of a changed entry is left out, counted from 1: the one mistake it can be told to make. */
#include "spaces.h"

#define BASE 0x600000UL                         /* of a process's pages */
enum { RUNS = 12, PAGES = 24, PROCESSES = 2, FAR = 40 };    /* every FAR pages a page: over several page tables */

struct run { pfn_t pfn; int64_t n_frames; uint64_t mark; int64_t segment; };
struct page { pfn_t pfn; uint64_t mark; int is_writable; };

static struct random random;
static struct run runs[RUNS];
static struct page pages[PROCESSES][PAGES];
static struct space spaces[PROCESSES];
static int now = -1;                            /* whose address space it is; -1: that of the boot */
static uint64_t boot_root;
static int64_t wrong, n_changes, left_out;

static uint64_t address_of(int page)
{
    return BASE + (uint64_t)page * FAR * FRAME_BYTES;
}

static volatile uint64_t *word(const void *at, uint64_t mark)
{
    return (volatile uint64_t *)at + mark % 512;
}

static void expect(volatile uint64_t *word, uint64_t mark)
{
    wrong += *word != mark;
}

/* --- runs of frames, and segments -------------------------------------------------------------------------------------------- */

static void sign(const struct run *run)
{
    for (int64_t i = 0; i < run->n_frames; i++)
        *word(at(run->pfn + i), run->mark) = run->mark;
}

static void verify(const struct run *run)
{
    for (int64_t i = 0; i < run->n_frames; i++)
        expect(word(at(run->pfn + i), run->mark), run->mark);
}

static void take_run(struct run *run)
{
    int64_t n_frames = 1 + (int64_t)random_below(&random, 9);
    struct segment segment = {0, 0, 0};
    if (random_below(&random, 3) == 0)
        segment = segment_alloc((uint64_t)n_frames * FRAME_BYTES, 0);
    pfn_t pfn = segment.id > 0 ? (pfn_t)(segment.base / FRAME_BYTES) : frame_alloc(n_frames);
    if (pfn < 0)
        return;
    *run = (struct run){pfn, n_frames, random_next(&random), segment.id};
    sign(run);
}

static void give_back(struct run *run)
{
    verify(run);
    if (run->segment > 0)
        segment_free(run->segment);
    else
        frame_free(run->pfn);
    run->n_frames = 0;
}

static void give_back_a_part(struct run *run)
{
    int64_t n_left = 1 + (int64_t)random_below(&random, (uint64_t)run->n_frames - 1);
    frame_free_part(run->pfn + n_left, run->n_frames - n_left);
    run->n_frames = n_left;
    verify(run);
}

static void play_run(void)
{
    struct run *run = &runs[random_below(&random, RUNS)];
    if (!run->n_frames)
        take_run(run);
    else if (run->n_frames > 1 && run->segment <= 0 && random_below(&random, 2))
        give_back_a_part(run);
    else if (random_below(&random, 2))
        give_back(run);
    else
        verify(run);
}

/* --- processes --------------------------------------------------------------------------------------------------------------- */

static void look(int process, int page)
{
    struct page *here = &pages[process][page];
    if (process == now && here->pfn)
        expect(word((void *)address_of(page), here->mark), here->mark);
}

/* An entry has changed: if it is of the address space that is entered, the processor may remember what it was. */
static void forget(int process, int page)
{
    if (process != now || ++n_changes == left_out)
        return;
    if (random_below(&random, 4))
        invalidate(address_of(page));
    else
        enter(&spaces[process]);
}

static void changed(int process, int page)
{
    forget(process, page);
    look(process, page);
}

static void map_page(int process, int page)
{
    pfn_t pfn = zeroed(spaces[process].owner);
    pages[process][page] = (struct page){pfn, random_next(&random), 1};
    *word(at(pfn), pages[process][page].mark) = pages[process][page].mark;
    map(&spaces[process], address_of(page), pfn, WRITABLE | USER);
    look(process, page);                        /* nothing was there: there is nothing to forget */
}

static void unmap_page(int process, int page)
{
    pfn_t pfn = pages[process][page].pfn;
    *entry_of(&spaces[process], address_of(page), 0) = 0;
    pages[process][page].pfn = 0;
    forget(process, page);
    frame_free_for(pfn, spaces[process].owner);
}

static void share_page(int process, int page)
{
    int other = !process;
    struct page *mine = &pages[process][page];
    if (pages[other][page].pfn)
        unmap_page(other, page);
    frame_share(mine->pfn, spaces[other].owner);
    mine->is_writable = 0;
    pages[other][page] = *mine;
    map(&spaces[process], address_of(page), mine->pfn, USER);
    changed(process, page);
    map(&spaces[other], address_of(page), mine->pfn, USER);
    look(other, page);
}

static void write_page(int process, int page)
{
    struct page *here = &pages[process][page];
    if (!here->is_writable) {                   /* copy on write */
        pfn_t copy = zeroed(spaces[process].owner), old = here->pfn;
        memcpy(at(copy), at(old), FRAME_BYTES);
        here->pfn = copy;
        here->is_writable = 1;
        map(&spaces[process], address_of(page), copy, WRITABLE | USER);
        changed(process, page);
        frame_free_for(old, spaces[process].owner);
    }
    here->mark = random_next(&random);
    *word(process == now ? (void *)address_of(page) : at(here->pfn), here->mark) = here->mark;
    look(process, page);
}

static void protect_page(int process, int page)
{
    pages[process][page].is_writable = 0;
    map(&spaces[process], address_of(page), pages[process][page].pfn, USER);
    changed(process, page);
}

static void play_page(void)
{
    int process = (int)random_below(&random, PROCESSES), page = (int)random_below(&random, PAGES);
    if (!pages[process][page].pfn) {
        map_page(process, page);
        return;
    }
    look(process, page);
    switch (random_below(&random, 5)) {
    case 0: unmap_page(process, page); break;
    case 1: share_page(process, page); break;
    case 2: protect_page(process, page); break;
    default: write_page(process, page); break;
    }
}

static void switch_space(void)
{
    now = (int)random_below(&random, PROCESSES + 1) - 1;
    if (now < 0)
        load_root(boot_root);
    else
        enter(&spaces[now]);
    note(NOTE_RUNS, now < 0 ? 0 : spaces[now].owner);
    for (int page = 0; page < PAGES; page++)
        if (now >= 0)
            look(now, page);
}

static void free_tables(const struct space *space)
{
    uint64_t *root = (uint64_t *)at(space->root), *upper = (uint64_t *)at((pfn_t)(root[0] & ~0xfffUL) / FRAME_BYTES);
    uint64_t *directory = (uint64_t *)at((pfn_t)((upper[0] & ~0xfffUL) / FRAME_BYTES));
    for (int i = 0; i < 512; i++)
        if (directory[i] & PRESENT)
            frame_free((pfn_t)(directory[i] / FRAME_BYTES));
    frame_free((pfn_t)(upper[0] / FRAME_BYTES));
    frame_free((pfn_t)(root[0] / FRAME_BYTES));
    frame_free(space->root);
}

int main(const struct boot_info *boot)
{
    int64_t n_steps = boot->arguments[0] ? boot->arguments[0] : 400;
    left_out = boot->arguments[1];
    random.state = boot->seed;
    boot_root = loaded_root();
    for (int process = 0; process < PROCESSES; process++) {
        spaces[process] = new_space(boot, (uint16_t)(process + 1));
        note(NOTE_STARTED, spaces[process].owner);
        entry_of(&spaces[process], BASE, 0);
    }
    for (int64_t step = 0; step < n_steps; step++) {
        uint64_t what = random_below(&random, 12);
        if (what < 4)
            play_run();
        else if (what < 11)
            play_page();
        else
            switch_space();
    }
    load_root(boot_root);
    now = -1;
    for (struct run *run = runs; run < runs + RUNS; run++)
        if (run->n_frames)
            give_back(run);
    for (int process = 0; process < PROCESSES; process++) {
        for (int page = 0; page < PAGES; page++)
            if (pages[process][page].pfn)
                unmap_page(process, page);
        free_tables(&spaces[process]);
        note(NOTE_ENDED, spaces[process].owner);
    }
    print("%ld words wrong, %ld frames in use\n", wrong, memory_info().n_used);
    return wrong != 0;
}
