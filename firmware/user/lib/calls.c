/* The system calls, one line each. */
#include "user.h"

_Noreturn void exit(int status)
{
    for (;;)
        system_call(SYS_exit, (uint64_t)status, 0, 0);
}

int64_t write(const void *bytes, size_t n)
{
    return system_call(SYS_write, (uint64_t)bytes, n, 0);
}

char *brk(const void *end)
{
    return (char *)system_call(SYS_brk, (uint64_t)end, 0, 0);
}

void *sbrk(int64_t n)
{
    char *old = brk(NULL);
    return brk(old + n) == old + n ? old : FAILED;
}

void *mmap(size_t size)
{
    int64_t start = system_call(SYS_mmap, size, 0, 0);
    return start < 0 ? FAILED : (void *)start;
}

int64_t munmap(void *start, size_t size)
{
    return system_call(SYS_munmap, (uint64_t)start, size, 0);
}

int64_t fork(void)
{
    return system_call(SYS_fork, 0, 0, 0);
}

void yield(void)
{
    system_call(SYS_yield, 0, 0, 0);
}

int64_t getpid(void)
{
    return system_call(SYS_getpid, 0, 0, 0);
}
