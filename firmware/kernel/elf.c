/* From a program's file to an address space. Nothing in the file is believed before it has been checked. A part is what ELF calls a segment.
 *
 * Source: Tool Interface Standard, Executable and Linking Format, version 1.2; System V ABI, AMD64 supplement.
 */
#include "kernel.h"

enum { EXECUTABLE_FILE = 2, X86_64 = 62, LOAD = 1, MAY_EXECUTE = 1, MAY_WRITE = 2, MOST_HEADERS = 16 };
enum { MOST_BYTES = 1 << 30 };                  /* of a part in memory */

struct file_header {
    uint8_t magic[4], class, order, version, system[9];
    uint16_t type, machine;
    uint32_t file_version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t size, program_header_size, n_program_headers, rest[3];
};
_Static_assert(sizeof(struct file_header) == 64, "struct file_header");

struct program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical, in_file, in_memory, alignment;
};
_Static_assert(sizeof(struct program_header) == 56, "struct program_header");

const char *elf_complaint;

static int complain(const char *about)
{
    elf_complaint = about;
    return REFUSED;
}

static int copy_in(struct task *task, uint64_t to, const uint8_t *from, uint64_t n)
{
    while (n) {
        uint64_t part = FRAME_BYTES - to % FRAME_BYTES;
        part = part < n ? part : n;
        void *place = space->reach(task, to, 1);
        if (!place)
            return NO_MEMORY;
        memcpy(place, from, part);
        to += part, from += part, n -= part;
    }
    return DONE;
}

static int load_part(struct task *task, const uint8_t *file, uint64_t size, const struct program_header *part)
{
    uint64_t number = part->address >> SEGMENT_SHIFT, offset = part->address % SEGMENT_BYTES;
    if (number != CODE_SEGMENT && number != DATA_SEGMENT)
        return complain("a part lies neither in the code segment nor in the data segment");
    if (!space->is_free(task, (int)number))
        return complain("two parts in one segment");
    if (part->offset > size || part->in_file > size - part->offset)
        return complain("cut off");
    if (part->in_file > part->in_memory || offset > MOST_BYTES || part->in_memory > MOST_BYTES)
        return complain("a part of an impossible size");
    unsigned flags = (part->flags & MAY_WRITE ? WRITABLE : 0) | (part->flags & MAY_EXECUTE ? EXECUTABLE : 0);
    if (flags == (WRITABLE | EXECUTABLE))
        return complain("a part that can be written to and executed");
    int done = space->add(task, (int)number, whole_frames(offset + part->in_memory), flags);
    return done == DONE ? copy_in(task, part->address, file + part->offset, part->in_file) : done;
}

int load_elf(struct task *task, const uint8_t *file, uint64_t size)
{
    struct file_header header;
    if (size < sizeof header)
        return complain("cut off");
    memcpy(&header, file, sizeof header);
    if (header.magic[0] != 0x7f || header.magic[1] != 'E' || header.magic[2] != 'L' || header.magic[3] != 'F')
        return complain("not an ELF file");
    if (header.class != 2 || header.order != 1 || header.machine != X86_64 || header.type != EXECUTABLE_FILE)
        return complain("not an executable for x86-64");
    if (header.program_header_size != sizeof(struct program_header) || header.n_program_headers > MOST_HEADERS)
        return complain("program headers of another kind");
    uint64_t headers = header.n_program_headers * sizeof(struct program_header);
    if (header.program_headers > size || headers > size - header.program_headers)
        return complain("cut off");
    int can_begin = 0;
    for (int i = 0; i < header.n_program_headers; i++) {
        struct program_header part;
        memcpy(&part, file + header.program_headers + (uint64_t)i * sizeof part, sizeof part);
        if (part.type != LOAD || !part.in_memory)
            continue;
        int done = load_part(task, file, size, &part);
        if (done != DONE)
            return done;
        can_begin |= part.flags & MAY_EXECUTE && header.entry >= part.address && header.entry - part.address < part.in_file;
    }
    task->registers.rip = header.entry;
    return can_begin ? DONE : complain("it begins outside its code");
}
