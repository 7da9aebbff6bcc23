/* The reference of the search benchmark: what an index costs that does nothing but walk. Nodes as those of kernel_sim/allocators/tree_nodes.py, 56 words
 * wide, with half of their 16 places taken; built once and never split. Each operation goes down to a key, changes the size there and what is known
 * of it above, and reads and writes the records of three frames, 16 bytes each, as a freed frame's neighbours are. */
#include <stdint.h>

enum { WIDTH = 16, HALF = WIDTH / 2, LEVELS = 24 };

struct node {
    int64_t count, unused[7];
    int64_t key[WIDTH], size[WIDTH], down[WIDTH];
};

struct frame {
    uint32_t next, prev;
    uint64_t state;
};

static int64_t root, levels;

/* One leaf for each eight of the keys 0, unit, 2 unit, …; above them, level by level, the nodes that lead to them. Returns how many nodes there are. */
int64_t build(struct node *nodes, int64_t n_keys, int64_t unit)
{
    int64_t below = 0, n = 0, n_entries = n_keys;
    for (levels = 0; ; levels++) {
        int64_t first = n;
        for (int64_t entry = 0; entry < n_entries; entry++) {
            if (entry % HALF == 0) {
                for (int i = 0; i < WIDTH; i++)
                    nodes[n].key[i] = INT64_MAX;
                n++;
            }
            struct node *to = &nodes[n - 1];
            int64_t slot = to->count++;
            to->key[slot] = levels ? nodes[below + entry].key[0] : entry * unit;
            to->size[slot] = 1;
            to->down[slot] = levels ? below + entry : 0;
        }
        below = first;
        n_entries = n - first;
        if (n_entries == 1)
            break;
    }
    root = n - 1;
    return n;
}

static int64_t largest(const struct node *node)
{
    int64_t size = 0;
    for (int i = 0; i < WIDTH; i++)
        size = node->size[i] > size ? node->size[i] : size;
    return size;
}

void walk(struct node *nodes, struct frame *frames, const int64_t *keys, int64_t n)
{
    int64_t path[LEVELS], slots[LEVELS];
    for (int64_t i = 0; i < n; i++) {
        int64_t at = root;
        for (int64_t level = levels; level >= 0; level--) {
            int64_t slot = -1;
            for (int j = 0; j < WIDTH; j++)
                slot += nodes[at].key[j] <= keys[i];
            path[level] = at;
            slots[level] = slot;
            at = nodes[at].down[slot];
        }
        nodes[path[0]].size[slots[0]] += i % 3;
        for (int64_t level = 1; level <= levels; level++) {
            int64_t size = largest(&nodes[path[level - 1]]);
            if (nodes[path[level]].size[slots[level]] == size)
                break;
            nodes[path[level]].size[slots[level]] = size;
        }
        struct frame *frame = &frames[keys[i]];
        frame[1].state += frame[0].next + frame[2].prev;
    }
}
