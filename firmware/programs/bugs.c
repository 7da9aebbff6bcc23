/* Bugs, one a function, each with its correct twin: arguments[0] or the seed chooses the bug by its number in the list at the end (a larger number
 * prints the list), arguments[1] is 1 for the twin.
 * They are for the sanitizer: without it most of them pass unnoticed, as they do on a real machine. arguments[2] is a frame that is not for hire,
 * where a bug needs one. Processes here are owners of frames, and address spaces of their own; ring 3 is entered only to read, write or jump once. */
#include "spaces.h"

#ifdef __clang__                                /* a call that is the last of its function shall be seen on the stack, too */
#pragma clang attribute push(__attribute__((disable_tail_calls)), apply_to = function)
#else
#pragma GCC optimize("no-optimize-sibling-calls")
#endif

#define PAGE 0x600000UL                         /* where a process's page is mapped; the next ones follow */
#define CODE 0x400000UL
#define ONE 1                                   /* processes */
#define TWO 2

enum { LOAD, STORE, JUMP };

static const struct boot_info *boot_info;
static int is_right;                            /* the correct twin */

#define touch(address) ((void)*(volatile uint64_t *)(address))
#define write(address) (*(volatile uint64_t *)(address) = 1)

/* Ring 3: it reads or writes the address in %rdi, or jumps there, and comes back by an invalid instruction, which ends the run. */
__asm__(
    "user_begin: cmp $1, %esi\n je 1f\n ja 2f\n mov (%rdi), %rax\n ud2\n"
    "1: mov %rax, (%rdi)\n ud2\n"
    "2: jmp *%rdi\n"
    "user_end:\n"
    "to_user: push $0x1b\n push $0\n push $0x2\n push $0x23\n push $0x400000\n iretq\n"
    "from_user: xor %edi, %edi\n call exit\n"
);
extern const uint8_t user_begin[], user_end[];
void to_user(uint64_t address, int what);
void from_user(void);

static uint64_t gdt[7], idt[2 * 7];
static uint8_t stack_of_ring_0[4096] __attribute__((aligned(16)));
static struct __attribute__((packed)) { uint32_t spare; uint64_t rsp[3], spare2, ist[7], spare3; uint16_t spare4, io_map; } tss;

/* A process of one page that it may write to, and one of code; its address space is entered. */
static struct space process(uint16_t owner, pfn_t *page)
{
    struct space space = new_space(boot_info, owner);
    pfn_t code = zeroed(owner);
    memcpy(at(code), user_begin, (size_t)(user_end - user_begin));
    map(&space, CODE, code, USER);
    *page = zeroed(owner);
    map(&space, PAGE, *page, WRITABLE | USER);
    enter(&space);
    return space;
}

/* The process whose address space this is goes on in ring 3. */
static void run(uint64_t address, int what)
{
    struct __attribute__((packed)) { uint16_t limit; uint64_t base; } gdtr = {sizeof gdt - 1, (uint64_t)gdt}, idtr = {sizeof idt - 1, (uint64_t)idt};
    uint64_t base = (uint64_t)&tss, handler = (uint64_t)from_user;
    gdt[1] = 0x00af9b000000ffffUL, gdt[2] = 0x00cf93000000ffffUL, gdt[3] = 0x00cff3000000ffffUL, gdt[4] = 0x00affb000000ffffUL;
    gdt[5] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56, gdt[6] = base >> 32;
    idt[12] = (handler & 0xffff) | 0x08UL << 16 | 0x8eUL << 40 | (handler & 0xffff0000) << 32, idt[13] = handler >> 32;    /* vector 6 */
    tss.rsp[0] = (uint64_t)(stack_of_ring_0 + sizeof stack_of_ring_0);
    tss.io_map = sizeof tss;
    __asm__ volatile("lgdt %0\n lidt %1\n ltr %w2" :: "m"(gdtr), "m"(idtr), "r"(0x28));
    to_user(address, what);
}

/* --- frames ------------------------------------------------------------------------------------------------------------------ */

static void use_after_free(void)
{
    pfn_t pfn = frame_alloc(1);
    if (is_right)
        write(at(pfn));
    frame_free(pfn);
    if (!is_right)
        write(at(pfn));
}

static void read_after_free(void)
{
    pfn_t pfn = frame_alloc(1);
    write(at(pfn));                             /* so that the translation is cached */
    touch(at(pfn));
    frame_free(pfn);
    if (!is_right)
        touch(at(pfn) + 8);
}

static void use_after_batch_free(void)
{
    pfn_t frames[16];
    frames_alloc(frames, 16);
    for (int i = 0; i < 16; i++)
        write(at(frames[i]));
    frames_free(frames, is_right ? 15 : 16);
    touch(at(frames[15]));
}

static void use_after_partial_free(void)
{
    pfn_t pfn = frame_alloc(4);
    write(at(pfn));
    write(at(pfn + 3));
    frame_free_part(pfn + 2, 2);
    write(at(pfn + (is_right ? 1 : 3)));
}

static void overrun(void)
{
    pfn_t pfn = frame_alloc(1);
    memset(at(pfn), 1, FRAME_BYTES + !is_right);
}

static void underrun(void)
{
    pfn_t low = frame_alloc(1), pfn = frame_alloc(1);
    frame_free(low);
    write(at(pfn) - (is_right ? 0 : 8));
}

static void use_of_padding(void)
{
    pfn_t pfn = frame_alloc(3);                 /* of which a buddy makes four */
    memset(at(pfn), 0, (is_right ? 3 : 4) * FRAME_BYTES);
}

static void use_of_reserved(void)
{
    touch(at(is_right ? frame_alloc(1) : boot_info->arguments[2]));
}

static void double_free(void)
{
    pfn_t pfn = frame_alloc(1);
    frame_free(pfn);
    if (!is_right)
        frame_free(pfn);
}

static void interior_free(void)
{
    pfn_t pfn = frame_alloc(4);
    frame_free(pfn + !is_right);
}

static void free_of_nothing(void)
{
    frame_free(frame_alloc(1) ^ (is_right ? 0 : 64));
}

static void free_by_another(void)
{
    pfn_t pfn = frame_alloc_for(1, ONE, 0, 0);
    frame_free_for(pfn, is_right ? ONE : TWO);
}

static void leaked_frame(void)
{
    pfn_t first = frame_alloc_for(1, ONE, 0, 0), second = frame_alloc_for(2, ONE, 0, 0);
    frame_free(first);
    if (is_right)
        frame_free(second);
    note(NOTE_ENDED, ONE);
}

static void leaked_remainder(void)
{
    pfn_t pfn = frame_alloc_for(4, ONE, 0, 0);
    frame_free_part(pfn, is_right ? 4 : 2);
    note(NOTE_ENDED, ONE);
}

static void read_uninitialised(void)
{
    pfn_t pfn = frame_alloc(1);
    if (is_right)
        write(at(pfn) + 64);
    touch(at(pfn) + 64);
}

static __attribute__((noinline)) int64_t deep(volatile int64_t depth)
{
    volatile int64_t local[8];
    local[0] = depth ? deep(depth - 1) : 0;
    return local[0] + 1;
}

static void stack_into_guard(void)
{
    print("%ld\n", deep(is_right ? 100 : 100000));
}

/* --- segments, used by their addresses in the direct map --------------------------------------------------------------------- */

static void beyond_segment(void)
{
    struct segment segment = segment_alloc(3 * FRAME_BYTES, ONE);
    uint8_t *to = (uint8_t *)(DIRECT_MAP + segment.base);
    memset(to, 7, segment.bound + (is_right ? 0 : 64));     /* as a device does that was told a wrong length */
}

static void freed_segment(void)
{
    struct segment segment = segment_alloc(FRAME_BYTES, ONE);
    uint8_t *to = segment_address(&segment, 0);
    if (!is_right)
        segment_free(segment.id);
    write(to);
}

/* --- translations ------------------------------------------------------------------------------------------------------------ */

static void stale_after_unmap(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    write(PAGE);
    *entry_of(&space, PAGE, 0) = 0;
    if (is_right)
        invalidate(PAGE);
    frame_free(page);
    if (is_right)
        map(&space, PAGE, zeroed(ONE), WRITABLE | USER);
    touch(PAGE);
}

static void missing_invlpg(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    write(PAGE);
    map(&space, PAGE, zeroed(ONE), WRITABLE | USER);
    if (is_right)
        invalidate(PAGE);
    touch(PAGE);
}

static void invlpg_of_the_wrong_page(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    write(PAGE);
    map(&space, PAGE, zeroed(ONE), WRITABLE | USER);
    invalidate(is_right ? PAGE : PAGE + FRAME_BYTES);
    touch(PAGE);
}

static void second_change_without_invlpg(void)
{
    pfn_t page, other = zeroed(ONE);
    struct space space = process(ONE, &page);
    write(PAGE);
    map(&space, PAGE, other, WRITABLE | USER);
    invalidate(PAGE);
    write(PAGE);
    map(&space, PAGE, page, WRITABLE | USER);
    if (is_right)
        invalidate(PAGE);
    write(PAGE);
}

static void protected_without_invlpg(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    write(PAGE);
    map(&space, PAGE, page, USER);              /* from now on it cannot be written, as after a fork */
    if (is_right)
        invalidate(PAGE);
    if (is_right)
        touch(PAGE);
    else
        write(PAGE);
}

static void wrong_address_space(void)
{
    pfn_t page;
    struct space two = process(TWO, &page), one = process(ONE, &page);
    (void)one;
    note(NOTE_RUNS, TWO);
    if (is_right)
        enter(&two);
    run(PAGE, LOAD);
}

static void double_mapping(void)
{
    pfn_t of_one, of_two;
    struct space one = process(ONE, &of_one), two = process(TWO, &of_two);
    (void)one;
    if (is_right)
        frame_share(of_one, TWO);
    map(&two, PAGE, of_one, USER);
    run(PAGE, LOAD);
}

static void dangling_mapping(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    map(&space, PAGE + FRAME_BYTES, page, WRITABLE | USER);
    touch(PAGE + FRAME_BYTES);
    *entry_of(&space, PAGE, 0) = 0;
    invalidate(PAGE);
    if (!is_right)
        frame_free(page);                       /* it is mapped a second time */
    touch(PAGE + FRAME_BYTES);
}

static void large_page_of_freed_frames(void)
{
    pfn_t page, large = frame_alloc_for(512, ONE, 0, 0);
    struct space space = process(ONE, &page);
    *entry_of(&space, 0x800000, 1) = (uint64_t)large * FRAME_BYTES | PRESENT | WRITABLE | USER | LARGE;
    write(0x800000);
    if (!is_right)
        frame_free_part(large + 256, 256);
    write(0x900000);
}

static void mapping_of_reserved(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    if (!is_right)
        map(&space, PAGE, boot_info->arguments[2], WRITABLE | USER);
    touch(PAGE);
}

static void jump_into_freed_code(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    at(page)[0] = 0xc3;
    if (!is_right)
        frame_free(page);
    map(&space, CODE + FRAME_BYTES, page, USER);
    run(is_right ? PAGE : CODE + FRAME_BYTES, is_right ? LOAD : JUMP);
}

/* --- page tables ------------------------------------------------------------------------------------------------------------- */

static void freed_page_table(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    touch(PAGE);
    if (!is_right)
        frame_free(table_of(&space, PAGE, 1));
    invalidate(PAGE);
    touch(PAGE);
}

static void freed_directory(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    if (!is_right)
        frame_free(table_of(&space, PAGE, 2));
    touch(PAGE);
}

static void freed_root(void)
{
    pfn_t page;
    struct space space = process(ONE, &page), other = process(TWO, &page);
    enter(is_right ? &other : &space);
    frame_free(space.root);
    touch(PAGE);
}

static void table_of_another(void)
{
    pfn_t page;
    struct space one = process(ONE, &page), two = process(TWO, &page);
    if (!is_right)
        *entry_of(&two, PAGE, 1) = *entry_of(&one, PAGE, 1);
    touch(PAGE);
}

static void table_for_ring_3(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    map(&space, PAGE + FRAME_BYTES, table_of(&space, PAGE, 1), USER | (is_right ? 0 : WRITABLE));
    touch(PAGE);
    run(PAGE + FRAME_BYTES, LOAD);
}

static void leaked_page_table(void)
{
    pfn_t page;
    struct space space = new_space(boot_info, ONE);
    uint64_t before = loaded_root();
    page = zeroed(ONE);
    map(&space, PAGE, page, WRITABLE | USER);
    enter(&space);
    write(PAGE);
    load_root(before);
    pfn_t table = table_of(&space, PAGE, 1), directory = table_of(&space, PAGE, 2), upper = table_of(&space, PAGE, 3);
    frame_free(page);
    if (is_right)
        frame_free(table);
    frame_free(directory);
    frame_free(upper);
    frame_free(space.root);
    note(NOTE_ENDED, ONE);
}

/* --- fork with copy-on-write ------------------------------------------------------------------------------------------------- */

static void write_through(void)
{
    pfn_t page, of_two;
    struct space one = process(ONE, &page), two = process(TWO, &of_two);
    frame_share(page, TWO);
    map(&two, PAGE, page, USER);
    map(&one, PAGE, page, USER | WRITABLE);     /* the parent's entry should have lost its right to write */
    if (is_right) {                             /* the last user may have it back */
        frame_free_for(page, TWO);
        map(&two, PAGE, of_two, USER);
    }
    enter(&one);
    run(PAGE, STORE);
}

static void write_through_after_share(void)
{
    pfn_t page;
    struct space one = process(ONE, &page);
    write(PAGE);
    if (!is_right)
        frame_share(page, TWO);
    run(PAGE, STORE);
}

static void too_few_references(void)
{
    pfn_t page, of_two;
    struct space one = process(ONE, &page), two = process(TWO, &of_two);
    map(&one, PAGE, page, USER);
    map(&two, PAGE, page, USER);
    if (is_right)
        frame_share(page, TWO);
    frame_free(page);                           /* the parent ends */
    run(PAGE, LOAD);
}

static void page_of_another(void)
{
    pfn_t page;
    struct space space = process(ONE, &page);
    pfn_t fresh = frame_alloc_for(1, ONE, 0, 0);            /* with whatever was left in it */
    if (is_right)
        memset(at(fresh), 0, FRAME_BYTES);
    map(&space, PAGE, fresh, WRITABLE | USER);
    run(PAGE, LOAD);
}

/* --- address spaces of segments (a machine with that translation) ------------------------------------------------------------- */

static uint64_t *descriptor(const struct space *space, int number)
{
    return (uint64_t *)at(space->root) + 4 * number;
}

/* A process whose data is a segment; the address space is entered. */
static struct space process_of_segments(struct segment *data)
{
    struct space space = new_space(boot_info, ONE);
    *data = segment_alloc(2 * FRAME_BYTES, ONE);
    *(struct segment_descriptor *)descriptor(&space, DATA_SEGMENT) =
        (struct segment_descriptor){data->base, data->bound, SEGMENT_PRESENT | SEGMENT_WRITABLE, (uint32_t)data->id, 0};
    enter(&space);
    return space;
}

#define DATA ((uint64_t)DATA_SEGMENT << SEGMENT_SHIFT)

static void descriptor_beyond_segment(void)
{
    struct segment data;
    struct space space = process_of_segments(&data);
    descriptor(&space, DATA_SEGMENT)[1] += is_right ? 0 : FRAME_BYTES;      /* the bound */
    enter(&space);
    write(DATA);
    write(DATA + (is_right ? 1 : 2) * FRAME_BYTES);
}

static void stale_descriptor(void)
{
    struct segment data, other;
    struct space space = process_of_segments(&data);
    write(DATA);
    other = segment_alloc(2 * FRAME_BYTES, ONE);
    descriptor(&space, DATA_SEGMENT)[0] = other.base;                       /* moved, but CR3 is not loaded */
    ((struct segment_descriptor *)descriptor(&space, DATA_SEGMENT))->segment = (uint32_t)other.id;
    if (is_right)
        enter(&space);
    write(DATA);
}

static void freed_segment_of_a_process(void)
{
    struct segment data;
    struct space space = process_of_segments(&data);
    (void)space;
    write(DATA);
    if (!is_right)
        segment_free(data.id);
    write(DATA + 8);
}

/* --- the list ---------------------------------------------------------------------------------------------------------------- */

static const struct { const char *name; void (*play)(void); } bugs[] = {
#define BUG(name) {#name, name}
    BUG(use_after_free), BUG(read_after_free), BUG(use_after_batch_free), BUG(use_after_partial_free), BUG(overrun), BUG(underrun),
    BUG(use_of_padding), BUG(use_of_reserved), BUG(double_free), BUG(interior_free), BUG(free_of_nothing), BUG(free_by_another),
    BUG(leaked_frame), BUG(leaked_remainder), BUG(read_uninitialised), BUG(stack_into_guard), BUG(beyond_segment), BUG(freed_segment),
    BUG(stale_after_unmap), BUG(missing_invlpg), BUG(invlpg_of_the_wrong_page), BUG(second_change_without_invlpg), BUG(protected_without_invlpg),
    BUG(wrong_address_space), BUG(double_mapping), BUG(dangling_mapping), BUG(large_page_of_freed_frames), BUG(mapping_of_reserved),
    BUG(jump_into_freed_code), BUG(freed_page_table), BUG(freed_directory), BUG(freed_root), BUG(table_of_another), BUG(table_for_ring_3),
    BUG(leaked_page_table), BUG(write_through), BUG(write_through_after_share), BUG(too_few_references), BUG(page_of_another), BUG(descriptor_beyond_segment),
    BUG(stale_descriptor), BUG(freed_segment_of_a_process),
};

int main(const struct boot_info *boot)
{
    uint64_t number = (uint64_t)boot->arguments[0] + boot->seed;
    boot_info = boot;
    is_right = (int)boot->arguments[1];
    if (number >= sizeof bugs / sizeof bugs[0]) {
        for (number = 0; number < sizeof bugs / sizeof bugs[0]; number++)
            print("%ld %s\n", (int64_t)number, bugs[number].name);
        return 0;
    }
    print("%s\n", bugs[number].name);
    bugs[number].play();
    return 0;
}

#ifdef __clang__
#pragma clang attribute pop
#endif
