/* What a format and its arguments say, character by character; of both SDKs.
 *
 * For the one file of an SDK that prints. That file says where a character goes: straight out, or into a line that is written as a whole.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdarg.h>
#include <stdint.h>

struct output;
static void put(struct output *output, char c);         /* the including file's */

static void put_number(struct output *output, uint64_t value, unsigned base)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n)
        put(output, digits[--n]);
}

static void put_signed(struct output *output, int64_t value)
{
    if (value < 0)
        put(output, '-');
    put_number(output, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void put_text(struct output *output, const char *text)
{
    while (*text)
        put(output, *text++);
}

/* %d %u %x %s %c %%, with l as in %ld. */
static void put_format(struct output *output, const char *format, va_list arguments)
{
    for (; *format; format++) {
        if (*format != '%') {
            put(output, *format);
            continue;
        }
        int is_long = *++format == 'l';
        format += is_long;
        switch (*format) {
        case 'd': put_signed(output, is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int)); break;
        case 'u': put_number(output, is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 10); break;
        case 'x': put_number(output, is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 16); break;
        case 's': put_text(output, va_arg(arguments, const char *)); break;
        case 'c': put(output, (char)va_arg(arguments, int)); break;
        default: put(output, '%'); break;
        }
    }
}

#endif
