/* stackgrow: a recursion that needs ever more stack; the argument is how many KiB (default 128). Every level writes to its own kilobyte and
 * finds it as it was when the levels below have returned.
 */
#include "user.h"

enum { WORDS = 1024 / 8 };

static uint64_t lowest = UINT64_MAX, highest;

static void descend(int64_t levels)
{
    volatile int64_t mine[WORDS];
    lowest = (uint64_t)mine < lowest ? (uint64_t)mine : lowest;
    highest = (uint64_t)mine > highest ? (uint64_t)mine : highest;
    for (int64_t i = 0; i < WORDS; i++)
        mine[i] = levels * WORDS + i;
    if (levels > 1)
        descend(levels - 1);
    for (int64_t i = 0; i < WORDS; i++)
        check(mine[i] == levels * WORDS + i, "stackgrow: level %ld was changed\n", levels);
}

int main(const char *argument)
{
    int64_t levels = number_of(argument, 128);
    descend(levels);
    descend(levels / 2);                        /* through stack that is already there */
    printf("stackgrow: %ld levels, %lu bytes of stack, %d checks failed\n", levels, highest - lowest + WORDS * 8, failures);
    return failures != 0;
}
