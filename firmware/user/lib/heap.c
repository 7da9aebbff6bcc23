/* malloc, free, calloc and realloc over the chosen allocator. */
#include "heap.h"
#include "user.h"

static const struct allocator *const all[] = { &first_fit, &next_fit, &best_fit, &worst_fit, &buddy };
static const struct allocator *chosen = &first_fit;
static char *start;                             /* of the heap */

int heap_choose(const char *name)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0) {
            chosen = all[i];
            return 1;
        }
    return 0;
}

const char *heap_name(void)
{
    return chosen->name;
}

const char *heap_check(void)
{
    return start ? chosen->check() : NULL;
}

size_t heap_size(void)
{
    return start ? (size_t)(brk(NULL) - start) : 0;
}

size_t heap_room(const void *contents)
{
    return chosen->room(contents);
}

void *malloc(size_t n)
{
    if (!start)
        start = brk(NULL);
    return n < (size_t)1 << SEGMENT_SHIFT ? chosen->take(n) : NULL;
}

void free(void *contents)
{
    if (contents)
        chosen->give(contents);
}

void *calloc(size_t count, size_t size)
{
    size_t n;
    void *contents = __builtin_mul_overflow(count, size, &n) ? NULL : malloc(n);
    return contents ? memset(contents, 0, n) : NULL;
}

/* In place if the allocator can, else elsewhere. When there is no room, the old block stays as it is. */
void *realloc(void *contents, size_t n)
{
    if (!contents)
        return malloc(n);
    if (n < (size_t)1 << SEGMENT_SHIFT && chosen->resize(contents, n))
        return contents;
    void *larger = malloc(n);
    if (!larger)
        return NULL;
    size_t room = chosen->room(contents);
    memcpy(larger, contents, room < n ? room : n);
    free(contents);
    return larger;
}
