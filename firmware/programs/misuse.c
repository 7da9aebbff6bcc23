/* misuse: every wrong call there is, and whether each is refused by its name. At the end nothing may have changed. */
#include "kernel_sim.h"

static int64_t wrong, tried;

static void expect(const char *what, int64_t got, int status)
{
    tried++;
    if (got == status)
        return;
    wrong++;
    print("%s: %s, where %s was due\n", what, status_name((int)got), status_name(status));
}

static int raw(uint32_t number, int64_t n_frames, pfn_t pfn, int64_t segment)
{
    struct call_box box = { .call = number, .n_frames = n_frames, .pfn = pfn, .segment = segment };
    return call(&box);
}

static void wrong_allocations(void)
{
    expect("no frames at all", -frame_alloc(0), STATUS_BAD_COUNT);
    expect("a negative count", -frame_alloc(-1), STATUS_BAD_COUNT);
    expect("the most negative count", -frame_alloc(INT64_MIN), STATUS_BAD_COUNT);
    expect("more frames than numbers", -frame_alloc(INT64_MAX), STATUS_OUT_OF_FRAMES);
    expect("one frame more than there are", -frame_alloc(memory_info().n_frames + 1), STATUS_OUT_OF_FRAMES);
}

static void wrong_frees(const struct boot_info *boot)
{
    pfn_t pfn = frame_alloc(1);
    expect("free", frame_free(pfn), STATUS_OK);
    expect("a second free", frame_free(pfn), STATUS_DOUBLE_FREE);
    expect("a frame beyond the memory", frame_free(boot->ranges[boot->n_ranges - 1].end_pfn), STATUS_OUT_OF_RANGE);
    expect("a frame far beyond the memory", frame_free(INT64_MAX), STATUS_OUT_OF_RANGE);
    expect("a negative frame", frame_free(-1), STATUS_OUT_OF_RANGE);
    expect("the most negative frame", frame_free(INT64_MIN), STATUS_OUT_OF_RANGE);

    pfn = frame_alloc(1);
    expect("more than was allocated", frame_free_part(pfn, 2), STATUS_NOT_ALLOCATED);
    expect("far more than was allocated", frame_free_part(pfn, INT64_MAX), STATUS_NOT_ALLOCATED);
    expect("a negative count", frame_free_part(pfn, -1), STATUS_BAD_COUNT);
    expect("free", frame_free(pfn), STATUS_OK);

    if ((pfn = frame_alloc(4)) < 0)
        return;                                 /* a policy of single frames */
    expect("a frame inside an allocation", frame_free(pfn + 1), STATUS_INTERIOR_FREE);
    expect("a part over the end", frame_free_part(pfn + 2, 3), STATUS_NOT_ALLOCATED);
    expect("a part in the middle", frame_free_part(pfn + 1, 2), STATUS_OK);
    expect("the same part again", frame_free_part(pfn + 1, 2), STATUS_DOUBLE_FREE);
    expect("all of it, with a part gone", frame_free_part(pfn, 4), STATUS_NOT_ALLOCATED);
    expect("what is left at the front", frame_free(pfn), STATUS_OK);
    expect("what is left at the back", frame_free(pfn + 3), STATUS_OK);
}

static void wrong_sharing(void)
{
    pfn_t pfn = frame_alloc_for(1, 3, 0, 0);
    expect("sharing a frame beyond the memory", -frame_share(INT64_MAX, 4), STATUS_OUT_OF_RANGE);
    expect("sharing the most negative frame", -frame_share(INT64_MIN, 4), STATUS_OUT_OF_RANGE);
    expect("a free by somebody else", frame_free_for(pfn, 4), STATUS_NOT_ALLOCATED);
    expect("two users", frame_share(pfn, 4), 2);
    expect("a free by neither of two", frame_free_for(pfn, 5), STATUS_NOT_ALLOCATED);
    expect("more than two share", frame_free_part(pfn, 2), STATUS_NOT_ALLOCATED);
    expect("a free by the first", frame_free_for(pfn, 3), STATUS_OK);
    expect("a second free by the first", frame_free_for(pfn, 3), STATUS_NOT_ALLOCATED);
    expect("a free by the last", frame_free_for(pfn, 4), STATUS_OK);
    expect("a free by one who is gone", frame_free_for(pfn, 3), STATUS_DOUBLE_FREE);
    expect("sharing what is free", -frame_share(pfn, 4), STATUS_DOUBLE_FREE);

    if ((pfn = frame_alloc(4)) < 0)
        return;                                 /* a policy of single frames */
    expect("sharing from inside", -frame_share(pfn + 1, 4), STATUS_INTERIOR_FREE);
    expect("two users of four frames", frame_share(pfn, 4), 2);
    expect("a part of what is shared", frame_free_part(pfn, 2), STATUS_SHARED);
    expect("a part of the middle", frame_free_part(pfn + 1, 2), STATUS_SHARED);
    expect("a shared frame, inside", frame_free(pfn + 1), STATUS_INTERIOR_FREE);
    expect("all of it, by one user", frame_free_part(pfn, 4), STATUS_OK);
    expect("all of it, by the other", frame_free(pfn), STATUS_OK);
}

static void wrong_segments(void)
{
    struct segment segment = segment_alloc(FRAME_BYTES, 0);
    expect("an empty segment", -segment_alloc(0, 0).id, STATUS_BAD_COUNT);
    expect("a segment of negative size", -segment_alloc(UINT64_MAX, 0).id, STATUS_BAD_COUNT);
    expect("a segment larger than memory", -segment_alloc(INT64_MAX, 0).id, STATUS_OUT_OF_FRAMES);
    expect("no segment", segment_free(0), STATUS_NO_SUCH_SEGMENT);
    expect("a segment that never was", segment_free(60000), STATUS_NO_SUCH_SEGMENT);
    expect("a segment beyond the table", segment_free(INT64_MAX), STATUS_NO_SUCH_SEGMENT);
    expect("a negative segment", -segment_lookup(-1).id, STATUS_NO_SUCH_SEGMENT);
    expect("free", segment_free(segment.id), STATUS_OK);
    expect("a segment freed twice", segment_free(segment.id), STATUS_NO_SUCH_SEGMENT);
}

static void wrong_calls(void)
{
    expect("call 0", raw(0, 0, 0, 0), STATUS_NO_SUCH_CALL);
    expect("an unknown call", raw(9999, 0, 0, 0), STATUS_NO_SUCH_CALL);
    expect("the last call there could be", raw(UINT32_MAX, 0, 0, 0), STATUS_NO_SUCH_CALL);
    expect("a batch of none", raw(BATCH_CALL, 0, 0, 0), STATUS_BAD_COUNT);
    expect("a batch that is too long", raw(BATCH_CALL, BATCH_CALLS + 1, 0, 0), STATUS_BAD_COUNT);
    expect("a batch of a negative length", raw(BATCH_CALL, -1, 0, 0), STATUS_BAD_COUNT);
    volatile struct call_box *batch = (volatile struct call_box *)BATCH;
    batch[0].call = BATCH_CALL;
    batch[1].call = STREAM_NEXT;
    expect("a batch", raw(BATCH_CALL, 2, 0, 0), STATUS_OK);
    expect("a batch in a batch", batch[0].status, STATUS_NO_SUCH_CALL);
    expect("a window in a batch", batch[1].status, STATUS_NO_SUCH_CALL);
    expect("a window where nothing is streamed", -stream_next(), STATUS_NOT_SERVED);
}

int main(const struct boot_info *boot)
{
    struct memory_info before = memory_info();
    wrong_allocations();
    wrong_frees(boot);
    wrong_sharing();
    wrong_segments();
    wrong_calls();
    struct memory_info after = memory_info();
    expect("free frames at the end", before.n_free == after.n_free ? STATUS_OK : STATUS_BROKEN_INVARIANT, STATUS_OK);
    print("%ld wrong calls tried, %ld not refused by their name\n", tried, wrong);
    guest_report.refused = tried;
    return wrong != 0;
}
