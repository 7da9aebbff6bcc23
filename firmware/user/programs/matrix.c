/* matrix: megabytes that are written and read. Multiplies two matrices of size * size numbers (the argument, default 96) in one mapping of
 * whole large pages, of which the rest is written, too.
 *
 * The product is checked by Freivalds' method: for a random vector x, (A B) x and A (B x) are the same; a wrong product passes such a check by
 * chance only.
 */
#include "user.h"

static size_t size;

static void fill(uint64_t *matrix, uint64_t seed)
{
    struct random random = { seed };
    for (size_t i = 0; i < size * size; i++)
        matrix[i] = random_next(&random);
}

/* Modulo 2^64. The loops in this order go along the rows of all three. */
static void multiply(uint64_t *product, const uint64_t *left, const uint64_t *right)
{
    for (size_t row = 0; row < size; row++)
        for (size_t k = 0; k < size; k++)
            for (size_t column = 0; column < size; column++)
                product[row * size + column] += left[row * size + k] * right[k * size + column];
}

static void times_vector(uint64_t *result, const uint64_t *matrix, const uint64_t *vector)
{
    for (size_t row = 0; row < size; row++) {
        result[row] = 0;
        for (size_t column = 0; column < size; column++)
            result[row] += matrix[row * size + column] * vector[column];
    }
}

static void check_product(const uint64_t *product, const uint64_t *left, const uint64_t *right, uint64_t *room)
{
    uint64_t *vector = room, *inner = room + size, *one = room + 2 * size, *other = room + 3 * size;
    struct random random = { 3 };
    for (size_t i = 0; i < size; i++)
        vector[i] = random_next(&random);
    times_vector(inner, right, vector);
    times_vector(one, left, inner);
    times_vector(other, product, vector);
    check(memcmp(one, other, size * sizeof *one) == 0, "matrix: the product is wrong\n");
}

static void write_rest(volatile uint64_t *from, volatile uint64_t *end)
{
    size_t step = PAGE / sizeof *from;
    for (volatile uint64_t *word = from; word < end; word += step)
        *word = (uint64_t)word;
    for (volatile uint64_t *word = from; word < end; word += step)
        check(*word == (uint64_t)word, "matrix: the word at %lx was changed\n", (uint64_t)word);
}

int main(const char *argument)
{
    size = (size_t)number_of(argument, 96);
    size_t n_words = 3 * size * size + 4 * size, bytes = (n_words * 8 + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    uint64_t *words = mmap(bytes);
    if (words == FAILED) {
        printf("matrix: no memory for %lu bytes\n", bytes);
        return 2;
    }
    uint64_t *left = words, *right = left + size * size, *product = right + size * size;
    fill(left, 1);
    fill(right, 2);
    multiply(product, left, right);
    check_product(product, left, right, product + size * size);
    write_rest(words + n_words, words + bytes / 8);
    printf("matrix: %lu x %lu in %lu KiB, %d checks failed\n", size, size, bytes >> 10, failures);
    return failures != 0;
}
