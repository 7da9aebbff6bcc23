/* malloc: a heap of its own in a process, on brk. The argument is the policy: first-fit (default), next-fit, best-fit, worst-fit or buddy.
 *
 * A random sequence of malloc, calloc, realloc and free. Every block is filled with bytes of its own and looked at again before it goes, and
 * the heap is checked all along. Prints what the heap was used for at its fullest.
 */
#include "heap.h"
#include "user.h"

enum { BLOCKS = 120, OPERATIONS = 3000, CHECK_EVERY = 50 };

struct held {
    unsigned char *bytes;
    size_t n;
    unsigned char first;                        /* byte; the others count on from it */
};

static struct held held[BLOCKS];
static struct random random = { 20 };
static size_t in_use, most_in_use;

static size_t any_size(void)
{
    return random_below(&random, random_below(&random, 10) ? 200 : 3000);
}

static void fill(struct held *block)
{
    block->first = (unsigned char)random_next(&random);
    for (size_t i = 0; i < block->n; i++)
        block->bytes[i] = (unsigned char)(block->first + i);
}

static void look(const struct held *block, size_t n)
{
    size_t i = 0;
    while (i < n && block->bytes[i] == (unsigned char)(block->first + i))
        i++;
    check(i == n, "byte %lu of a block of %lu was changed\n", i, block->n);
}

static void count(size_t gone, size_t come)
{
    in_use = in_use - gone + come;
    most_in_use = in_use > most_in_use ? in_use : most_in_use;
}

static void take(struct held *block)
{
    size_t n = any_size();
    int cleared = random_below(&random, 4) == 0;
    unsigned char *bytes = cleared ? calloc(1, n) : malloc(n);
    if (!check(bytes != NULL, "no room for %lu bytes\n", n))
        return;
    *block = (struct held){ bytes, n, 0 };
    check((uint64_t)bytes % 16 == 0 && heap_room(bytes) >= n, "a block of %lu at %lx\n", n, (uint64_t)bytes);
    for (size_t i = 0; cleared && i < n; i++)
        check(bytes[i] == 0, "calloc gave a byte that is not 0\n");
    count(0, n);
    fill(block);
}

static void change(struct held *block)
{
    size_t n = any_size(), kept = n < block->n ? n : block->n;
    unsigned char *bytes = realloc(block->bytes, n);
    if (!check(bytes != NULL, "no room for %lu bytes\n", n))
        return;
    block->bytes = bytes;
    look(block, kept);
    count(block->n, n);
    block->n = n;
    fill(block);
}

static void give(struct held *block)
{
    look(block, block->n);
    count(block->n, 0);
    free(block->bytes);
    block->bytes = NULL;
}

static void check_heap(void)
{
    const char *wrong = heap_check();
    check(!wrong, "%s: %s\n", heap_name(), wrong ? wrong : "");
}

int main(const char *argument)
{
    if (*argument && !heap_choose(argument)) {
        printf("malloc: no policy %s\n", argument);
        return 2;
    }
    for (int i = 0; i < OPERATIONS; i++) {
        struct held *block = &held[random_below(&random, BLOCKS)];
        if (!block->bytes)
            take(block);
        else if (random_below(&random, 4) == 0)
            change(block);
        else
            give(block);
        if (i % CHECK_EVERY == 0)
            check_heap();
    }
    for (int i = 0; i < BLOCKS; i++)
        if (held[i].bytes)
            give(&held[i]);
    check_heap();
    size_t tenths = most_in_use * 1000 / heap_size();
    printf("%s: %d operations, at most %lu bytes in use in a heap of %lu: utilisation %lu.%lu %%\n", heap_name(), OPERATIONS, most_in_use,
           heap_size(), tenths / 10, tenths % 10);
    return failures != 0;
}
