/* The calls: fill in the box, ring, read the answer. */
#include "kernel_sim.h"

void ring(void);

static volatile struct call_box *const box = (volatile struct call_box *)CALL_BOX;
static volatile struct call_box *const batch = (volatile struct call_box *)BATCH;

int call(struct call_box *request)
{
    *box = *request;
    ring();
    *request = *box;
    return (int)request->status;
}

pfn_t frame_alloc_for(int64_t n_frames, uint16_t owner, uint16_t cpu, uint16_t mobility)
{
    box->call = FRAME_ALLOC;
    box->n_frames = n_frames;
    box->owner = owner;
    box->cpu = cpu;
    box->mobility = mobility;
    ring();
    return box->status == STATUS_OK ? box->pfn : -(pfn_t)box->status;
}

pfn_t frame_alloc(int64_t n_frames)
{
    return frame_alloc_for(n_frames, 0, 0, 0);
}

static int free_by(pfn_t pfn, int64_t n_frames, uint16_t owner)
{
    box->call = FRAME_FREE;
    box->pfn = pfn;
    box->n_frames = n_frames;
    box->owner = owner;
    ring();
    return (int)box->status;
}

int frame_free_part(pfn_t pfn, int64_t n_frames)
{
    return free_by(pfn, n_frames, 0);
}

int frame_free_for(pfn_t pfn, uint16_t owner)
{
    return free_by(pfn, 0, owner);
}

int frame_free(pfn_t pfn)
{
    return frame_free_part(pfn, 0);
}

int64_t frame_share(pfn_t pfn, uint16_t owner)
{
    box->call = FRAME_SHARE;
    box->pfn = pfn;
    box->owner = owner;
    ring();
    return box->status == STATUS_OK ? box->n_frames : -(int64_t)box->status;
}

void *frame_address(pfn_t pfn)
{
    return (void *)(DIRECT_MAP + (uint64_t)pfn * FRAME_BYTES);
}

/* Rings once for up to BATCH_CALLS boxes that have been filled in. */
static void ring_batch(int64_t count)
{
    box->call = BATCH_CALL;
    box->n_frames = count;
    ring();
}

int64_t frames_alloc(pfn_t *frames, int64_t count)
{
    int64_t served = 0;
    for (int64_t done = 0; done < count;) {
        int64_t now = count - done < BATCH_CALLS ? count - done : BATCH_CALLS;
        for (int64_t i = 0; i < now; i++) {
            batch[i].call = FRAME_ALLOC;
            batch[i].n_frames = 1;
            batch[i].owner = batch[i].cpu = batch[i].mobility = 0;
        }
        ring_batch(now);
        for (int64_t i = 0; i < now; i++) {
            served += batch[i].status == STATUS_OK;
            frames[done + i] = batch[i].status == STATUS_OK ? batch[i].pfn : -(pfn_t)batch[i].status;
        }
        done += now;
    }
    return served;
}

int64_t frames_free(const pfn_t *frames, int64_t count)
{
    int64_t served = 0;
    for (int64_t done = 0; done < count;) {
        int64_t now = count - done < BATCH_CALLS ? count - done : BATCH_CALLS;
        for (int64_t i = 0; i < now; i++) {
            batch[i].call = FRAME_FREE;
            batch[i].pfn = frames[done + i];
            batch[i].n_frames = 0;
            batch[i].owner = 0;
        }
        ring_batch(now);
        for (int64_t i = 0; i < now; i++)
            served += batch[i].status == STATUS_OK;
        done += now;
    }
    return served;
}

static struct segment segment_answer(void)
{
    struct segment answer = { box->segment, (uint64_t)box->base, (uint64_t)box->bound };
    if (box->status != STATUS_OK)
        answer = (struct segment){ -(int64_t)box->status, 0, 0 };
    return answer;
}

struct segment segment_alloc(uint64_t size_bytes, uint16_t owner)
{
    box->call = SEGMENT_ALLOC;
    box->bound = (int64_t)size_bytes;
    box->owner = owner;
    ring();
    return segment_answer();
}

struct segment segment_lookup(int64_t id)
{
    box->call = SEGMENT_LOOKUP;
    box->segment = id;
    ring();
    return segment_answer();
}

int segment_free(int64_t id)
{
    box->call = SEGMENT_FREE;
    box->segment = id;
    ring();
    return (int)box->status;
}

int64_t segment_share(int64_t id, uint16_t owner)
{
    box->call = SEGMENT_SHARE;
    box->segment = id;
    box->owner = owner;
    ring();
    return box->status == STATUS_OK ? box->n_frames : -(int64_t)box->status;
}

struct segment segment_grow(int64_t id, uint64_t size_bytes)
{
    box->call = SEGMENT_GROW;
    box->segment = id;
    box->bound = (int64_t)size_bytes;
    ring();
    return segment_answer();
}

struct compaction segments_compact(void)
{
    box->call = SEGMENT_COMPACT;
    ring();
    return (struct compaction){ box->segment, box->n_frames };
}

void *segment_address(const struct segment *segment, uint64_t offset)
{
    return offset < segment->bound ? (void *)(DIRECT_MAP + segment->base + offset) : NULL;
}

struct memory_info memory_info(void)
{
    box->call = MEMORY_INFO;
    ring();
    return (struct memory_info){ box->n_frames, box->bound, box->base };
}

int64_t stream_next(void)
{
    box->call = STREAM_NEXT;
    ring();
    return box->status == STATUS_OK ? box->n_frames : -(int64_t)box->status;
}
