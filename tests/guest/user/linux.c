/* The guest kernel's system calls, made by Linux: user programs as ordinary processes, at the addresses that they have in the guest.
 *
 * Linux's user half is as large as the guest's, 2^47 bytes, so heap and mappings go to the segments they belong to. In the place of start.S.
 */
#include "user.h"

enum { READ_WRITE = 3, PRIVATE_FIXED_LAZY = 0x4032, HEAP = 1 << 30 };

static char *heap_end;
static size_t sizes[N_SEGMENTS];                /* of the mappings */

static int64_t linux_call(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    register uint64_t r10 __asm__("r10") = d;
    register int64_t r8 __asm__("r8") = -1;
    register int64_t r9 __asm__("r9") = 0;
    int64_t answer;
    __asm__ volatile("syscall" : "=a"(answer) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return answer;
}

static int64_t place(char *start, size_t size)
{
    return linux_call(9, (uint64_t)start, size, READ_WRITE, PRIVATE_FIXED_LAZY);
}

static int64_t set_break(char *end)
{
    char *start = SEGMENT_START(HEAP_SEGMENT);
    heap_end = heap_end ? heap_end : start;
    if (end < start || end > start + HEAP)
        return (int64_t)heap_end;
    char *old_page = start + (size_t)(heap_end - start + (int64_t)PAGE - 1) / PAGE * PAGE;
    char *new_page = start + (size_t)(end - start + (int64_t)PAGE - 1) / PAGE * PAGE;
    if (new_page > old_page)
        place(old_page, (size_t)(new_page - old_page));
    else if (new_page < old_page)
        linux_call(11, (uint64_t)new_page, (size_t)(old_page - new_page), 0, 0);
    heap_end = end;
    return (int64_t)end;
}

static int64_t map(size_t size)
{
    int segment = FIRST_FREE_SEGMENT;
    while (segment < N_SEGMENTS && sizes[segment])
        segment++;
    if (segment == N_SEGMENTS || size == 0 || size > (size_t)1 << 40)
        return -1;
    sizes[segment] = (size + PAGE - 1) / PAGE * PAGE;
    return place(SEGMENT_START(segment), sizes[segment]);
}

static int64_t unmap(uint64_t start, size_t size)
{
    uint64_t segment = start >> SEGMENT_SHIFT;
    if (segment < FIRST_FREE_SEGMENT || segment >= N_SEGMENTS || start % ((uint64_t)1 << SEGMENT_SHIFT) || !size
        || sizes[segment] != (size + PAGE - 1) / PAGE * PAGE)
        return -1;
    linux_call(11, start, sizes[segment], 0, 0);
    sizes[segment] = 0;
    return 0;
}

int64_t system_call(uint64_t number, uint64_t first, uint64_t second, uint64_t third)
{
    switch (number) {
    case SYS_exit: return linux_call(60, first, 0, 0, 0);
    case SYS_write: return linux_call(1, 1, first, second, 0);
    case SYS_brk: return set_break((char *)first);
    case SYS_mmap: return map(first);
    case SYS_munmap: return unmap(first, second);
    case SYS_fork: return linux_call(57, 0, 0, 0, 0);
    case SYS_yield: return linux_call(24, 0, 0, 0, 0);
    case SYS_getpid: return linux_call(39, 0, 0, 0, 0);
    default: return -1 - (int64_t)(third & 0);
    }
}

/* Linux leaves the number of arguments and their addresses on the stack. */
__asm__(".globl _start\n_start: xorl %ebp, %ebp; movq %rsp, %rdi; call begin");

__attribute__((used)) _Noreturn void begin(char **stack)
{
    exit(main((int64_t)stack[0] > 1 ? stack[2] : ""));
}
