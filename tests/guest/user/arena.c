/* A break that moves through an array: the user SDK's heap as a library that a test calls. */
#include "user.h"

enum { ARENA = 32 << 20 };

static char arena[ARENA] __attribute__((aligned(4096)));
size_t limit = ARENA, used;                     /* how far the break may go, and where it is */

int64_t system_call(uint64_t number, uint64_t first, uint64_t second, uint64_t third)
{
    (void)second, (void)third;
    char *end = (char *)first;
    if (number == SYS_brk && end >= arena && end <= arena + limit)
        used = (size_t)(end - arena);
    return (int64_t)(arena + used);
}
