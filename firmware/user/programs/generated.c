/* generated: a random program without a mistake. The argument is its seed (default 1).
 *
 * It maps and unmaps, moves its break, writes, reads, recurses, forks and yields, in an order that only the seed decides, and knows what every
 * page must hold: it reads what it has written, and zeros where it has not. So whatever a checker of memory reports about it is the checker's
 * mistake, or the kernel's.
 */
#include "user.h"

enum {
    OPERATIONS = 1500, MAPPINGS = 5, PARTS = MAPPINGS + 1, PAGES = 24,      /* the last part is the heap */
    HEAP = MAPPINGS, FORKS = 2, DEEPEST = 60
};

/* A stretch of memory of which `n_pages` pages, a stride apart, are looked at. */
struct part {
    char *start;
    size_t size, stride, n_pages;
    uint64_t written[PAGES];                    /* what a page's words were made of when it was last written; 0: never */
};

static struct part parts[PARTS];
static struct random random;
static int64_t generation, forks;               /* how many ancestors; how many children */

static const size_t words[] = { 0, 1, 170, 341, 511 };
enum { WORDS = sizeof words / sizeof *words, NEVER_WRITTEN = 256 };

static uint64_t word_for(uint64_t written, size_t i)
{
    return written ? written * 0x9e3779b97f4a7c15 + i : 0;
}

static volatile uint64_t *page_of(const struct part *part, size_t page)
{
    return (volatile uint64_t *)(part->start + page * part->stride);
}

static void read_page(const struct part *part, size_t page)
{
    volatile uint64_t *there = page_of(part, page);
    for (size_t i = 0; i < WORDS; i++)
        check(there[words[i]] == word_for(part->written[page], i), "generated: word %lu of page %lu at %lx holds %lx\n", words[i], page,
              (uint64_t)part->start, there[words[i]]);
    check(there[NEVER_WRITTEN] == 0, "generated: a word that was never written holds %lx\n", there[NEVER_WRITTEN]);
}

static void write_page(struct part *part, size_t page)
{
    part->written[page] = random_next(&random) | 1;
    for (size_t i = 0; i < WORDS; i++)
        page_of(part, page)[words[i]] = word_for(part->written[page], i);
}

static void read_all(void)
{
    for (int i = 0; i < PARTS; i++)
        for (size_t page = 0; page < parts[i].n_pages; page++)
            read_page(&parts[i], page);
}

/* --- operations -------------------------------------------------------------------------------------------------------------- */

static void touch(void)
{
    struct part *part = &parts[random_below(&random, PARTS)];
    if (!part->n_pages)
        return;
    size_t page = random_below(&random, part->n_pages);
    read_page(part, page);
    if (random_below(&random, 2))
        write_page(part, page);
}

/* Mostly a few pages; now and then some megabytes, of which a few pages are used. */
static void map(struct part *part)
{
    int is_large = random_below(&random, 20) == 0;
    size_t n_pages = 1 + random_below(&random, PAGES), stride = is_large ? (1 + random_below(&random, 40)) * PAGE : PAGE;
    char *start = mmap(n_pages * stride);
    if (start == FAILED)
        return;
    memset(part, 0, sizeof *part);
    part->start = start;
    part->size = n_pages * stride;
    part->stride = stride;
    part->n_pages = n_pages;
}

static void map_or_unmap(void)
{
    struct part *part = &parts[random_below(&random, MAPPINGS)];
    if (!part->n_pages) {
        map(part);
        return;
    }
    check(munmap(part->start, part->size) == 0, "generated: a mapping cannot be unmapped\n");
    part->n_pages = 0;
}

/* To any byte when the heap grows, to the end of a page when it shrinks: what a page half given back holds is not said anywhere. */
static void move_break(void)
{
    struct part *heap = &parts[HEAP];
    size_t size = random_below(&random, PAGES * PAGE + 1);
    if (size <= heap->size)
        size = size / PAGE * PAGE;
    char *end = heap->start + size;
    if (brk(end) != end) {
        check(size > heap->size, "generated: the heap does not shrink\n");
        return;
    }
    size_t n_pages = size / PAGE;
    for (size_t page = n_pages; page < heap->n_pages; page++)
        heap->written[page] = 0;
    heap->size = size;
    heap->n_pages = n_pages;
}

static uint64_t recurse(uint64_t depth)
{
    volatile uint64_t mine[64];
    for (size_t i = 0; i < 64; i += 9)
        mine[i] = depth * 64 + i;
    uint64_t below = depth ? recurse(depth - 1) : 0;
    for (size_t i = 0; i < 64; i += 9)
        check(mine[i] == depth * 64 + i, "generated: the stack was changed\n");
    return below + mine[0];
}

/* The child goes on with random numbers of its own. */
static void split(void)
{
    if (generation >= 2 || forks >= FORKS)
        return;
    forks++;
    int64_t pid = fork();
    if (pid != 0)
        return;
    generation++;
    forks = 0;
    random.state ^= (uint64_t)generation << 32;
    read_all();
}

static void operate(void)
{
    uint64_t kind = random_below(&random, 100);
    if (kind < 70)
        touch();
    else if (kind < 82)
        map_or_unmap();
    else if (kind < 90)
        move_break();
    else if (kind < 94)
        yield();
    else if (kind < 98) {
        uint64_t depth = random_below(&random, DEEPEST);
        check(recurse(depth) == depth * (depth + 1) / 2 * 64, "generated: the recursion is wrong\n");
    } else if (kind == 98)
        split();
    else
        read_all();
}

int main(const char *argument)
{
    random.state = (uint64_t)number_of(argument, 1);
    parts[HEAP].start = brk(NULL);
    parts[HEAP].stride = PAGE;
    for (int i = 0; i < OPERATIONS >> generation; i++)
        operate();
    read_all();
    if (generation == 0)
        printf("generated: seed %ld, %d checks failed\n", number_of(argument, 1), failures);
    return failures != 0;
}
