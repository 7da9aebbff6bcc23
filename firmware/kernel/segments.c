/* Address spaces of segments: each one piece of memory, wherever the policy found room for all of it.
 *
 * A segment number of an address chooses one of 16 descriptors, which stand where the lower entries of the top page table would; the rest of
 * the address is an offset, and legal below the bound. There is nothing to mend but a stack that must grow. What a segment costs is seen
 * here: all of it is zeroed, or copied by a fork, at once; one that grows may have to move; and when the free memory is scattered, all
 * segments of all processes are moved together. A descriptor names the segment's id, by which its base is found again, and notes in `spare`
 * how many bytes there are: `bound`, what the process may use of them, can be less after a heap has shrunk.
 */
#include "kernel.h"

static struct segment_descriptor *descriptor(const struct task *task, int number)
{
    return &((struct segment_descriptor *)task->root)[number];
}

static int64_t frames_of(const struct segment_descriptor *segment)
{
    return (int64_t)(segment->spare / FRAME_BYTES);
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

/* Until CR3 is loaded, the processor may go on with what it remembers of them. */
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

/* Ask for a segment or for more of one, and once more if there is memory enough, but not in one piece. */
static int ask(struct call_box *box, uint64_t bytes)
{
    struct call_box wanted = *box;
    if (call(box) == STATUS_OUT_OF_FRAMES && memory_info().n_free >= (int64_t)(bytes / FRAME_BYTES)) {
        compact();
        *box = wanted;
        call(box);
    }
    return box->status == STATUS_OK ? DONE : NO_MEMORY;
}

/* Another bound. For a higher one, the segment may have to move; what is new in it is zero. */
static int set_bound(struct task *task, struct segment_descriptor *segment, uint64_t bound)
{
    struct call_box box = { .call = SEGMENT_GROW, .segment = segment->segment, .bound = (int64_t)bound };
    uint64_t old = segment->bound;
    if (bound > segment->spare) {
        if (ask(&box, bound - segment->spare) != DONE)
            return NO_MEMORY;
        count_frames(task, (int64_t)((bound - segment->spare) / FRAME_BYTES));
        segment->base = (uint64_t)box.base;
        segment->spare = bound;
    }
    segment->bound = bound;
    if (bound > old)
        zero(contents(segment) + old, bound - old);
    descriptors_have_changed();
    return DONE;
}

static int new_segment(struct task *task, int number, uint64_t bytes, uint32_t flags)
{
    struct call_box box = { .call = SEGMENT_ALLOC, .bound = (int64_t)bytes, .owner = pid_of(task) };
    if (ask(&box, bytes) != DONE)
        return NO_MEMORY;
    *descriptor(task, number) = (struct segment_descriptor){ (uint64_t)box.base, bytes, flags | SEGMENT_PRESENT, (uint32_t)box.segment, bytes };
    count_frames(task, (int64_t)(bytes / FRAME_BYTES));
    return DONE;
}

static int add(struct task *task, int number, uint64_t bytes, unsigned flags)
{
    uint32_t rights = (flags & WRITABLE ? SEGMENT_WRITABLE : 0) | (flags & EXECUTABLE ? SEGMENT_EXECUTABLE : 0);
    if (new_segment(task, number, bytes, rights | (flags & GROWS_DOWN ? SEGMENT_GROWS_DOWN : 0)) != DONE)
        return NO_MEMORY;
    zero(contents(descriptor(task, number)), bytes);
    descriptors_have_changed();
    return DONE;
}

static void drop(struct task *task, struct segment_descriptor *segment)
{
    int status = call(&(struct call_box){ .call = SEGMENT_FREE, .segment = segment->segment, .owner = pid_of(task) });
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
    int done = set_bound(task, stack, bound);
    if (done != DONE)
        return done;
    uint8_t *bytes = contents(stack);
    for (uint64_t left = old; left; left -= FRAME_BYTES) {      /* from the upper end on: the two may overlap */
        copy_frame(bytes + bound - old + left - FRAME_BYTES, bytes + left - FRAME_BYTES);
        if (left <= bound - old)
            zero_frame(bytes + left - FRAME_BYTES);
    }
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

static int grow_heap(struct task *task, uint64_t old_end, uint64_t new_end)
{
    (void)old_end;
    struct segment_descriptor *heap = descriptor(task, HEAP_SEGMENT);
    uint64_t bound = whole_frames(new_end - segment_start(HEAP_SEGMENT));
    if (heap->flags & SEGMENT_PRESENT)
        return set_bound(task, heap, bound);
    return bound ? add(task, HEAP_SEGMENT, bound, WRITABLE) : DONE;
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
    if (from->flags & SEGMENT_WRITABLE) {
        if (new_segment(child, number, from->bound, from->flags) != DONE)
            return NO_MEMORY;
        for (uint64_t done = 0; done < from->bound; done += FRAME_BYTES)
            copy_frame(contents(to) + done, contents(from) + done);
        return DONE;
    }
    if (call(&(struct call_box){ .call = SEGMENT_SHARE, .segment = from->segment, .owner = pid_of(child) }) != STATUS_OK)
        return NO_MEMORY;
    *to = *from;
    count_frames(child, frames_of(to));
    return DONE;
}

static int copy(struct task *child, struct task *parent)
{
    for (int number = 0; number < N_SEGMENTS; number++)
        if (descriptor(parent, number)->bound && copy_segment(child, parent, number) != DONE)
            return NO_MEMORY;
    return DONE;
}

static void destroy(struct task *task)
{
    for (int number = 0; number < N_SEGMENTS; number++)
        if (descriptor(task, number)->flags & SEGMENT_PRESENT)
            drop(task, descriptor(task, number));
}

static void explain(const struct task *task, int number)
{
    print("segment %d, bound 0x%lx", number, descriptor(task, number)->bound);
}

static int is_free(const struct task *task, int number)
{
    return !(descriptor(task, number)->flags & SEGMENT_PRESENT);
}

const struct space segmentation = { add, fault, reach, grow_heap, unmap, copy, destroy, explain, is_free };
