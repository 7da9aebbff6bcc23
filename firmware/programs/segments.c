/* segments: a loader that loads and unloads programs of random sizes, each a segment, and checks base and bound of every one of them. */
#include "kernel_sim.h"

enum { PROGRAMS = 64, ROUNDS = 2000, PAGE = FRAME_BYTES };

static struct segment loaded[PROGRAMS];
static int64_t failures, loads, unloads;

static void expect(int holds, const char *what, int64_t id)
{
    if (!holds && failures++ < 8)
        print("segment %ld: %s\n", id, what);
}

/* The first and the last word say whose they are; a segment that overlaps another would overwrite one of them. */
static void sign(const struct segment *segment)
{
    *(volatile int64_t *)segment_address(segment, 0) = segment->id;
    *(volatile int64_t *)segment_address(segment, segment->bound - 8) = ~segment->id;
}

static void check(const struct segment *segment)
{
    struct segment again = segment_lookup(segment->id);
    expect(again.id == segment->id && again.base == segment->base && again.bound == segment->bound, "base or bound changed", segment->id);
    expect(segment->base % PAGE == 0, "the base is not that of a frame", segment->id);
    expect(segment_address(segment, segment->bound - 1) != NULL, "the last byte is out of bounds", segment->id);
    expect(segment_address(segment, segment->bound) == NULL, "the bound is within bounds", segment->id);
    expect(*(volatile int64_t *)segment_address(segment, 0) == segment->id, "its first word was overwritten", segment->id);
    expect(*(volatile int64_t *)segment_address(segment, segment->bound - 8) == ~segment->id, "its last word was overwritten", segment->id);
}

static void load(struct segment *place, struct random *random)
{
    uint64_t size_bytes = 16 + random_below(random, random_below(random, 8) ? 16 * PAGE : 256 * PAGE) / 8 * 8;
    *place = segment_alloc(size_bytes, (uint16_t)(place - loaded + 1));
    if (place->id <= 0)
        return;
    loads++;
    expect(place->bound == size_bytes, "the bound is not the size", place->id);
    sign(place);
}

static void unload(struct segment *place)
{
    check(place);
    expect(segment_free(place->id) == STATUS_OK, "cannot be freed", place->id);
    expect(segment_lookup(place->id).id == -STATUS_NO_SUCH_SEGMENT, "is still there after it was freed", place->id);
    unloads++;
    place->id = 0;
}

int main(const struct boot_info *boot)
{
    struct random random = { boot->seed };
    struct memory_info before = memory_info();
    int64_t scattered = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct segment *place = &loaded[random_below(&random, PROGRAMS)];
        if (place->id > 0)
            unload(place);
        else {
            load(place, &random);
            scattered += place->id <= 0;
        }
    }
    for (int i = 0; i < PROGRAMS; i++)
        if (loaded[i].id > 0)
            unload(&loaded[i]);
    expect(memory_info().n_free == before.n_free, "not all frames came back", 0);
    print("%ld programs loaded, %ld unloaded, %ld found no room, %ld checks failed\n", loads, unloads, scattered, failures);
    guest_report.corrupted = failures;
    return failures != 0 || loads == 0;
}
