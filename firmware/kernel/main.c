/* From the machine's start to its end. */
#include "kernel.h"

enum { EXIT_FRAMES_LOST = 3, NO_LARGE_PAGES = 1 };

const struct space *space;
static int64_t used_at_start;

/* Nobody is left. What all processes were given must have come back. */
void machine_ends(void)
{
    int64_t lost = memory_info().n_used - used_at_start;
    if (lost)
        print("kernel: %ld frames have not come back\n", lost);
    exit(lost ? EXIT_FRAMES_LOST : 0);
}

int main(const struct boot_info *boot)
{
    tables_set_up();
    processor_set_up();
    used_at_start = memory_info().n_used;
    space = boot->translation == SEGMENTATION ? &segmentation : &paging;
    large_pages_allowed = !(boot->arguments[0] & NO_LARGE_PAGES);
    processes[0].is_live = 1;
    memcpy((void *)processes[0].name, "kernel", sizeof "kernel");
    start_programs(boot);
    set_quantum((uint32_t)boot->quantum);
    run();
}
