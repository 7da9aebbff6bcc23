/* replay: executes a trace, streamed to it in windows. It signs every frame that it gets, one word in each cache line, and verifies
 * the signatures before it gives a frame back, so a frame given out twice, or written by somebody else, does not go unnoticed. */
#include "kernel_sim.h"

enum { WORDS_A_LINE = 8, WORDS = FRAME_BYTES / 8 };

static uint64_t seed;
static pfn_t placed[WINDOW_OPERATIONS];         /* by the window's operations: what each allocation got */

static uint64_t signature(pfn_t pfn, int word)
{
    return seed ^ ((uint64_t)pfn << 16) ^ (uint64_t)word ^ 0x5167000000000000;
}

static void sign(pfn_t first, int64_t n_frames)
{
    for (pfn_t pfn = first; pfn < first + n_frames; pfn++) {
        volatile uint64_t *words = frame_address(pfn);
        for (int word = 0; word < WORDS; word += WORDS_A_LINE)
            words[word] = signature(pfn, word);
    }
    guest_report.frames_written += n_frames;
}

static void verify(pfn_t first, int64_t n_frames)
{
    for (pfn_t pfn = first; pfn < first + n_frames; pfn++) {
        volatile uint64_t *words = frame_address(pfn);
        int wrong = 0;
        for (int word = 0; word < WORDS; word += WORDS_A_LINE) {
            wrong |= words[word] != signature(pfn, word);
            words[word] = 0;                    /* so that a second free of it is found, too */
        }
        if (wrong && guest_report.corrupted++ == 0)
            print("frame %ld does not hold what was written to it\n", pfn);
    }
    guest_report.frames_verified += n_frames;
}

static void give_back(pfn_t pfn, int64_t n_frames)
{
    int status = frame_free_part(pfn, n_frames);
    if (status != STATUS_OK && guest_report.refused++ == 0)
        print("free of frame %ld: %s\n", pfn, status_name(status));
}

static void execute(volatile const struct operation *operation, pfn_t *place)
{
    pfn_t first;
    switch (operation->kind) {
    case OPERATION_ALLOC:
        *place = frame_alloc_for(operation->n_frames, operation->owner, operation->cpu, operation->mobility);
        if (*place >= 0)
            sign(*place, operation->n_frames);
        break;
    case OPERATION_FREE:
        first = operation->slot >= 0 ? operation->slot : placed[-1 - operation->slot];
        if (first < 0)
            break;                              /* it was never served, so there is nothing to free */
        verify(first + operation->offset, operation->n_frames);
        give_back(first + operation->offset, operation->n_frames);
        break;
    case OPERATION_FREE_PREEXISTING:
        give_back(operation->slot, operation->n_frames);
    }
}

int main(const struct boot_info *boot)
{
    int64_t count;
    seed = boot->seed;
    while ((count = stream_next()) > 0)
        for (int64_t i = 0; i < count; i++)
            execute(&window_operations[i], &placed[i]);
    if (count < 0) {
        print("no operations: %s\n", status_name((int)-count));
        return 2;
    }
    return guest_report.corrupted || guest_report.refused ? 1 : 0;
}
