/* Address spaces of segments: each one piece of memory, wherever the policy found room for all of it.
 *
 * A segment number of an address chooses one of 16 descriptors, which stand where the lower entries of the top page table would; the rest of
 * the address is an offset, and legal below the bound. There is nothing to mend but a stack that must grow. What a segment costs is seen
 * here: all of it is zeroed, or copied by a fork, at once; one that grows may have to move; and when the free memory is scattered, all
 * segments of all processes are moved together. A descriptor names the segment's id, by which its base is found again.
 */
#include "kernel.h"

static struct segment_descriptor *descriptor(const struct task *task, int number)
{
    return &((struct segment_descriptor *)task->root)[number];
}

static int64_t frames_of(const struct segment_descriptor *segment)
{
    return (int64_t)(segment->bound / FRAME_BYTES);
}

static uint8_t *contents(const struct segment_descriptor *segment)
{
    return direct(segment->base);
}

static void zero(uint8_t *from, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES)
        zero_frame(from + done);
}

/* The processor reads descriptors when CR3 is loaded. */
static void descriptors_have_changed(void)
{
    load_root(loaded_root());
}

/* --- room for a segment ------------------------------------------------------------------------------------------------------ */

/* Move all segments together, so that what is free is in one piece, and look up where they are now. */
static void compact(void)
{
    if (call(&(struct call_box){ .call = SEGMENT_COMPACT }) != STATUS_OK)
        return;
    for (struct task *task = tasks; task < tasks + n_pids(); task++)
        for (int number = 0; task->root && number < N_SEGMENTS; number++)
            if (descriptor(task, number)->flags & SEGMENT_PRESENT)
                descriptor(task, number)->base = segment_lookup(descriptor(task, number)->segment).base;
    descriptors_have_changed();
}

static int is_scattered(uint64_t bytes)
{
    return memory_info().n_free >= (int64_t)(bytes / FRAME_BYTES);
}

static struct segment take_segment(struct task *task, uint64_t bytes)
{
    struct segment made = segment_alloc(bytes, pid_of(task));
    if (made.id == -STATUS_OUT_OF_FRAMES && is_scattered(bytes)) {
        compact();
        made = segment_alloc(bytes, pid_of(task));
    }
    return made;
}

/* More room at the end of a segment; it may have moved. */
static int grow(struct task *task, struct segment_descriptor *segment, uint64_t bound)
{
    struct call_box box, wanted = { .call = SEGMENT_GROW, .segment = segment->segment, .bound = (int64_t)bound };
    int status = call((box = wanted, &box));
    if (status == STATUS_OUT_OF_FRAMES && is_scattered(bound - segment->bound)) {
        compact();
        status = call((box = wanted, &box));
    }
    if (status != STATUS_OK)
        return NO_MEMORY;
    uint64_t old = segment->bound;
    segment->base = (uint64_t)box.base;
    segment->bound = bound;
    count_frames(task, (int64_t)((bound - old) / FRAME_BYTES));
    zero(contents(segment) + old, bound - old);
    return DONE;
}

static int add(struct task *task, int number, uint64_t bytes, unsigned flags)
{
    struct segment made = take_segment(task, bytes);
    if (made.id < 0)
        return NO_MEMORY;
    struct segment_descriptor *segment = descriptor(task, number);
    *segment = (struct segment_descriptor){ made.base, bytes, SEGMENT_PRESENT | (flags & WRITABLE ? SEGMENT_WRITABLE : 0)
        | (flags & EXECUTABLE ? SEGMENT_EXECUTABLE : 0) | (flags & GROWS_DOWN ? SEGMENT_GROWS_DOWN : 0), (uint32_t)made.id, 0 };
    count_frames(task, frames_of(segment));
    zero(contents(segment), bytes);
    descriptors_have_changed();
    return DONE;
}

static void drop(struct task *task, struct segment_descriptor *segment)
{
    int status = segment_free(segment->segment);
    if (status != STATUS_OK)
        panic(status_name(status), NULL);
    count_frames(task, -frames_of(segment));
    *segment = (struct segment_descriptor){ 0 };
}

/* --- faults ------------------------------------------------------------------------------------------------------------------ */

/* A stack grows to twice its size, or more if need be; what is in it belongs at its upper end. */
static int fault(struct task *task, uint64_t address, uint64_t error)
{
    (void)error;
    struct segment_descriptor *stack = descriptor(task, STACK_SEGMENT);
    uint64_t depth = whole_frames(STACK_END - address), bound = 2 * stack->bound, old = stack->bound;
    if (address >= STACK_END || depth > STACK_LIMIT || depth <= old)
        return REFUSED;
    bound = bound < depth ? depth : bound > STACK_LIMIT ? STACK_LIMIT : bound;
    int done = grow(task, stack, bound);
    if (done != DONE)
        return done;
    uint8_t *bytes = contents(stack);
    for (uint64_t left = old; left; left -= FRAME_BYTES) {      /* from the upper end on: the two may overlap */
        copy_frame(bytes + bound - old + left - FRAME_BYTES, bytes + left - FRAME_BYTES);
        if (left <= bound - old)
            zero_frame(bytes + left - FRAME_BYTES);
    }
    descriptors_have_changed();
    count_fault(task, address, FAULT_GROW);
    return DONE;
}

static void *reach(struct task *task, uint64_t address, int is_write)
{
    (void)is_write;
    if (address >= USER_END)
        return NULL;
    const struct segment_descriptor *segment = descriptor(task, (int)(address >> SEGMENT_SHIFT));
    uint64_t offset = address % SEGMENT_BYTES;
    if (segment->flags & SEGMENT_GROWS_DOWN)
        offset -= SEGMENT_BYTES - segment->bound;
    return segment->flags & SEGMENT_PRESENT && offset < segment->bound ? contents(segment) + offset : NULL;
}

/* --- what a process asks for ------------------------------------------------------------------------------------------------- */

/* A segment can grow, but not shrink: what lies beyond the break is kept, as zeros, for the next time. */
static int grow_heap(struct task *task, uint64_t old_end, uint64_t new_end)
{
    struct segment_descriptor *heap = descriptor(task, HEAP_SEGMENT);
    uint64_t start = segment_start(HEAP_SEGMENT), bound = whole_frames(new_end - start), old = whole_frames(old_end - start);
    if (bound < old)
        zero(contents(heap) + bound, old - bound);
    if (bound <= heap->bound)
        return DONE;
    if (!(heap->flags & SEGMENT_PRESENT))
        return add(task, HEAP_SEGMENT, bound, WRITABLE);
    int done = grow(task, heap, bound);
    descriptors_have_changed();
    return done;
}

static int unmap(struct task *task, uint64_t address, uint64_t bytes)
{
    struct segment_descriptor *segment = descriptor(task, (int)(address >> SEGMENT_SHIFT));
    if (address % SEGMENT_BYTES || bytes != segment->bound || !(segment->flags & SEGMENT_PRESENT))
        return REFUSED;             /* a part: a segment is one piece */
    drop(task, segment);
    descriptors_have_changed();
    return DONE;
}

/* Code is shared; of the rest, the child gets copies. Room for one may move what was there before. */
static int copy_segment(struct task *child, struct task *parent, int number)
{
    struct segment_descriptor *from = descriptor(parent, number), *to = descriptor(child, number);
    if (!(from->flags & SEGMENT_WRITABLE)) {
        if (call(&(struct call_box){ .call = SEGMENT_SHARE, .segment = from->segment, .owner = pid_of(child) }) != STATUS_OK)
            return NO_MEMORY;
        *to = *from;
    } else {
        struct segment made = take_segment(child, from->bound);
        if (made.id < 0)
            return NO_MEMORY;
        *to = (struct segment_descriptor){ made.base, from->bound, from->flags, (uint32_t)made.id, 0 };
        for (uint64_t done = 0; done < from->bound; done += FRAME_BYTES)
            copy_frame(contents(to) + done, contents(from) + done);
    }
    count_frames(child, frames_of(to));
    return DONE;
}

static int copy(struct task *child, struct task *parent)
{
    for (int number = 0; number < N_SEGMENTS; number++)
        if (descriptor(parent, number)->flags & SEGMENT_PRESENT && copy_segment(child, parent, number) != DONE)
            return NO_MEMORY;
    return DONE;
}

static void destroy(struct task *task)
{
    for (int number = 0; number < N_SEGMENTS; number++)
        if (descriptor(task, number)->flags & SEGMENT_PRESENT)
            drop(task, descriptor(task, number));
}

static void explain(const struct task *task, uint64_t address)
{
    if (address >= USER_END) {
        print("not in the user's half");
        return;
    }
    uint64_t number = address >> SEGMENT_SHIFT;
    print("segment %lu, offset 0x%lx, bound 0x%lx", number, address % SEGMENT_BYTES, descriptor(task, (int)number)->bound);
}

static int is_free(const struct task *task, int number)
{
    return !(descriptor(task, number)->flags & SEGMENT_PRESENT);
}

const struct space segmentation = { add, fault, reach, grow_heap, unmap, copy, destroy, explain, is_free };
