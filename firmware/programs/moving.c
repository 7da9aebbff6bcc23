/* moving: segments that grow, shrink, are shared and are moved together, every word of them checked wherever they stand. */
#include "kernel_sim.h"

enum { SEGMENTS = 32, ROUNDS = 800, PAGE = FRAME_BYTES };

static struct {
    struct segment segment;
    int64_t users;
} held[SEGMENTS];
static int64_t failures, in_place, elsewhere, no_room, compactions, moved, copied, freed;

static void expect(int holds, const char *what, int64_t id)
{
    if (!holds && failures++ < 8)
        print("segment %ld: %s\n", id, what);
}

static volatile uint64_t *words(const struct segment *segment)
{
    return segment_address(segment, 0);
}

/* Every word says whose it is and where in the segment it stands. */
static void fill(const struct segment *segment, uint64_t from)
{
    for (uint64_t i = from / 8; i < segment->bound / 8; i++)
        words(segment)[i] = (uint64_t)segment->id << 40 | i;
}

static void check(struct segment *segment)
{
    struct segment again = segment_lookup(segment->id);
    expect(again.bound == segment->bound, "its bound has changed", segment->id);
    *segment = again;
    for (uint64_t i = 0; i < segment->bound / 8; i++)
        if (words(segment)[i] != ((uint64_t)segment->id << 40 | i)) {
            expect(0, "it does not hold what was written to it", segment->id);
            return;
        }
}

static void resize(struct segment *segment, uint64_t size_bytes)
{
    struct segment before = *segment, after = segment_grow(segment->id, size_bytes);
    if (after.id < 0) {
        expect(after.id == -STATUS_OUT_OF_FRAMES, "cannot grow", before.id);
        no_room++;
        check(segment);
        return;
    }
    expect(after.bound == size_bytes, "its bound is not what was asked for", before.id);
    expect(size_bytes > before.bound || after.base == before.base, "it moved to become smaller", before.id);
    if (size_bytes > before.bound)
        *(after.base == before.base ? &in_place : &elsewhere) += 1;
    *segment = after;
    segment->bound = before.bound < size_bytes ? before.bound : size_bytes;     /* what it had must be there still */
    expect(segment_lookup(before.id).bound == size_bytes, "its bound is not kept", before.id);
    for (uint64_t i = 0; i < segment->bound / 8; i++)
        expect(words(segment)[i] == ((uint64_t)before.id << 40 | i), "it lost something as it grew", before.id);
    segment->bound = size_bytes;
    fill(segment, before.bound / 8 * 8);
}

static void give_up(int i)
{
    struct segment *segment = &held[i].segment;
    check(segment);
    expect(segment_free(segment->id) == STATUS_OK, "cannot be freed", segment->id);
    held[i].users--;
    freed += held[i].users == 0;
    if (held[i].users == 0)
        expect(segment_lookup(segment->id).id == -STATUS_NO_SUCH_SEGMENT, "is there after its last user has gone", segment->id);
}

static void compact(void)
{
    struct compaction done = segments_compact();
    int64_t n_moved = 0;
    for (int i = 0; i < SEGMENTS; i++) {
        struct segment *segment = &held[i].segment;
        uint64_t base = segment->base;
        if (held[i].users == 0)
            continue;
        check(segment);
        n_moved += segment->base != base;
        expect(segment->base <= base, "it was moved upwards", segment->id);
    }
    expect(n_moved == done.n_moved, "is not how many were moved", done.n_moved);
    compactions++;
    moved += done.n_moved;
    copied += done.frames_copied;
}

/* Code that returns a number: mov $number, %eax; ret */
static struct segment code_that_returns(int number)
{
    struct segment segment = segment_alloc(PAGE, 0);
    if (segment.id > 0)
        *(volatile uint64_t *)segment_address(&segment, 0) = 0xC300000000B8 | (uint64_t)number << 8;
    return segment;
}

/* Call what stands in a segment, as a process would: by way of the descriptors where CR3 points. */
static int call_code(const struct segment *segment)
{
    uint64_t root;
    __asm__ volatile("mov %%cr3, %0" : "=r"(root));
    struct segment_descriptor *descriptors = (struct segment_descriptor *)PAGE_TABLES;      /* where CR3 points from the start */
    descriptors[CODE_SEGMENT] = (struct segment_descriptor){ segment->base, PAGE, SEGMENT_PRESENT | SEGMENT_EXECUTABLE, 0, 0 };
    __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
    int answer = ((int (*)(void))((uint64_t)CODE_SEGMENT << SEGMENT_SHIFT))();
    descriptors[CODE_SEGMENT].flags = 0;
    __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
    return answer;
}

/* Code that is moved to where other code has run before. */
static void move_code(void)
{
    struct segment first = code_that_returns(1), second = code_that_returns(2);
    if (first.id > 0 && second.id > 0) {
        expect(call_code(&first) == 1 && call_code(&second) == 2, "its code does something else", first.id);
        segment_free(first.id);
        segments_compact();
        second = segment_lookup(second.id);
        expect(call_code(&second) == 2, "its code is not what is executed where it has been moved", second.id);
        first.id = 0;
    }
    if (first.id > 0)
        segment_free(first.id);
    if (second.id > 0)
        segment_free(second.id);
}

int main(const struct boot_info *boot)
{
    struct random random = { boot->seed };
    struct memory_info before = memory_info();
    for (int round = 0; round < ROUNDS; round++) {
        int i = (int)random_below(&random, SEGMENTS), what = (int)random_below(&random, 16);
        uint64_t size_bytes = 8 + random_below(&random, 12 * PAGE) / 8 * 8;
        struct segment *segment = &held[i].segment;
        if (what == 0) {
            compact();
        } else if (held[i].users == 0) {
            *segment = segment_alloc(size_bytes, (uint16_t)(i + 1));
            held[i].users = segment->id > 0;
            if (held[i].users)
                fill(segment, 0);
        } else if (what == 1) {
            held[i].users++;
            expect(segment_share(segment->id, (uint16_t)(i + 100)) == held[i].users, "it has another number of users", segment->id);
        } else if (what < 8) {
            resize(segment, size_bytes);
        } else {
            give_up(i);
        }
    }
    compact();
    if (boot->translation == SEGMENTATION)
        move_code();
    for (int i = 0; i < SEGMENTS; i++)
        while (held[i].users > 0)
            give_up(i);
    expect(segment_grow(1, 8).id == -STATUS_NO_SUCH_SEGMENT && segment_share(1, 0) == -STATUS_NO_SUCH_SEGMENT, "should not be there", 1);
    expect(memory_info().n_free == before.n_free, "not all frames came back", 0);
    print("%ld grew in place, %ld by moving, %ld found no room; %ld compactions moved %ld segments and copied %ld frames; %ld checks failed\n",
          in_place, elsewhere, no_room, compactions, moved, copied, failures);
    guest_report.corrupted = failures;
    return failures != 0 || freed == 0;
}
