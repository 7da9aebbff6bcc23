/* Printing. What one call prints is written at once, so that the lines of several processes do not mix. */
#include "user.h"

struct line {
    char text[256];
    size_t n;
};

static void put(struct line *line, char c)
{
    if (line->n < sizeof line->text)
        line->text[line->n++] = c;
}

static void put_number(struct line *line, uint64_t value, unsigned base)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n)
        put(line, digits[--n]);
}

static void put_signed(struct line *line, int64_t value)
{
    if (value < 0)
        put(line, '-');
    put_number(line, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void put_text(struct line *line, const char *text)
{
    while (*text)
        put(line, *text++);
}

void say(const char *format, va_list arguments)
{
    struct line line;
    line.n = 0;
    for (; *format; format++) {
        if (*format != '%') {
            put(&line, *format);
            continue;
        }
        int is_long = *++format == 'l';
        format += is_long;
        switch (*format) {
        case 'd': put_signed(&line, is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int)); break;
        case 'u': put_number(&line, is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 10); break;
        case 'x': put_number(&line, is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 16); break;
        case 's': put_text(&line, va_arg(arguments, const char *)); break;
        case 'c': put(&line, (char)va_arg(arguments, int)); break;
        default: put(&line, '%'); break;
        }
    }
    write(line.text, line.n);
}

void printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}
