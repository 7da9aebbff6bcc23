/* spin: computes for long without a system call, so that only the timer can take its turn away. The argument is how many thousand steps
 * (default 1000); `idle` gives every turn back at once instead, 1000 times.
 *
 * A step is one of a linear congruential generator. So many steps are one affine function, which squaring finds in a few; the two must agree.
 */
#include "user.h"

static const uint64_t FACTOR = 6364136223846793005, OFFSET = 1442695040888963407;

static uint64_t slowly(uint64_t value, int64_t steps)
{
    while (steps--) {
        value = value * FACTOR + OFFSET;
        __asm__ volatile("" : "+r"(value));     /* every step is made */
    }
    return value;
}

static uint64_t at_once(uint64_t value, int64_t steps)
{
    uint64_t factor = FACTOR, offset = OFFSET;
    for (; steps; steps >>= 1) {
        if (steps & 1)
            value = value * factor + offset;
        offset += offset * factor;
        factor *= factor;
    }
    return value;
}

static int idle(void)
{
    for (int turn = 0; turn < 1000; turn++)
        yield();
    printf("spin: process %ld gave 1000 turns back\n", getpid());
    return 0;
}

int main(const char *argument)
{
    if (strcmp(argument, "idle") == 0)
        return idle();
    int64_t steps = 1000 * number_of(argument, 1000);
    uint64_t seed = (uint64_t)getpid();
    check(slowly(seed, steps) == at_once(seed, steps), "spin: the result is wrong\n");
    printf("spin: process %ld made %ld steps, %d checks failed\n", getpid(), steps, failures);
    return failures != 0;
}
