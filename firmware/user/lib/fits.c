/* First, next, best and worst fit: one list of free blocks, four ways to choose from it.
 *
 * Source: Knuth, The Art of Computer Programming, volume 1, section 2.5 (the fits; boundary tags are his algorithm C).
 * Idea: the heap is a row of blocks without gaps. A tag, the block's size and whether it is in use, stands at both ends of each, so that
 * from any block the neighbours on both sides are one addition away, and a freed block is merged with them at once. Free blocks are
 * linked, by address, through the room that nobody uses. A block is cut from the low end of the free block that the policy chooses.
 * Invariant: both tags of a block agree; no two free blocks are neighbours; the list holds exactly the free blocks, in order.
 * Cost: malloc looks at every free block (first and next fit: until one is large enough), free at those below the freed one unless it
 * merges downward.
 *
 *     tag of nothing | tag, contents ..., tag | tag, next, previous, ..., tag | tag, contents ..., tag | tag of nothing
 *     the heap's start  in use                  free                            in use                   the break
 */
#include "heap.h"
#include "user.h"

enum { TAG = 8, GRAIN = 16, SMALLEST = 32, IN_USE = 1 };

struct block {
    uint64_t tag;                               /* size in bytes, tags included, a multiple of 16; and IN_USE */
    struct block *next, *previous;              /* in the list, while it is free */
};

static struct block *first;                     /* free block of the list, by address */
static struct block *bottom, *top;              /* the first block; the tag of nothing at the break */
static char *rover;                             /* next fit: where the last block that was taken ends */

static size_t size_of(const struct block *block)
{
    return block->tag & ~(uint64_t)IN_USE;
}

static int in_use(const struct block *block)
{
    return block->tag & IN_USE;
}

static struct block *after(const struct block *block)
{
    return (struct block *)((char *)block + size_of(block));
}

static uint64_t tag_before(const struct block *block)
{
    return *(const uint64_t *)((const char *)block - TAG);
}

static struct block *before(const struct block *block)
{
    return (struct block *)((char *)block - (tag_before(block) & ~(uint64_t)IN_USE));
}

static void set_tags(struct block *block, size_t size, int use)
{
    block->tag = size | (uint64_t)use;
    *(uint64_t *)((char *)block + size - TAG) = block->tag;
}

static struct block *block_of(const void *contents)
{
    return (struct block *)((char *)contents - TAG);
}

/* --- the list ---------------------------------------------------------------------------------------------------------------- */

static void link_between(struct block *previous, struct block *block, struct block *next)
{
    block->previous = previous;
    block->next = next;
    *(previous ? &previous->next : &first) = block;
    if (next)
        next->previous = block;
}

static void link(struct block *block)
{
    struct block *previous = NULL, *next = first;
    while (next && next < block) {
        previous = next;
        next = next->next;
    }
    link_between(previous, block, next);
}

static void unlink(struct block *block)
{
    *(block->previous ? &block->previous->next : &first) = block->next;
    if (block->next)
        block->next->previous = block->previous;
}

/* --- the decision: which free block of at least `size` bytes ------------------------------------------------------------------- */

static struct block *find_from(struct block *block, const char *from, size_t size)
{
    while (block && ((char *)block < from || size_of(block) < size))
        block = block->next;
    return block;
}

static struct block *find_first(size_t size)
{
    return find_from(first, NULL, size);
}

static struct block *find_next(size_t size)
{
    struct block *found = find_from(first, rover, size);
    return found ? found : find_first(size);
}

static struct block *find_best(size_t size)
{
    struct block *best = NULL;
    for (struct block *block = first; block; block = block->next)
        if (size_of(block) >= size && (!best || size_of(block) < size_of(best)))
            best = block;
    return best;
}

static struct block *find_worst(size_t size)
{
    struct block *worst = first;
    for (struct block *block = first; block; block = block->next)
        if (size_of(block) > size_of(worst))
            worst = block;
    return worst && size_of(worst) >= size ? worst : NULL;
}

/* --- taking and giving ------------------------------------------------------------------------------------------------------- */

/* Free a block that is in no list: merged with the free neighbours, of which the lower one keeps its place in the list. */
static struct block *release(struct block *block)
{
    size_t size = size_of(block);
    struct block *upper = after(block);
    if (!in_use(upper)) {
        unlink(upper);
        size += size_of(upper);
    }
    if (tag_before(block) & IN_USE) {
        set_tags(block, size, 0);
        link(block);
        return block;
    }
    block = before(block);
    set_tags(block, size + size_of(block), 0);
    return block;
}

/* Keep the first `size` bytes of a block that is in no list; the rest, if it can be a block, becomes free. */
static void trim(struct block *block, size_t size)
{
    size_t rest = size_of(block) - size;
    if (rest < SMALLEST) {
        set_tags(block, size_of(block), IN_USE);
        return;
    }
    set_tags(block, size, IN_USE);
    set_tags(after(block), rest, IN_USE);
    release(after(block));
}

static int begin(void)
{
    uint64_t *tags = sbrk(2 * TAG);
    if (tags == FAILED)
        return 0;
    tags[0] = tags[1] = IN_USE;
    bottom = top = (struct block *)&tags[1];
    return 1;
}

/* Move the break, by whole pages, until a block of `size` bytes ends there. NULL when the kernel has no more. */
static struct block *grow(size_t size)
{
    size_t there = tag_before(top) & IN_USE ? 0 : size_of(before(top));
    size_t more = (size - there + PAGE - 1) / PAGE * PAGE;
    if (sbrk((int64_t)more) == FAILED)
        return NULL;
    struct block *block = top;
    top = (struct block *)((char *)block + more);
    top->tag = IN_USE;
    set_tags(block, more, IN_USE);
    return release(block);
}

static size_t size_for(size_t n)
{
    size_t size = (n + 2 * TAG + GRAIN - 1) / GRAIN * GRAIN;
    return size < SMALLEST ? SMALLEST : size;
}

static void *take_found(struct block *block, size_t size)
{
    block = block ? block : grow(size);
    if (!block)
        return NULL;
    unlink(block);
    trim(block, size);
    rover = (char *)after(block);
    return (char *)block + TAG;
}

static void *take(size_t n, struct block *(*find)(size_t size))
{
    if (!top && !begin())
        return NULL;
    return take_found(find(size_for(n)), size_for(n));
}

static void *take_first(size_t n) { return take(n, find_first); }
static void *take_next(size_t n) { return take(n, find_next); }
static void *take_best(size_t n) { return take(n, find_best); }
static void *take_worst(size_t n) { return take(n, find_worst); }

static void give(void *contents)
{
    release(block_of(contents));
}

/* Shrink, or grow into the free neighbour above. */
static int resize(void *contents, size_t n)
{
    struct block *block = block_of(contents), *upper = after(block);
    size_t size = size_of(block) + (in_use(upper) ? 0 : size_of(upper));
    if (size < size_for(n))
        return 0;
    if (!in_use(upper))
        unlink(upper);
    set_tags(block, size, IN_USE);
    trim(block, size_for(n));
    return 1;
}

static size_t room(const void *contents)
{
    return size_of(block_of(contents)) - 2 * TAG;
}

/* A walk over all blocks beside a walk over the list. */
static const char *check_heap(void)
{
    const struct block *listed = first, *previous = NULL;
    for (const struct block *block = bottom; block != top; block = after(block)) {
        if (size_of(block) < SMALLEST || size_of(block) % GRAIN || after(block) > top)
            return "a block has an impossible size";
        if (tag_before(after(block)) != block->tag)
            return "the tags of a block differ";
        if (in_use(block))
            continue;
        if (block != listed || block->previous != previous)
            return "the list is not the free blocks in order";
        if (!in_use(after(block)))
            return "two free blocks are neighbours";
        previous = block;
        listed = block->next;
    }
    if (listed)
        return "the list goes on behind the last free block";
    return top && top->tag != IN_USE ? "the tag at the break is damaged" : NULL;
}

const struct allocator first_fit = { "first-fit", take_first, give, resize, room, check_heap };
const struct allocator next_fit = { "next-fit", take_next, give, resize, room, check_heap };
const struct allocator best_fit = { "best-fit", take_best, give, resize, room, check_heap };
const struct allocator worst_fit = { "worst-fit", take_worst, give, resize, room, check_heap };
