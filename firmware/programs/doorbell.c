/* doorbell: takes a frame and gives it back, arguments[0] times, and halts. The guest of the benchmark: nearly all it does is ring. */
#include "kernel_sim.h"

int main(const struct boot_info *boot)
{
    for (int64_t i = 0; i < boot->arguments[0]; i++)
        frame_free_part(frame_alloc_for(1, 0, 0, 0), 1);
    for (;;)
        __asm__ volatile("hlt");
}
