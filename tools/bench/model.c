/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <sys/mman.h>

static size_t size_of(uint64_t sample_count)
{
    return sizeof(struct bench_model) + (size_t)sample_count * sizeof(uint64_t);
}

struct bench_model *bench_model_create(enum bench_key_order order, uint64_t key_count,
                                       uint64_t sample_max)
{
    uint64_t stride = (key_count + sample_max - 1) / sample_max;
    uint64_t sample_count = (key_count + stride - 1) / stride;
    struct bench_model *model = mmap(NULL, size_of(sample_count), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (model == MAP_FAILED)
        return NULL;
    model->order = order;
    model->key_count = key_count;
    model->stride = stride;
    model->sample_count = sample_count;
    return model;
}

void bench_model_release(struct bench_model *model)
{
    if (model != NULL)
        munmap(model, size_of(model->sample_count));
}
