/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bitcask/slab.h"
#include "test/test_alloc.h"

enum {
    PIECE_COUNT = 20000
};

/* Pieces of all sizes, each filled with a number of its own. */
struct pieces {
    struct bitcask_slab slab;
    uint8_t *memory[PIECE_COUNT];
    size_t count;
};

static size_t size_of(size_t index)
{
    return 8 + index * 13 % 700; /* above 512 now and then */
}

static bool is_whole(const uint8_t *piece, size_t index)
{
    for (size_t i = 0; i < size_of(index); i++) {
        if (piece[i] != (uint8_t)index)
            return false;
    }
    return true;
}

/* Take the piece of @index; false: no memory, or one that is not aligned. */
static bool take(struct pieces *pieces, size_t index)
{
    uint8_t *piece = bitcask_slab_allocate(&pieces->slab, size_of(index));

    if (piece == NULL || (uintptr_t)piece % 8 != 0)
        return false;
    memset(piece, (uint8_t)index, size_of(index));
    pieces->memory[index] = piece;
    return true;
}

/* False: somebody else has written into it. */
static bool give_back(struct pieces *pieces, size_t index)
{
    bool whole = is_whole(pieces->memory[index], index);

    bitcask_slab_free(&pieces->slab, pieces->memory[index], size_of(index));
    pieces->memory[index] = NULL;
    return whole;
}

static struct pieces *pieces_create(struct bitcask_slab_source *source)
{
    struct pieces *pieces = calloc(1, sizeof *pieces);

    assert_non_null(pieces);
    pieces->slab.source = source;
    return pieces;
}

static void pieces_do_not_overlap(void **state)
{
    static const size_t expected_sizes[] = { 0, 1, 100000, 50000000 };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(expected_sizes); i++) {
        struct bitcask_slab_source source;
        struct pieces *pieces;

        assert_int_equal(bitcask_slab_source_init(&source, expected_sizes[i]), 0);
        pieces = pieces_create(&source);
        for (size_t n = 0; n < PIECE_COUNT; n++)
            assert_true(take(pieces, n));
        for (size_t n = 0; n < PIECE_COUNT; n += 2)
            assert_true(give_back(pieces, n));
        for (size_t n = 0; n < PIECE_COUNT; n += 2)
            assert_true(take(pieces, n));
        for (size_t n = 0; n < PIECE_COUNT; n++)
            assert_true(give_back(pieces, n));
        bitcask_slab_source_release(&source);
        free(pieces);
    }
}

static void freed_pieces_are_used_again_for_their_size(void **state)
{
    struct bitcask_slab_source source;
    struct bitcask_slab slab = { .source = &source };

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    for (size_t size = 1; size <= BITCASK_SLAB_PIECE_MAX; size++) {
        void *first = bitcask_slab_allocate(&slab, size);
        void *second = bitcask_slab_allocate(&slab, size);
        size_t total_size = slab.total_size;

        assert_non_null(first);
        assert_non_null(second);
        bitcask_slab_free(&slab, first, size);
        bitcask_slab_free(&slab, second, size);
        for (int i = 0; i < 2; i++) {
            void *again = bitcask_slab_allocate(&slab, size);

            assert_true(again == first || again == second);
        }
        assert_int_equal(slab.total_size, total_size);
    }
    bitcask_slab_source_release(&source);
}

/* Little for little: hundreds of slabs share a source. */
static void a_slab_that_holds_little_takes_little(void **state)
{
    struct bitcask_slab_source source;
    struct bitcask_slab slab = { .source = &source };
    size_t held = 0;

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    for (size_t i = 0; i < 200000; i++) {
        assert_non_null(bitcask_slab_allocate(&slab, 96));
        held += 96;
        assert_true(slab.total_size <= held + held / 4 + 4096);
    }
    bitcask_slab_source_release(&source);
}

static void without_memory_nothing_is_given_out(void **state)
{
    struct bitcask_slab_source source;
    struct pieces *pieces;
    long failures = 0;

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    pieces = pieces_create(&source);
    for (size_t n = 0; n < PIECE_COUNT; n++) {
        bool taken;

        test_alloc_fail(0);
        taken = take(pieces, n);
        if (test_alloc_stop() != 0) {
            failures++;
            assert_false(taken);
            taken = take(pieces, n);
        }
        assert_true(taken);
    }
    assert_true(failures > 2);
    for (size_t n = 0; n < PIECE_COUNT; n++)
        assert_true(give_back(pieces, n));
    bitcask_slab_source_release(&source);
    free(pieces);
}

static void what_is_taken_from_a_source_is_aligned_and_apart(void **state)
{
    static const size_t sizes[] = { 1, 64, 65, 1000, 300000, 5000000, 7 };
    struct bitcask_slab_source source;
    uint8_t *taken[LENGTH_OF(sizes)];

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    assert_null(bitcask_slab_source_take(&source, SIZE_MAX));
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        taken[i] = bitcask_slab_source_take(&source, sizes[i]);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % 64, 0);
        memset(taken[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        assert_int_equal(taken[i][0], i);
        assert_int_equal(taken[i][sizes[i] - 1], i);
    }
    bitcask_slab_source_release(&source);
}

static void a_source_can_be_released_unused(void **state)
{
    struct bitcask_slab_source source;

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 1000), 0);
    bitcask_slab_source_release(&source);
}

/* THREADS: a slab each, on one source. */
static void *use_slab(void *context)
{
    struct pieces *pieces = context;

    for (size_t n = 0; n < PIECE_COUNT && take(pieces, n); n++)
        pieces->count++;
    for (size_t n = 0; n < pieces->count; n++) {
        if (!give_back(pieces, n))
            pieces->count = 0;
    }
    return NULL;
}

static void threads_may_share_a_source(void **state)
{
    struct bitcask_slab_source source;
    struct pieces *pieces[4];
    pthread_t threads[4];

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        pieces[i] = pieces_create(&source);
        assert_int_equal(pthread_create(&threads[i], NULL, use_slab, pieces[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(pieces[i]->count, PIECE_COUNT);
        free(pieces[i]);
    }
    bitcask_slab_source_release(&source);
}

/* What is given is used up before the source is asked, by pieces that fit. */
static void what_is_given_is_used_up(void **state)
{
    struct bitcask_slab_source source;
    struct bitcask_slab slab = { .source = &source };
    char *gifts[2];
    size_t inside[2] = { 0, 0 };
    size_t given_out;

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    gifts[0] = bitcask_slab_source_take(&source, 128);
    gifts[1] = bitcask_slab_source_take(&source, 4096);
    assert_non_null(gifts[0]);
    assert_non_null(gifts[1]);
    given_out = bitcask_slab_source_size(&source);
    bitcask_slab_give(&slab, gifts[1], 4096);
    bitcask_slab_give(&slab, gifts[0], 128);
    assert_non_null(bitcask_slab_allocate(&slab, 200)); /* too large for the newest */
    for (int i = 0; i < 200; i++) {
        char *piece = bitcask_slab_allocate(&slab, 64);

        assert_non_null(piece);
        memset(piece, 0x5a, 64);
        inside[0] += piece >= gifts[0] && piece + 64 <= gifts[0] + 128;
        inside[1] += piece >= gifts[1] && piece + 64 <= gifts[1] + 4096;
    }
    assert_int_equal(inside[0], 128 / 64);
    assert_int_equal(inside[1], 4096 / 64);
    assert_int_equal(bitcask_slab_source_size(&source), given_out);
    bitcask_slab_source_release(&source);
}

/* How many pages of @size bytes at @memory, which begins one, are there. */
static size_t resident_count(char *memory, size_t size)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *resident = calloc(size / page_size, 1);
    size_t count = 0;

    assert_non_null(resident);
    assert_int_equal(mincore(memory, size, resident), 0);
    for (size_t i = 0; i < size / page_size; i++)
        count += resident[i] & 1;
    free(resident);
    return count;
}

/* What is prepared is there when it is taken, a little ahead and no more. */
static void what_is_prepared_is_there_before_it_is_taken(void **state)
{
    enum {
        MIB = 1 << 20,
        PAGE = 2 * MIB,
        REGION = 64 * MIB,
        AHEAD = 4 * MIB /* a sixteenth of it */
    };
    const char *perturb = getenv("MALLOC_PERTURB_");
    bool filled = perturb != NULL && strcmp(perturb, "0") != 0; /* by malloc itself */
    struct bitcask_slab_source source;
    char *region;

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, REGION), 0);
    assert_false(bitcask_slab_source_prepare(&source)); /* nobody wants anything yet */
    region = bitcask_slab_source_take(&source, 64);
    assert_non_null(region);
    region -= 64;
    if (!bitcask_slab_source_prepare(&source)) { /* a system that cannot */
        bitcask_slab_source_release(&source);
        skip();
    }
    while (bitcask_slab_source_prepare(&source))
        continue;
    for (size_t used = 128; used + 64 * 1024 <= REGION - AHEAD; used += 64 * 1024) {
        size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
        size_t wanted = (used + AHEAD) / PAGE * PAGE;
        size_t most = wanted + 2 * PAGE < REGION ? wanted + 2 * PAGE : REGION;

        assert_int_equal(resident_count(region, wanted), wanted / page_size);
        assert_true(filled || resident_count(region, REGION) <= most / page_size);
        assert_non_null(bitcask_slab_source_take(&source, 64 * 1024));
        while (bitcask_slab_source_prepare(&source))
            continue;
    }
    assert_int_equal(bitcask_slab_source_size(&source), REGION);

    /* Near its end, the next one is made. */
    assert_non_null(bitcask_slab_source_take(&source, 3 * MIB));
    test_alloc_fail(0);
    assert_false(bitcask_slab_source_prepare(&source));
    assert_int_equal(test_alloc_stop(), 1);
    assert_int_equal(bitcask_slab_source_size(&source), REGION);
    while (bitcask_slab_source_prepare(&source))
        continue;
    assert_int_equal(bitcask_slab_source_size(&source), 2 * REGION);
    test_alloc_fail_from(0);
    region = bitcask_slab_source_take(&source, 5 * MIB);
    assert_int_equal(test_alloc_stop(), 0);
    assert_non_null(region);
    memset(region, 1, 5 * MIB);
    assert_int_equal(bitcask_slab_source_size(&source), 2 * REGION);
    while (bitcask_slab_source_prepare(&source))
        continue;

    /* One that is too small for what comes stays for later. */
    assert_non_null(bitcask_slab_source_take(&source, REGION - 6 * MIB - 64));
    while (bitcask_slab_source_prepare(&source))
        continue;
    assert_int_equal(bitcask_slab_source_size(&source), 3 * REGION);
    assert_non_null(bitcask_slab_source_take(&source, REGION));
    assert_int_equal(bitcask_slab_source_size(&source), 5 * REGION);
    bitcask_slab_source_release(&source);
}

static void for_little_nothing_is_prepared(void **state)
{
    struct bitcask_slab_source source;

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 0), 0);
    for (int i = 0; i < 20; i++) {
        assert_non_null(bitcask_slab_source_take(&source, 32 * 1024));
        assert_false(bitcask_slab_source_prepare(&source));
    }
    bitcask_slab_source_release(&source);
}

struct preparer {
    struct bitcask_slab_source *source;
    _Atomic bool stop;
};

static void *run_preparer(void *context)
{
    struct preparer *preparer = context;

    while (!atomic_load(&preparer->stop))
        (void)bitcask_slab_source_prepare(preparer->source);
    return NULL;
}

/* Nothing that is in use changes. */
static void it_is_prepared_beside_those_who_take(void **state)
{
    struct bitcask_slab_source source;
    struct preparer preparers[2] = { { .source = &source }, { .source = &source } };
    struct pieces *pieces[2];
    pthread_t threads[4];

    (void)state;
    assert_int_equal(bitcask_slab_source_init(&source, 3000000), 0);
    for (int i = 0; i < 2; i++) {
        pieces[i] = pieces_create(&source);
        assert_int_equal(pthread_create(&threads[i], NULL, use_slab, pieces[i]), 0);
        assert_int_equal(
            pthread_create(&threads[2 + i], NULL, run_preparer, &preparers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        if (i >= 2)
            atomic_store(&preparers[i - 2].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pieces[i]->count, PIECE_COUNT);
        free(pieces[i]);
    }
    bitcask_slab_source_release(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(freed_pieces_are_used_again_for_their_size),
        cmocka_unit_test(a_slab_that_holds_little_takes_little),
        cmocka_unit_test(without_memory_nothing_is_given_out),
        cmocka_unit_test(what_is_taken_from_a_source_is_aligned_and_apart),
        cmocka_unit_test(a_source_can_be_released_unused),
        cmocka_unit_test(threads_may_share_a_source),
        cmocka_unit_test(what_is_given_is_used_up),
        cmocka_unit_test(what_is_prepared_is_there_before_it_is_taken),
        cmocka_unit_test(for_little_nothing_is_prepared),
        cmocka_unit_test(it_is_prepared_beside_those_who_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
