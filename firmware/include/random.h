/* Random numbers, of both SDKs. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;                             /* the seed, at first: any number */
};

uint64_t random_next(struct random *random);    /* splitmix64: the same numbers everywhere for the same seed */
uint64_t random_below(struct random *random, uint64_t limit);

#endif
