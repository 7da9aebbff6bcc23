/* A binary buddy in a heap.
 *
 * Source: Knowlton, A fast storage allocator, 1965; Knuth, The Art of Computer Programming, volume 1, section 2.5, algorithms R and S.
 * Idea: the heap is 2^k bytes, and every block 2^order of them, at a multiple of its size from the heap's start. A block that is too large
 * is halved; a freed one is merged with its buddy, whose offset differs in one bit, as long as that is free and whole. When there is no
 * block, the heap doubles.
 * Invariant: blocks lie at multiples of their sizes; a free block's buddy is in use or split; each list holds the free blocks of its order.
 * Cost: malloc and free at most a step for every order. What a block is larger than its contents is lost: internal fragmentation.
 */
#include "heap.h"
#include "user.h"

enum { SMALLEST = 5, LARGEST = SEGMENT_SHIFT, FIRST_HEAP = 12 };

struct head {
    uint32_t order, in_use;
    uint64_t spare;                             /* contents begin at a multiple of 16 */
};

struct block {
    struct head head;
    struct block *next, *previous;              /* while it is free */
};

static struct block *free_blocks[LARGEST + 1];  /* by order */
static char *start;
static int heap_order;

static void push(struct block *block, int order)
{
    *block = (struct block){ { (uint32_t)order, 0, 0 }, free_blocks[order], NULL };
    if (block->next)
        block->next->previous = block;
    free_blocks[order] = block;
}

static void pull(struct block *block, int order)
{
    *(block->previous ? &block->previous->next : &free_blocks[order]) = block->next;
    if (block->next)
        block->next->previous = block->previous;
}

static struct block *buddy_of(const struct block *block, int order)
{
    return (struct block *)(start + (((size_t)((const char *)block - start)) ^ (size_t)1 << order));
}

/* Free a block that is in no list, merged with its buddy as often as that is free. */
static void release(struct block *block, int order)
{
    for (; order < heap_order; order++) {
        struct block *other = buddy_of(block, order);
        if (other->head.in_use || other->head.order != (uint32_t)order)
            break;
        pull(other, order);
        block = other < block ? other : block;
    }
    push(block, order);
}

/* Double the heap: the upper half is a new free block. */
static int grow(void)
{
    int order = start ? heap_order : FIRST_HEAP;
    char *upper = order < LARGEST ? sbrk((int64_t)1 << order) : FAILED;
    if (upper == FAILED)
        return 0;
    start = start ? start : upper;
    heap_order = upper == start ? order : order + 1;
    release((struct block *)upper, order);
    return 1;
}

/* Halve a block that is in no list until it is of an order; the upper halves become free. */
static void halve(struct block *block, int order, int wanted)
{
    while (order > wanted) {
        order--;
        push(buddy_of(block, order), order);
    }
    block->head = (struct head){ (uint32_t)wanted, 1, 0 };
}

static int order_for(size_t n)
{
    int order = SMALLEST;
    while ((size_t)1 << order < n + sizeof(struct head))
        order++;
    return order;
}

static void *take(size_t n)
{
    int wanted = order_for(n), order = wanted;
    while (order <= LARGEST && !free_blocks[order])
        order++;
    if (order > LARGEST)
        return wanted < LARGEST && grow() ? take(n) : NULL;
    struct block *block = free_blocks[order];
    pull(block, order);
    halve(block, order, wanted);
    return &block->head + 1;
}

static struct head *head_of(const void *contents)
{
    return (struct head *)contents - 1;
}

static void give(void *contents)
{
    release((struct block *)head_of(contents), (int)head_of(contents)->order);
}

static size_t room(const void *contents)
{
    return ((size_t)1 << head_of(contents)->order) - sizeof(struct head);
}

/* A block that is twice too large, or more, gives its upper halves back. */
static int resize(void *contents, size_t n)
{
    struct block *block = (struct block *)head_of(contents);
    int wanted = order_for(n), order = (int)block->head.order;
    if (wanted > order)
        return 0;
    halve(block, order, wanted);
    return 1;
}

static const char *check_lists(void)
{
    for (int order = 0; order <= LARGEST; order++) {
        const struct block *previous = NULL;
        for (const struct block *block = free_blocks[order]; block; previous = block, block = block->next)
            if (block->previous != previous || block->head.in_use || block->head.order != (uint32_t)order)
                return "a list holds what is no free block of its order";
    }
    return NULL;
}

static int is_listed(const struct block *wanted)
{
    const struct block *block = free_blocks[wanted->head.order];
    while (block && block != wanted)
        block = block->next;
    return block != NULL;
}

/* A walk over all blocks, and one over all lists. */
static const char *check_heap(void)
{
    size_t size = start ? (size_t)1 << heap_order : 0, offset = 0;
    while (offset < size) {
        const struct block *block = (const struct block *)(start + offset);
        size_t bytes = (size_t)1 << (block->head.order & 63);
        if (block->head.order < SMALLEST || block->head.order > (uint32_t)heap_order || offset % bytes)
            return "a block lies at no multiple of its size";
        const struct block *other = buddy_of(block, (int)block->head.order);
        int has_buddy = block->head.order < (uint32_t)heap_order;
        if (!block->head.in_use && !is_listed(block))
            return "a free block is in no list";
        if (!block->head.in_use && has_buddy && !other->head.in_use && other->head.order == block->head.order)
            return "two free buddies are not one block";
        offset += bytes;
    }
    return check_lists();
}

const struct allocator buddy = { "buddy", take, give, resize, room, check_heap };
