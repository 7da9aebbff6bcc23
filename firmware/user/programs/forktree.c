/* forktree: a tree of forks. The argument is its depth (default 3): every process forks twice at each level, so 2^(depth+1)-1 processes.
 *
 * Each writes its own number over what it inherited in its data, its heap, its stack and a mapping, lets the others run, and finds its own
 * number everywhere: memory is shared by parent and child only until one of them writes (copy on write).
 */
#include "user.h"

enum { WORDS = 1200 };                          /* more than two pages */

static volatile int64_t data[WORDS];

struct places {
    volatile int64_t *place[4];
    size_t n_words[4];
};

static void write_all(const struct places *places, int64_t number)
{
    for (int i = 0; i < 4; i++)
        for (size_t word = 0; word < places->n_words[i]; word++)
            places->place[i][word] = number;
}

static void check_all(const struct places *places, int64_t number, const char *when)
{
    static const char *const names[] = { "data", "heap", "stack", "mapping" };
    for (int i = 0; i < 4; i++)
        for (size_t word = 0; word < places->n_words[i]; word++)
            if (!check(places->place[i][word] == number, "process %ld of the tree, %s: its %s holds %ld\n", number, when, names[i],
                       places->place[i][word]))
                return;
}

/* A process of the tree. Its children are numbers 2n and 2n+1, so that a number tells the way from the root, which is 1. */
static void live(const struct places *places, int64_t number, int64_t depth)
{
    write_all(places, number);
    for (int64_t child = 2 * number; depth && child <= 2 * number + 1; child++) {
        int64_t pid = fork();
        if (pid == 0) {
            check_all(places, number, "as it begins");
            live(places, child, depth - 1);
            exit(failures != 0);
        }
        check(pid > 0, "process %ld of the tree cannot fork\n", number);
        check_all(places, number, "after a fork");
        yield();
    }
    for (int turn = 0; turn < 3; turn++) {
        check_all(places, number, "after others ran");
        yield();
    }
    write_all(places, -number);
    check_all(places, -number, "written again");
}

int main(const char *argument)
{
    int64_t depth = number_of(argument, 3);
    volatile int64_t stack[200];
    struct places places = { { data, sbrk(2 * PAGE), stack, mmap(3 * PAGE) }, { WORDS, 2 * PAGE / 8, 200, 3 * PAGE / 8 } };
    if (places.place[1] == FAILED || places.place[3] == FAILED) {
        printf("forktree: no memory\n");
        return 2;
    }
    live(&places, 1, depth);
    printf("forktree: the root of %ld processes, %d checks failed in it\n", (2L << depth) - 1, failures);
    return failures != 0;
}
