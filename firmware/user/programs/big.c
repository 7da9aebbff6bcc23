/* big: maps 1 GiB and touches a few pages of it (the argument, default 4), spread over all of it. With pages, that is all the memory it takes;
 * a segment is there as a whole or not at all (status 3).
 */
#include "user.h"

enum { GIB = 1 << 30 };

int main(const char *argument)
{
    int64_t n_touched = number_of(argument, 4);
    char *start = mmap(GIB);
    if (start == FAILED) {
        printf("big: no room for 1 GiB\n");
        return 3;
    }
    size_t step = n_touched > 0 ? GIB / (size_t)n_touched / PAGE * PAGE : 0;
    for (int64_t i = 0; i < n_touched; i++) {
        volatile int64_t *word = (volatile int64_t *)(start + (size_t)i * step);
        check(*word == 0, "big: page %ld is not zero\n", i);
        *word = i + 1;
    }
    yield();
    for (int64_t i = 0; i < n_touched; i++)
        check(*(volatile int64_t *)(start + (size_t)i * step) == i + 1, "big: page %ld was changed\n", i);
    return failures != 0;
}
