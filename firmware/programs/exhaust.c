/* exhaust: takes all memory, frame by frame, in batches; counts it; gives it all back. The frames it holds are chained through the frames
 * themselves, so it needs no memory of its own, however much there is. */
#include "kernel_sim.h"

enum { AT_ONCE = 1024 };

static pfn_t frames[AT_ONCE];

int main(const struct boot_info *boot)
{
    struct memory_info before = memory_info();
    pfn_t chain = -1;
    int64_t taken = 0, given = 0, served;
    (void)boot;

    do {
        served = frames_alloc(frames, AT_ONCE);
        for (int64_t i = 0; i < AT_ONCE; i++) {
            if (frames[i] < 0)
                continue;
            *(pfn_t *)frame_address(frames[i]) = chain;
            chain = frames[i];
            taken++;
        }
    } while (served == AT_ONCE);
    print("took %ld frames, %ld were free\n", taken, before.n_free);
    guest_report.frames_written = taken;

    while (chain >= 0) {
        int64_t n = 0;
        for (; n < AT_ONCE && chain >= 0; n++) {
            frames[n] = chain;
            chain = *(pfn_t *)frame_address(chain);
        }
        given += frames_free(frames, n);
    }
    struct memory_info after = memory_info();
    print("gave %ld back, %ld are free\n", given, after.n_free);
    guest_report.frames_verified = given;
    return taken == before.n_free && given == taken && after.n_free == before.n_free ? 0 : 1;
}
