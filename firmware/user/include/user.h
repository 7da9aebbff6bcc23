/* The SDK of a user program: what a process asks of the guest kernel, and the little of C's library that it counts on.
 *
 * A system call that fails answers with a number below 0. Memory that the kernel gives is zero. An address space has 16 segments of
 * 2^43 bytes, paged or segmented alike: 1 code, 2 data, 3 the heap, 4 the stack, and one for every mapping (abi.h).
 */
#ifndef USER_H
#define USER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "abi.h"
#include "random.h"                             /* random_next, random_below */

/* --- system calls ------------------------------------------------------------------------------------------------------------ */

int64_t system_call(uint64_t number, uint64_t first, uint64_t second, uint64_t third);

_Noreturn void exit(int status);
int64_t write(const void *bytes, size_t n); /* to the console: how many were written, up to the first that cannot be read */

/* The heap ends at its break. `brk` sets the break and answers with it; with an address it cannot be set to, such as 0, with the break as it
 * is. `sbrk` moves it on and answers with the old one, or FAILED. */
char *brk(const void *end);
void *sbrk(int64_t n);

void *mmap(size_t size);                        /* memory of its own segment, zero, in whole pages; or FAILED */
int64_t munmap(void *start, size_t size);       /* a whole mapping; of pages also its beginning or its end. 0, or below 0 */

int64_t fork(void);                             /* 0 in the child; in the parent the child's pid, or below 0 */
void yield(void);                               /* let others run */
int64_t getpid(void);

#define FAILED ((void *)-1)
#define PAGE ((size_t)FRAME_BYTES)
#define LARGE_PAGE ((size_t)2 << 20)
#define SEGMENT_START(number) ((char *)((uint64_t)(number) << SEGMENT_SHIFT))

/* --- texts and bytes --------------------------------------------------------------------------------------------------------- */

void printf(const char *format, ...);           /* %d %u %x %s %c %%, with l as in %ld; one write a call, up to 256 bytes */
void say(const char *format, va_list arguments);

void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *left, const void *right, size_t n);
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
const char *strchr(const char *text, int c);    /* or NULL */
int64_t number_of(const char *text, int64_t otherwise);     /* the decimal number that a text is; `otherwise` when it is none */

/* --- checks ------------------------------------------------------------------------------------------------------------------ */

/* Count what does not hold, and tell of the first few; `failures` is what a program's exit status is made of. */
extern int failures;
int check(int holds, const char *format, ...);  /* whether it holds */

int main(const char *argument);                 /* "" when there is none; its value is the exit status */

#endif
