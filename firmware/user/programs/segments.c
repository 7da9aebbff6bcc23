/* segments: code, data, a heap, a stack and mappings that come, grow and go. The argument is how many rounds (default 30).
 *
 * The heap grows in steps, so that in a segmented memory it must move sooner or later; mappings of different sizes come and go between, so
 * that holes are left behind (external fragmentation) and compaction has work. After every round each page must hold what it held.
 */
#include "user.h"

enum { MAPPINGS = 6, HEAP_STEP = 3, MOST_HEAP = 90, MOST_PAGES = 40 };

struct part {
    char *start;
    size_t n_pages;
    uint64_t seed;
};

static struct part parts[MAPPINGS], heap;       /* the heap is a part, too */
static struct random random = { 5 };
static size_t refused;

static volatile uint64_t *word_of(const struct part *part, size_t page, int last)
{
    return (volatile uint64_t *)(part->start + page * PAGE + (last ? PAGE - 8 : 0));
}

/* The first and the last word of every page say whose they are. */
static void sign(const struct part *part, size_t from)
{
    for (size_t page = from; page < part->n_pages; page++) {
        check(*word_of(part, page, 0) == 0 && *word_of(part, page, 1) == 0, "segments: a new page is not zero\n");
        *word_of(part, page, 0) = part->seed + page;
        *word_of(part, page, 1) = ~(part->seed + page);
    }
}

static void look(const struct part *part)
{
    for (size_t page = 0; page < part->n_pages; page++)
        check(*word_of(part, page, 0) == part->seed + page && *word_of(part, page, 1) == ~(part->seed + page),
              "segments: page %lu at %lx was changed\n", page, (uint64_t)part->start);
}

static void grow_heap(void)
{
    if (sbrk(HEAP_STEP * (int64_t)PAGE) == FAILED) {
        refused++;
        return;
    }
    heap.n_pages += HEAP_STEP;
    sign(&heap, heap.n_pages - HEAP_STEP);
}

static void shrink_heap(void)
{
    size_t kept = heap.n_pages / 3;
    check(brk(heap.start + kept * PAGE) == heap.start + kept * PAGE, "segments: the heap does not shrink\n");
    heap.n_pages = kept;
}

static void change_mapping(struct part *part)
{
    if (part->n_pages) {
        check(munmap(part->start, part->n_pages * PAGE) == 0, "segments: a mapping cannot be unmapped\n");
        part->n_pages = 0;
        return;
    }
    size_t n_pages = 1 + random_below(&random, MOST_PAGES);
    char *start = mmap(n_pages * PAGE);
    if (start == FAILED) {
        refused++;
        return;
    }
    *part = (struct part){ start, n_pages, random_next(&random) };
    sign(part, 0);
}

/* The stack, a few pages deep, while the other parts change. */
static void one_round(int64_t deep)
{
    volatile uint64_t mine[128];
    mine[0] = mine[127] = (uint64_t)deep;
    if (deep)
        one_round(deep - 1);
    else {
        change_mapping(&parts[random_below(&random, MAPPINGS)]);
        change_mapping(&parts[random_below(&random, MAPPINGS)]);
        if (heap.n_pages < MOST_HEAP)
            grow_heap();
        else
            shrink_heap();
    }
    check(mine[0] == (uint64_t)deep && mine[127] == (uint64_t)deep, "segments: the stack was changed\n");
}

int main(const char *argument)
{
    int64_t rounds = number_of(argument, 30);
    heap = (struct part){ brk(NULL), 0, 77 };
    for (int64_t round = 0; round < rounds; round++) {
        one_round(round % 20);
        look(&heap);
        for (int i = 0; i < MAPPINGS; i++)
            look(&parts[i]);
        yield();
    }
    printf("segments: %ld rounds, the heap has %lu pages, %lu times no room, %d checks failed\n", rounds, heap.n_pages, refused, failures);
    return failures != 0;
}
