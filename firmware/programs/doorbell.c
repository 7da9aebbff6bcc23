/* doorbell: takes frames and gives them back, arguments[0] of each, and halts. The guest of the benchmark: nearly all it does is ring. */
#include "kernel_sim.h"

enum { AT_ONCE = 256 };

static pfn_t frames[AT_ONCE];

int main(const struct boot_info *boot)
{
    for (int64_t done = 0; done < boot->arguments[0]; done += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++)
            frames[i] = frame_alloc(1);
        for (int i = 0; i < AT_ONCE; i++)
            frame_free(frames[i]);
    }
    for (;;)
        __asm__ volatile("hlt");
}
