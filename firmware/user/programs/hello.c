/* hello: who am I? Prints its pid, its argument and where its parts lie; a number as argument is its exit status. */
#include "user.h"

static const char greeting[] = "Hello from ring 3.";
static int data = 42;
static int zero[3];

int main(const char *argument)
{
    int local = 7;
    printf("%s I am process %ld, my argument is \"%s\".\n", greeting, getpid(), argument);
    printf("  code %lx, constants %lx, data %lx, bss %lx, heap %lx, stack %lx\n", (uint64_t)main, (uint64_t)greeting, (uint64_t)&data,
           (uint64_t)zero, (uint64_t)brk(NULL), (uint64_t)&local);
    check(data == 42 && zero[0] == 0 && zero[2] == 0, "the data is not what the image says\n");
    data = zero[1] = local;
    check(data + zero[1] == 14, "the data cannot be written\n");
    return failures ? 1 : (int)number_of(argument, 0);
}
