/* The SDK: what a guest asks of the machine. Everything here is a few lines in lib/; read them, they are the whole story.
 *
 * A call is written to the call box, a page that guest and host both see; then the doorbell is rung, and the answer stands in the box.
 */
#ifndef KERNEL_SIM_H
#define KERNEL_SIM_H

#include <stddef.h>
#include <stdint.h>
#include "abi.h"
#include "random.h"                             /* random_next, random_below */

typedef int64_t pfn_t;                          /* a page-frame number; a failure is minus a status */

/* --- frames ------------------------------------------------------------------------------------------------------------------ */

pfn_t frame_alloc(int64_t n_frames);            /* a run of frames: the first one's number, or minus a status */
pfn_t frame_alloc_for(int64_t n_frames, uint16_t owner, uint16_t cpu, uint16_t mobility);
int frame_free(pfn_t pfn);                      /* the allocation that starts there: a status */
int frame_free_part(pfn_t pfn, int64_t n_frames);       /* part of one, from there on */
int64_t frame_share(pfn_t pfn, uint16_t owner);         /* one more user of a whole allocation: how many there are, or minus a status */
int frame_free_for(pfn_t pfn, uint16_t owner);  /* by one user: refused if he is none; the last one's frees the frames. Owner 0 may be anybody */
void *frame_address(pfn_t pfn);                 /* where the direct map shows a frame */

/* Many at once, with one ring of the doorbell: each frames[i] becomes a pfn or minus a status. Returns how many were served. */
int64_t frames_alloc(pfn_t *frames, int64_t count);
int64_t frames_free(const pfn_t *frames, int64_t count);

/* --- segments ---------------------------------------------------------------------------------------------------------------- */

struct segment {
    int64_t id;                                 /* or minus a status */
    uint64_t base;                              /* physical */
    uint64_t bound;                             /* bytes */
};

struct segment segment_alloc(uint64_t size_bytes, uint16_t owner);
struct segment segment_lookup(int64_t id);
int segment_free(int64_t id);                   /* one user less; the last one's gives the frames back */
int64_t segment_share(int64_t id, uint16_t owner);      /* one user more: how many there are now, or minus a status */

/* Another size. It stays where it is if the frames behind it are free and the policy can give up just those; else it moves, and what it holds with
 * it. After a failure it is what it was. */
struct segment segment_grow(int64_t id, uint64_t size_bytes);

struct compaction {
    int64_t n_moved;                            /* segments; look their bases up again */
    int64_t frames_copied;
};

struct compaction segments_compact(void);       /* move all segments together, towards the lowest frames */
void *segment_address(const struct segment *segment, uint64_t offset);  /* NULL at or beyond the bound */

/* --- the machine ------------------------------------------------------------------------------------------------------------- */

struct memory_info {
    int64_t n_frames, n_free, n_used;
};

struct memory_info memory_info(void);
const char *status_name(int status);

/* The operations of a trace, a window at a time: how many stand in the window, 0 at the end, or minus a status. The host notes where every
 * allocation is placed, so between two windows a guest asks for the window's allocations, in their order, and for no others. */
int64_t stream_next(void);
#define window_operations ((volatile const struct operation *)WINDOW)

#define guest_report (*(volatile struct guest_report *)GUEST_REPORT)

/* The raw door: any call at all. Returns the status. */
int call(struct call_box *box);

/* --- console, exit, and what C wants ----------------------------------------------------------------------------------------- */

void console_putc(char c);
void print(const char *format, ...);            /* %d %u %x %s %c %%, with l as in %ld */
_Noreturn void exit(int status);

void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);

int main(const struct boot_info *boot);

#endif
