/* scenarios: what the tests of the guest kernel let a process do. The argument is "NAME NUMBER [NUMBER]". */
#include "user.h"

static int64_t number[2];

static volatile int64_t *word_of(char *start, int64_t page)
{
    return (volatile int64_t *)(start + (size_t)page * PAGE);
}

static void write_pages(char *start, int64_t n, int64_t value)
{
    for (int64_t i = 0; i < n; i++)
        *word_of(start, i) = value + i;
}

static void check_pages(char *start, int64_t from, int64_t to, int64_t value)
{
    for (int64_t i = from; i < to; i++)
        check(*word_of(start, i) == value + i, "page %ld holds %ld\n", i, *word_of(start, i));
}

/* Maps the first number of pages, reads one and writes to one in every step of so many. */
static void touch(void)
{
    char *start = mmap((size_t)number[0] * PAGE);
    for (int64_t i = 0; i < number[0]; i += number[1]) {
        check(*word_of(start, i) == 0, "page %ld is not zero\n", i);
        *word_of(start, i) = i;
    }
}

/* Writes n pages, forks; the child writes to k of them and ends; then the parent writes to all. */
static void copies(void)
{
    char *start = mmap((size_t)number[0] * PAGE);
    write_pages(start, number[0], 100);
    if (fork() == 0) {
        check_pages(start, 0, number[0], 100);
        write_pages(start, number[1], 5000);
        check_pages(start, 0, number[1], 5000);
        check_pages(start, number[1], number[0], 100);
        exit(failures);
    }
    yield();
    check_pages(start, 0, number[0], 100);
    write_pages(start, number[0], 9000);
    check_pages(start, 0, number[0], 9000);
}

/* n pages, of which so many at the beginning and then so many at the end are unmapped; the rest stays. */
static void parts(void)
{
    char *start = mmap((size_t)number[0] * PAGE);
    write_pages(start, number[0], 7);
    int64_t pid = fork();
    if (pid == 0) {
        yield();
        check_pages(start, 0, number[0], 7);
        exit(failures);
    }
    int64_t cut = number[1], left = number[0] - cut;
    check(munmap(start, (size_t)cut * PAGE) == 0, "the beginning cannot be unmapped\n");
    check_pages(start, cut, number[0], 7);
    check(munmap(start + (size_t)left * PAGE, (size_t)cut * PAGE) == 0, "the end cannot be unmapped\n");
    check_pages(start, cut, left, 7);
    check(munmap(start + (size_t)(cut + 1) * PAGE, PAGE) < 0, "a hole\n");
    check(munmap(start + (size_t)cut * PAGE, (size_t)(left - cut) * PAGE) == 0, "the rest cannot be unmapped\n");
    check(mmap(PAGE) == start, "the place is not free again\n");
}

/* Maps more than there is, and touches n pages of it; after so many at a time, if that is not 0, the others have a turn. */
static void eat(void)
{
    char *start = mmap((size_t)1 << 40);
    for (int64_t i = 0; i < number[0]; i++) {
        *word_of(start, i) = i;
        if (number[1] && i % number[1] == 0)
            yield();
    }
}

/* Takes ever larger segments until none is given, frees every second and asks for one that only fits when the rest moves together. */
static void scatter(void)
{
    char *parts[10];
    int64_t n = 0;
    while (n < 10 && (parts[n] = mmap((size_t)number[0] * PAGE)) != FAILED) {
        write_pages(parts[n], number[0], n * 1000);
        n++;
    }
    check(n == 10, "only %ld segments\n", n);
    for (int64_t i = 0; i < n; i += 2)
        check(munmap(parts[i], (size_t)number[0] * PAGE) == 0, "a segment cannot be freed\n");
    char *large = mmap((size_t)number[1] * PAGE);
    check(large != FAILED, "no room for %ld pages\n", number[1]);
    if (large != FAILED)
        write_pages(large, number[1], 77);
    for (int64_t i = 1; i < n; i += 2)
        check_pages(parts[i], 0, number[0], i * 1000);
}

/* System calls with numbers and arguments at random, mostly at the edges of what is allowed. */
static void noise(void)
{
    struct random random = { (uint64_t)number[0] };
    for (int64_t i = 0; i < number[1]; i++) {
        uint64_t argument[3];
        for (int j = 0; j < 3; j++)
            argument[j] = (random_below(&random, 20) << SEGMENT_SHIFT) + (random_below(&random, 5) - 2) * (random_below(&random, 3) ? 1 : PAGE)
                + (random_below(&random, 4) ? 0 : random_next(&random));
        uint64_t call = 1 + random_below(&random, 9);
        if (call == SYS_write || call == SYS_mmap)
            argument[1] %= 64, argument[0] = call == SYS_mmap ? argument[0] % (64 * PAGE) : argument[0];
        if (call == SYS_brk && random_below(&random, 2))
            argument[0] = (uint64_t)SEGMENT_START(HEAP_SEGMENT) + random_below(&random, 16 * PAGE);
        int64_t answer = system_call(call, argument[0], argument[1], argument[2]);
        if (call == SYS_fork && answer == 0)
            exit(0);
    }
}

/* Flags that a process may set and the kernel must not be impressed by: single step, nested task, alignment check, direction. */
static void flags(void)
{
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq; rex64 lcall *%1" : : "r"((uint64_t)number[0]), "m"(*(struct { uint64_t offset; uint16_t gate; } *)
                     &(struct { uint64_t offset; uint16_t gate; }){ 0, 0x3b }), "a"((uint64_t)SYS_getpid) : "memory", "cc");
    __asm__ volatile("pushq $0x202; popfq" : : : "cc");
}

/* An instruction of the vector unit or, for 1, of the floating-point unit: pxor %xmm0, %xmm0; fldz. */
static void floating(void)
{
    if (number[0])
        __asm__ volatile(".byte 0xd9, 0xee");
    else
        __asm__ volatile(".byte 0x66, 0x0f, 0xef, 0xc0");
}

/* Fills the stack as it is in the beginning, lets it grow to twice its size, and looks at what is new in it. */
static void deeper(void)
{
    volatile int64_t *end = (volatile int64_t *)SEGMENT_START(STACK_SEGMENT + 1), *old = end - 16 * 1024 / 8;
    volatile int64_t *word = (volatile int64_t *)((uint64_t)__builtin_frame_address(0) - 1024);
    while (word > old)
        *--word = 5;
    for (word = old - 1; word >= old - 16 * 1024 / 8; word--)
        check(*word == 0, "below the old end of the stack: %ld\n", *word);
    check(*old == 5, "the stack has changed\n");
}

static const struct {
    const char *name;
    void (*act)(void);
} scenarios[] = { { "touch", touch }, { "copies", copies }, { "parts", parts }, { "eat", eat }, { "scatter", scatter }, { "noise", noise },
                  { "flags", flags }, { "floating", floating }, { "deeper", deeper } };

int main(const char *argument)
{
    char text[32], *rest = text;
    memcpy(text, argument, sizeof text);
    for (int i = 0; i < 2; i++) {
        rest = (char *)strchr(rest, ' ');
        if (!rest)
            break;
        *rest++ = 0;
        int64_t value = 0;
        for (const char *digit = rest; *digit >= '0' && *digit <= '9'; digit++)
            value = value * 10 + (*digit - '0');
        number[i] = value;
    }
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, text) == 0) {
            scenarios[i].act();
            return failures != 0;
        }
    return 2;
}
