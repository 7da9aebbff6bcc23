/* hello: what machine is this? Takes one frame, writes to it, gives it back. */
#include "kernel_sim.h"

int main(const struct boot_info *boot)
{
    struct memory_info before = memory_info();
    print("Hello from long mode. %ld frames, %ld of them free.\n", before.n_frames, before.n_free);
    for (int64_t i = 0; i < boot->n_ranges; i++)
        print("  memory from 0x%lx to 0x%lx\n", boot->ranges[i].first_pfn * FRAME_BYTES, boot->ranges[i].end_pfn * FRAME_BYTES);

    pfn_t pfn = frame_alloc(1);
    if (pfn < 0) {
        print("no frame: %s\n", status_name((int)-pfn));
        return 1;
    }
    volatile uint64_t *word = frame_address(pfn);
    *word = 0x600df00d;
    print("Frame %ld is mine; it holds 0x%lx at 0x%lx.\n", pfn, *word, (uint64_t)word);
    return frame_free(pfn) == STATUS_OK ? 0 : 1;
}
