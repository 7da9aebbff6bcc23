/* What a program checks. */
#include "user.h"

enum { TOLD = 8 };

int failures;

int check(int holds, const char *format, ...)
{
    if (!holds && failures++ < TOLD) {
        va_list arguments;
        va_start(arguments, format);
        say(format, arguments);
        va_end(arguments);
    }
    return holds;
}
