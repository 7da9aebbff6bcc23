/* Printing to the console, and the little of C's library that a compiler counts on. */
#include "format.h"
#include "kernel_sim.h"

static void put(struct output *console, char c)
{
    (void)console;              /* there is one */
    console_putc(c);
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_format(NULL, format, arguments);
    va_end(arguments);
}

const char *status_name(int status)
{
    switch (status) {
    case STATUS_OK: return "ok";
    case STATUS_OUT_OF_FRAMES: return "out of frames";
    case STATUS_DOUBLE_FREE: return "double free";
    case STATUS_NOT_ALLOCATED: return "not allocated";
    case STATUS_INTERIOR_FREE: return "interior free";
    case STATUS_OUT_OF_RANGE: return "out of range";
    case STATUS_RESERVED: return "reserved";
    case STATUS_BAD_COUNT: return "bad count";
    case STATUS_NO_SUCH_SEGMENT: return "no such segment";
    case STATUS_NO_SUCH_CALL: return "no such call";
    case STATUS_BAD_ARGUMENT: return "bad argument";
    case STATUS_NOT_SERVED: return "not served";
    case STATUS_SHARED: return "shared";
    case STATUS_TOO_MANY_USERS: return "too many users";
    default: return "unknown status";
    }
}

void *memset(void *to, int value, size_t n)
{
    unsigned char *byte = to;
    const uint64_t pattern = 0x0101010101010101ULL * (unsigned char)value;
    for (; n >= 64; n -= 64, byte += 64)        /* a frame in 64 turns; written out, for no compiler may call memset here */
        __asm__ volatile("movq %1, (%0)\n movq %1, 8(%0)\n movq %1, 16(%0)\n movq %1, 24(%0)\n"
                         "movq %1, 32(%0)\n movq %1, 40(%0)\n movq %1, 48(%0)\n movq %1, 56(%0)" :: "r"(byte), "r"(pattern) : "memory");
    while (n--)
        *byte++ = (unsigned char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    for (; n >= 32; n -= 32, target += 32, source += 32) {
        uint64_t a, b, c, d;
        __asm__ volatile("movq (%5), %0\n movq 8(%5), %1\n movq 16(%5), %2\n movq 24(%5), %3\n"
                         "movq %0, (%4)\n movq %1, 8(%4)\n movq %2, 16(%4)\n movq %3, 24(%4)"
                         : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d) : "r"(target), "r"(source) : "memory");
    }
    while (n--)
        *target++ = *source++;
    return to;
}
