/* Printing. What one call prints is written at once, so that the lines of several processes do not mix. */
#include "format.h"
#include "user.h"

struct output {
    char text[256];
    size_t n;
};

static void put(struct output *line, char c)
{
    if (line->n < sizeof line->text)
        line->text[line->n++] = c;
}

void say(const char *format, va_list arguments)
{
    struct output line;
    line.n = 0;
    put_format(&line, format, arguments);
    write(line.text, line.n);
}

void printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}
