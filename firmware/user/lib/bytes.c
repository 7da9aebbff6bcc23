/* Bytes and texts. */
#include "user.h"

void *memset(void *to, int value, size_t n)
{
    unsigned char *byte = to;
    while (n--)
        *byte++ = (unsigned char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    while (n--)
        *target++ = *source++;
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    if (target <= source)
        return memcpy(to, from, n);
    while (n--)
        target[n] = source[n];
    return to;
}

int memcmp(const void *left, const void *right, size_t n)
{
    const unsigned char *a = left, *b = right;
    for (; n; n--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

size_t strlen(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

int strcmp(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return (unsigned char)*left - (unsigned char)*right;
}

const char *strchr(const char *text, int c)
{
    for (; *text != (char)c; text++)
        if (!*text)
            return NULL;
    return text;
}

int64_t number_of(const char *text, int64_t otherwise)
{
    int64_t value = 0;
    const char *digit = text;
    for (; *digit >= '0' && *digit <= '9' && digit - text < 18; digit++)
        value = value * 10 + (*digit - '0');
    return digit == text || *digit ? otherwise : value;
}
