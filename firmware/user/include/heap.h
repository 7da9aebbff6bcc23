/* A heap on `brk`: malloc and its kin over an allocator that `heap_choose` picks.
 *
 * fits.c: first, next, best and worst fit over one list of free blocks with boundary tags. buddy.c: a binary buddy. heap.c: what they share.
 */
#ifndef HEAP_H
#define HEAP_H

#include <stddef.h>

/* One way to keep a heap. Blocks are known by the address of their contents, a multiple of 16. */
struct allocator {
    const char *name;
    void *(*take)(size_t n);                    /* a block with room for n bytes, or NULL */
    void (*give)(void *contents);
    int (*resize)(void *contents, size_t n);    /* in place: whether the block now has room for n bytes */
    size_t (*room)(const void *contents);       /* how many bytes there is room for */
    const char *(*check)(void);                 /* what is wrong with the heap, or NULL */
};

extern const struct allocator first_fit, next_fit, best_fit, worst_fit, buddy;

int heap_choose(const char *name);              /* before the first malloc; whether there is one of that name. The default is first-fit */
const char *heap_name(void);
const char *heap_check(void);
size_t heap_size(void);                         /* the bytes between the heap's start and its break */
size_t heap_room(const void *contents);

void *malloc(size_t n);
void free(void *contents);
void *calloc(size_t count, size_t size);
void *realloc(void *contents, size_t n);

#endif
