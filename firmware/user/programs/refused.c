/* refused: system calls with arguments that the kernel must refuse, the process going on unharmed; and those at the edge that it must serve.
 */
#include "user.h"

static const char text[] = "refused: this line was written by a call that is right\n";

static void writes(void)
{
    char *page = mmap(PAGE);
    check(write(text, strlen(text)) == (int64_t)strlen(text), "refused: a whole text is not written\n");
    check(write(text, 0) == 0, "refused: nothing is not written\n");
    check(write(NULL, 1) < 0, "refused: write reads from address 0\n");
    check(write((void *)DIRECT_MAP, 8) < 0, "refused: write reads the kernel's memory\n");
    check(write((void *)FIRMWARE, 8) < 0, "refused: write reads the kernel's code\n");
    check(write((void *)((uint64_t)1 << 47), 8) < 0, "refused: write reads from an address that is none\n");
    page[PAGE - 1] = '\n';
    check(write(page + PAGE - 1, 2) < 2, "refused: write reads beyond a mapping\n");
    check(write(page + PAGE - 1, (size_t)-1) < 2, "refused: write goes once around\n");
    check(munmap(page, PAGE) == 0 && write(page, 1) < 0, "refused: write reads what is unmapped\n");
}

static void breaks(void)
{
    char *start = brk(NULL);
    check(brk(start + PAGE) == start + PAGE, "refused: the heap cannot grow by a page\n");
    *(volatile char *)start = 1;
    check(brk(start - 1) == start + PAGE, "refused: a break below the heap\n");
    check(brk((void *)DIRECT_MAP) == start + PAGE, "refused: a break in the kernel\n");
    check(brk(SEGMENT_START(STACK_SEGMENT) + 1) == start + PAGE, "refused: a heap larger than a segment\n");
    check(*(volatile char *)start == 1, "refused: the heap was changed\n");
    check(brk(start) == start, "refused: the heap cannot shrink to nothing\n");
}

static void mappings(void)
{
    char *page = mmap(1), *other = mmap(PAGE);
    check(page != FAILED && other != FAILED && page != other, "refused: two small mappings\n");
    *(volatile char *)page = *(volatile char *)other = 1;
    check(mmap(0) == FAILED, "refused: a mapping of nothing\n");
    check(mmap((size_t)1 << SEGMENT_SHIFT << 1) == FAILED, "refused: a mapping larger than a segment\n");
    check(mmap((size_t)-1) == FAILED, "refused: a mapping of everything\n");
    check(munmap(NULL, PAGE) < 0, "refused: address 0 is unmapped\n");
    check(munmap((void *)DIRECT_MAP, PAGE) < 0, "refused: the kernel is unmapped\n");
    check(munmap(SEGMENT_START(CODE_SEGMENT), PAGE) < 0, "refused: the code is unmapped\n");
    check(munmap(SEGMENT_START(STACK_SEGMENT + 1) - PAGE, PAGE) < 0, "refused: the stack is unmapped\n");
    check(munmap(page + 1, PAGE) < 0, "refused: half a page is unmapped\n");
    check(munmap(page, PAGE) == 0 && munmap(page, PAGE) < 0, "refused: a mapping is unmapped twice\n");
    check(*(volatile char *)other == 1, "refused: another mapping was changed\n");
    check(munmap(other, PAGE) == 0, "refused: a mapping cannot be unmapped\n");
}

int main(const char *argument)
{
    (void)argument;
    writes();
    breaks();
    mappings();
    check(system_call(1000, 0, 0, 0) < 0 && system_call((uint64_t)-1, 0, 0, 0) < 0, "refused: a call that there is not\n");
    int64_t pid = getpid();
    yield();
    check(pid > 0 && getpid() == pid, "refused: the pid changed\n");
    printf("refused: %d calls were served that should not have been, or the other way round\n", failures);
    return failures != 0;
}
