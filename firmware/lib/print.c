/* Printing to the console, and the little of C's library that a compiler counts on. */
#include <stdarg.h>
#include "kernel_sim.h"

static void print_number(uint64_t value, unsigned base)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n)
        console_putc(digits[--n]);
}

static void print_signed(int64_t value)
{
    if (value < 0)
        console_putc('-');
    print_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void print_string(const char *text)
{
    while (*text)
        console_putc(*text++);
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            console_putc(*format);
            continue;
        }
        int is_long = *++format == 'l';
        format += is_long;
        switch (*format) {
        case 'd': print_signed(is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int)); break;
        case 'u': print_number(is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 10); break;
        case 'x': print_number(is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 16); break;
        case 's': print_string(va_arg(arguments, const char *)); break;
        case 'c': console_putc((char)va_arg(arguments, int)); break;
        default: console_putc('%'); break;
        }
    }
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

uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_next(random) % limit;
}
