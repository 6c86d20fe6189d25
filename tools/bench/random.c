/* SPDX-License-Identifier: MIT */
#include "random.h"

#include <math.h>
#include <stdlib.h>

static const double exponent = 0.99;

struct bench_permutation bench_permutation_of(uint64_t limit)
{
    struct bench_permutation permutation = { limit, 1, 1 };
    unsigned bits = 1;

    while (permutation.mask < limit - 1) {
        permutation.mask = permutation.mask << 1 | 1;
        bits++;
    }
    permutation.shift = (bits + 1) / 2;
    return permutation;
}

/* The integral of x^-exponent, and its inverse. */
static double area(double x)
{
    return (pow(x, 1 - exponent) - 1) / (1 - exponent);
}

static double area_end(double y)
{
    return pow(1 + y * (1 - exponent), 1 / (1 - exponent));
}

/* Rejection-inversion, by W. Hörmann and G. Derflinger: ranks from 1 to @limit. */
static uint64_t draw_rank(uint64_t limit, uint64_t *place)
{
    double first = area(1.5) - 1;
    double last = area((double)limit + 0.5);
    double sure = 2 - area_end(area(2.5) - pow(2, -exponent));

    for (;;) {
        double chance = (double)(bench_random(1, (*place)++) >> 11) * 0x1p-53;
        double y = last + chance * (first - last);
        double x = area_end(y);
        double rank = floor(x + 0.5);

        if (rank < 1)
            rank = 1;
        if (rank > (double)limit)
            rank = (double)limit;
        if (rank - x <= sure || y >= area(rank + 0.5) - pow(rank, -exponent))
            return (uint64_t)rank;
    }
}

bool bench_zipf_init(struct bench_zipf *zipf, uint64_t limit, unsigned bits)
{
    struct bench_permutation permutation = bench_permutation_of(limit);
    uint64_t place = 0;

    zipf->mask = (UINT64_C(1) << bits) - 1;
    zipf->indexes = malloc((size_t)(zipf->mask + 1) * sizeof *zipf->indexes);
    if (zipf->indexes == NULL)
        return false;
    for (uint64_t i = 0; i <= zipf->mask; i++) {
        uint64_t rank = draw_rank(limit, &place) - 1;

        zipf->indexes[i] = (uint32_t)bench_permute(&permutation, rank);
    }
    return true;
}

void bench_zipf_release(struct bench_zipf *zipf)
{
    free(zipf->indexes);
    zipf->indexes = NULL;
}
