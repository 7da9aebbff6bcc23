/* The reference of the replay benchmark: a buddy allocator as a textbook writes it, one 16-byte record a frame, lists by order,
 * last in, first out. It replays operations of (kind, n_frames, slot) and returns the placements, which must be the same. */
#include <stdint.h>
#include <stdlib.h>

enum { TOP = 10, NIL = -1 };

struct frame {
    int32_t next, prev;
    int32_t order;      /* of the free block that begins here, or NIL */
    int32_t unused;
};

struct operation {      /* kernel_sim/operations.py */
    uint8_t kind, flags;
    uint16_t cpu, owner, mobility;
    uint32_t n_frames, offset;
    int64_t slot;
};

static struct frame *frames;
static int32_t head[TOP + 1];
static int64_t n_frames;

static void push(int32_t pfn, int order)
{
    frames[pfn].order = order;
    frames[pfn].prev = NIL;
    frames[pfn].next = head[order];
    if (head[order] != NIL)
        frames[head[order]].prev = pfn;
    head[order] = pfn;
}

static void take(int32_t pfn, int order)
{
    struct frame *f = &frames[pfn];
    f->order = NIL;
    if (f->next != NIL)
        frames[f->next].prev = f->prev;
    if (f->prev != NIL)
        frames[f->prev].next = f->next;
    else
        head[order] = f->next;
}

static int64_t buddy_alloc(int order)
{
    for (int found = order; found <= TOP; found++) {
        int32_t pfn = head[found];
        if (pfn == NIL)
            continue;
        take(pfn, found);
        while (found > order) {
            found--;
            push(pfn + (1 << found), found);
        }
        return pfn;
    }
    return -1;
}

static void buddy_free(int32_t pfn, int order)
{
    while (order < TOP) {
        int32_t buddy = pfn ^ (1 << order);
        if (buddy + (1 << order) > n_frames || frames[buddy].order != order)
            break;
        take(buddy, order);
        pfn &= ~(1 << order);
        order++;
    }
    push(pfn, order);
}

void setup(int64_t n)
{
    n_frames = n;
    free(frames);
    frames = calloc(n, sizeof *frames);
    for (int64_t i = 0; i < n; i++)
        frames[i].order = NIL;
    for (int k = 0; k <= TOP; k++)
        head[k] = NIL;
    for (int64_t pfn = n - (1 << TOP); pfn >= 0; pfn -= 1 << TOP)
        push(pfn, TOP);
}

void replay(const struct operation *operations, int64_t n, int64_t *placements)
{
    for (int64_t i = 0; i < n; i++) {
        const struct operation *o = &operations[i];
        int order = o->n_frames > 1 ? 32 - __builtin_clz(o->n_frames - 1) : 0;
        if (o->kind == 1)
            placements[o->slot] = buddy_alloc(order);
        else if (placements[o->slot] >= 0)
            buddy_free(placements[o->slot], order);
    }
}
