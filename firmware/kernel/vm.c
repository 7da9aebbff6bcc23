/* Address spaces of pages: frames appear when they are touched, and are shared after a fork until somebody writes.
 *
 * A segment of the address space has one region in use, `regions[number]`; whatever lies in a region and has no page yet reads as zeros. The
 * tables are the processor's own (AMD64 Architecture Programmer's Manual, volume 2, chapter 5.3). Level 4 is the top one; an entry of level 1
 * shows 4 KiB, an entry of level 2 with the LARGE bit 2 MiB. A page of a writable region that cannot be written to is shared: writing to it
 * copies it, or, for the last one who has it, makes it writable again.
 */
#include "kernel.h"

enum { PRESENT = 1, CAN_WRITE = 2, USER = 4, LARGE = 0x80 };
enum { ENTRIES = 512, TOP_LEVEL = 4, LARGE_LEVEL = 2, FAULT_WRITE = 2, FAULT_FETCH = 16 };
#define NO_EXECUTE ((uint64_t)1 << 63)
#define ADDRESS 0x000ffffffffff000
#define LARGE_BYTES ((uint64_t)ENTRIES * FRAME_BYTES)

int large_pages_allowed = 1;

static uint64_t bytes_at_level(int level)
{
    return (uint64_t)FRAME_BYTES << 9 * (level - 1);
}

static uint64_t *entry_in(uint64_t *table, uint64_t address, int level)
{
    return &table[address / bytes_at_level(level) % ENTRIES];
}

static pfn_t pfn_in(uint64_t entry)
{
    return (pfn_t)((entry & ADDRESS) / FRAME_BYTES);
}

static int64_t frames_in(uint64_t entry)
{
    return entry & LARGE ? ENTRIES : 1;
}

static uint64_t *table_in(uint64_t entry)
{
    return frame_address(pfn_in(entry));
}

static struct region *region_of(struct task *task, uint64_t address)
{
    struct region *region = &task->regions[(address >> SEGMENT_SHIFT) % N_SEGMENTS];
    return address >= region->first && address < region->end ? region : NULL;
}

static uint64_t page_entry(pfn_t pfn, const struct region *region)
{
    return (uint64_t)pfn * FRAME_BYTES | PRESENT | USER | (region->flags & WRITABLE ? CAN_WRITE : 0) | (region->flags & EXECUTABLE ? 0 : NO_EXECUTE);
}

static int new_table(struct task *task, uint64_t *entry)
{
    pfn_t pfn = take_frames(task, 1, UNMOVABLE);
    if (pfn < 0)
        return NO_MEMORY;
    zero_frame(frame_address(pfn));
    *entry = (uint64_t)pfn * FRAME_BYTES | PRESENT | USER | CAN_WRITE;
    return DONE;
}

/* The entry for an address at level 2; tables above it that are missing are made. NULL: no memory. */
static uint64_t *large_entry(struct task *task, uint64_t address)
{
    uint64_t *table = task->root;
    for (int level = TOP_LEVEL; level > LARGE_LEVEL; level--) {
        uint64_t *entry = entry_in(table, address, level);
        if (!*entry && new_table(task, entry) != DONE)
            return NULL;
        table = table_in(*entry);
    }
    return entry_in(table, address, LARGE_LEVEL);
}

/* A run for a large page: aligned, and leaving a quarter of the memory to small ones. Below 0: there is none. */
static pfn_t take_large(struct task *task)
{
    struct memory_info memory = memory_info();
    if (!large_pages_allowed || memory.n_free < memory.n_frames / 4 + ENTRIES)
        return -1;
    pfn_t pfn = take_frames(task, ENTRIES, MOVABLE);
    if (pfn >= 0 && pfn % ENTRIES) {
        drop_frames(task, pfn, ENTRIES);
        return -1;
    }
    if (pfn >= 0)
        process_of(task)->large_pages++;
    return pfn;
}

/* --- faults ------------------------------------------------------------------------------------------------------------------ */

static int fill(struct task *task, uint64_t *entry, const struct region *region)
{
    pfn_t pfn = take_frames(task, 1, MOVABLE);
    if (pfn < 0)
        return NO_MEMORY;
    zero_frame(frame_address(pfn));
    *entry = page_entry(pfn, region);
    return DONE;
}

static int fill_large(struct task *task, uint64_t *entry, const struct region *region)
{
    pfn_t pfn = take_large(task);
    if (pfn < 0)
        return NO_MEMORY;
    for (int i = 0; i < ENTRIES; i++)
        zero_frame(frame_address(pfn + i));
    *entry = page_entry(pfn, region) | LARGE;
    return DONE;
}

/* In the place of a shared page, large or not, one of its own. */
static int copy_page(struct task *task, uint64_t *entry, const struct region *region)
{
    pfn_t old = pfn_in(*entry), pfn = *entry & LARGE ? take_large(task) : take_frames(task, 1, MOVABLE);
    if (pfn < 0)
        return NO_MEMORY;
    int64_t n_frames = frames_in(*entry);
    for (int i = 0; i < n_frames; i++)
        copy_frame(frame_address(pfn + i), frame_address(old + i));
    *entry = page_entry(pfn, region) | (*entry & LARGE);
    drop_frames(task, old, n_frames);
    return DONE;
}

/* Frees what a table shows, and the table. */
static void drop_table(struct task *task, uint64_t *table)
{
    for (int i = 0; i < ENTRIES; i++)
        if (table[i])
            drop_frames(task, pfn_in(table[i]), 1);
    drop_frames(task, (pfn_t)(physical_of(table) / FRAME_BYTES), 1);
}

/* In the place of a large page small ones, copies of those of its frames that lie outside [first, end). The large page may be another's, too. */
static int break_large(struct task *task, uint64_t *entry, const struct region *region, uint64_t base, uint64_t first, uint64_t end)
{
    pfn_t old = pfn_in(*entry);
    uint64_t in_table;
    if (new_table(task, &in_table) != DONE)
        return NO_MEMORY;
    uint64_t *table = table_in(in_table);
    for (int i = 0; i < ENTRIES; i++) {
        uint64_t address = base + (uint64_t)i * FRAME_BYTES;
        if (address >= first && address < end)
            continue;
        pfn_t pfn = take_frames(task, 1, MOVABLE);
        if (pfn < 0) {
            drop_table(task, table);
            return NO_MEMORY;
        }
        copy_frame(frame_address(pfn), frame_address(old + i));
        table[i] = page_entry(pfn, region);
    }
    *entry = in_table;
    drop_frames(task, old, ENTRIES);
    return DONE;
}

/* Somebody writes to a page that is shared, or was. */
static int unshare(struct task *task, uint64_t *entry, const struct region *region, uint64_t address)
{
    int done = DONE, was_large = (*entry & LARGE) != 0;
    if (users_of(task, pfn_in(*entry)) == 1)
        *entry |= CAN_WRITE;
    else
        done = copy_page(task, entry, region);
    if (done != DONE && *entry & LARGE)
        done = break_large(task, entry, region, address & -LARGE_BYTES, 0, 0);
    if (done == DONE)
        count_fault(task, address, FAULT_COPY);
    if (was_large)
        load_root(loaded_root());               /* the processor may remember any part of it */
    else
        forget_page(address);
    return done;
}

static int covers(const struct region *region, uint64_t address)
{
    uint64_t first = address & -LARGE_BYTES;
    return first >= region->first && first + LARGE_BYTES <= region->end && !(region->flags & EXECUTABLE);
}

/* See to it that an address of a region has a page, and one that can be written to if need be. */
static int provide(struct task *task, const struct region *region, uint64_t address, int is_write)
{
    uint64_t *entry = large_entry(task, address);
    if (!entry)
        return NO_MEMORY;
    if (!*entry && covers(region, address) && fill_large(task, entry, region) == DONE) {
        count_fault(task, address, FAULT_DEMAND_ZERO);
        return DONE;
    }
    if (!*entry && new_table(task, entry) != DONE)
        return NO_MEMORY;
    if (!(*entry & LARGE))
        entry = entry_in(table_in(*entry), address, 1);
    if (!*entry) {
        int done = fill(task, entry, region);
        if (done == DONE)
            count_fault(task, address, FAULT_DEMAND_ZERO);
        return done;
    }
    if (is_write && !(*entry & CAN_WRITE) && region->flags & WRITABLE)
        return unshare(task, entry, region, address);
    return DONE;
}

/* The stack goes on downwards, as far as it may. */
static struct region *grow_stack(struct task *task, uint64_t address)
{
    struct region *stack = &task->regions[STACK_SEGMENT];
    if (address >= stack->first || address < STACK_END - STACK_LIMIT)
        return NULL;
    stack->first = address & -(uint64_t)FRAME_BYTES;
    count_fault(task, address, FAULT_GROW);
    return stack;
}

static struct region *region_for(struct task *task, uint64_t address)
{
    if (address >= USER_END)
        return NULL;
    struct region *region = region_of(task, address);
    return region ? region : grow_stack(task, address);
}

static int fault(struct task *task, uint64_t address, uint64_t error)
{
    struct region *region = region_for(task, address);
    int is_write = (error & FAULT_WRITE) != 0;
    if (!region || (is_write && !(region->flags & WRITABLE)) || (error & FAULT_FETCH && !(region->flags & EXECUTABLE)))
        return REFUSED;
    return provide(task, region, address, is_write);
}

static void *reach(struct task *task, uint64_t address, int is_write)
{
    struct region *region = region_for(task, address);
    if (!region || provide(task, region, address, is_write) != DONE)
        return NULL;
    uint64_t *entry = large_entry(task, address);
    if (!(*entry & LARGE))
        return (uint8_t *)table_in(*(entry_in(table_in(*entry), address, 1))) + address % FRAME_BYTES;
    return (uint8_t *)table_in(*entry) + address % LARGE_BYTES;
}

/* --- regions ----------------------------------------------------------------------------------------------------------------- */

static int add(struct task *task, int number, uint64_t bytes, unsigned flags)
{
    uint64_t first = segment_start(number);
    if (flags & GROWS_DOWN)
        first += SEGMENT_BYTES - bytes;
    task->regions[number] = (struct region){ first, first + bytes, flags };
    return DONE;
}

static int is_empty(const uint64_t *table)
{
    for (int i = 0; i < ENTRIES; i++)
        if (table[i])
            return 0;
    return 1;
}

/* Take away what lies in [first, end), and tables that show nothing any more. `base` is what the table shows first. */
static void clear(struct task *task, uint64_t *table, int level, uint64_t base, uint64_t first, uint64_t end)
{
    uint64_t step = bytes_at_level(level), from = first > base ? (first - base) / step : 0;
    for (uint64_t i = from; i < ENTRIES && base + i * step < end; i++) {
        uint64_t *entry = &table[i], at = base + i * step;
        if (!*entry)
            continue;
        if (level > 1 && !(*entry & LARGE)) {
            clear(task, table_in(*entry), level - 1, at, first, end);
            if ((at < first || at + step > end) && !is_empty(table_in(*entry)))
                continue;
        }
        drop_frames(task, pfn_in(*entry), frames_in(*entry));
        *entry = 0;
    }
}

/* A large page that reaches over an address where a range begins or ends becomes small ones. */
static int split_at(struct task *task, uint64_t address, uint64_t first, uint64_t end)
{
    uint64_t *table = task->root;
    for (int level = TOP_LEVEL; level > LARGE_LEVEL; level--) {
        uint64_t entry = *entry_in(table, address, level);
        if (!entry)
            return DONE;
        table = table_in(entry);
    }
    uint64_t *entry = entry_in(table, address, LARGE_LEVEL), base = address & -LARGE_BYTES;
    return address != base && *entry & LARGE ? break_large(task, entry, region_of(task, base), base, first, end) : DONE;
}

static int clear_range(struct task *task, uint64_t first, uint64_t end)
{
    if (split_at(task, first, first, end) != DONE || split_at(task, end, first, end) != DONE)
        return NO_MEMORY;
    clear(task, task->root, TOP_LEVEL, 0, first, end);
    load_root(physical_of(task->root));
    return DONE;
}

static int grow_heap(struct task *task, uint64_t old_end, uint64_t new_end)
{
    struct region *heap = &task->regions[HEAP_SEGMENT];
    uint64_t first = whole_frames(new_end), end = whole_frames(old_end);
    if (first < end && clear_range(task, first, end) != DONE)
        return NO_MEMORY;
    heap->first = segment_start(HEAP_SEGMENT);
    heap->end = first;
    heap->flags = WRITABLE;
    return DONE;
}

/* The beginning of a mapping, the end of it, or all of it. A hole in the middle would need two regions. */
static int unmap(struct task *task, uint64_t address, uint64_t bytes)
{
    struct region *region = region_of(task, address);
    if (!region || bytes > region->end - address || (address != region->first && address + bytes != region->end))
        return REFUSED;
    if (clear_range(task, address, address + bytes) != DONE)
        return NO_MEMORY;
    if (address == region->first)
        region->first += bytes;
    else
        region->end = address;
    return DONE;
}

/* --- whole address spaces ---------------------------------------------------------------------------------------------------- */

/* The pages of a parent's table for its child, too, and from now on nobody's to write to. */
static int copy_table(struct task *child, uint64_t *to, uint64_t *from, int level)
{
    for (int i = 0; i < (level == TOP_LEVEL ? ENTRIES / 2 : ENTRIES); i++) {
        if (!from[i])
            continue;
        if (level == 1 || from[i] & LARGE) {
            if (share_frames(child, pfn_in(from[i]), frames_in(from[i])) != DONE)
                return NO_MEMORY;
            from[i] &= ~(uint64_t)CAN_WRITE;
            to[i] = from[i];
        } else if (new_table(child, &to[i]) != DONE || copy_table(child, table_in(to[i]), table_in(from[i]), level - 1) != DONE) {
            return NO_MEMORY;
        }
    }
    return DONE;
}

static int copy(struct task *child, struct task *parent)
{
    for (int number = 0; number < N_SEGMENTS; number++)
        child->regions[number] = parent->regions[number];
    int done = copy_table(child, child->root, parent->root, TOP_LEVEL);
    load_root(physical_of(parent->root));       /* the parent must not write on through what the processor remembers */
    return done;
}

static void destroy(struct task *task)
{
    clear(task, task->root, TOP_LEVEL, 0, 0, USER_END);
}

static int is_free(const struct task *task, int number)
{
    return task->regions[number].first == task->regions[number].end;
}

static void explain(const struct task *task, int number)
{
    if (is_free(task, number))
        print("segment %d, where nothing is", number);
    else
        print("segment %d from 0x%lx to 0x%lx", number, task->regions[number].first, task->regions[number].end);
}

const struct space paging = { add, fault, reach, grow_heap, unmap, copy, destroy, explain, is_free };
