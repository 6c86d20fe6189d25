/* SPDX-License-Identifier: MIT */
/*
 * What damage means for a key: from the newest record that is lost and the newest that
 * is whole, in whatever order they are met.
 */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/fate.h"
#include "test/test_alloc.h"

/*
 * Records of one key, by their sequences: d after one that deletes, v after one of which
 * only the value is lost.
 */
struct fate_case {
    const char *lost;
    const char *whole;
    enum bitcask_effect effect;
    enum bitcask_effect mended; /* after a repair */
};

static const struct fate_case cases[] = {
    { "5", "", BITCASK_EFFECT_LOST, BITCASK_EFFECT_LOST },
    { "5 7", "", BITCASK_EFFECT_LOST, BITCASK_EFFECT_LOST },
    { "5", "4d", BITCASK_EFFECT_LOST, BITCASK_EFFECT_LOST },
    { "5", "2 4d", BITCASK_EFFECT_LOST, BITCASK_EFFECT_LOST },
    { "5", "4", BITCASK_EFFECT_STALE, BITCASK_EFFECT_STALE },
    { "5 7", "6", BITCASK_EFFECT_STALE, BITCASK_EFFECT_STALE },
    { "5", "2d 4", BITCASK_EFFECT_STALE, BITCASK_EFFECT_STALE },
    { "3d 5", "2", BITCASK_EFFECT_STALE, BITCASK_EFFECT_STALE },
    { "5d", "4", BITCASK_EFFECT_UNDELETED, BITCASK_EFFECT_UNDELETED },
    { "3 5d", "2", BITCASK_EFFECT_UNDELETED, BITCASK_EFFECT_UNDELETED },
    { "5d", "", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5d", "4d", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5d", "2 4d", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5", "6", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5", "6d", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5d", "6", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5", "5", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS }, /* a copy */
    { "5v", "", BITCASK_EFFECT_UNREADABLE, BITCASK_EFFECT_LOST },
    { "5v", "4", BITCASK_EFFECT_UNREADABLE, BITCASK_EFFECT_STALE },
    { "5v", "4d", BITCASK_EFFECT_UNREADABLE, BITCASK_EFFECT_LOST },
    { "5v", "6", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS },
    { "5 7v", "4", BITCASK_EFFECT_UNREADABLE, BITCASK_EFFECT_STALE },
    { "5v 7", "4", BITCASK_EFFECT_STALE, BITCASK_EFFECT_STALE },
    { "5dv", "", BITCASK_EFFECT_HARMLESS, BITCASK_EFFECT_HARMLESS }, /* expired */
};

static const uint64_t seed = 1815;

static void add(struct bitcask_fates *fates, const char *key, uint64_t sequence,
                const char *flags)
{
    char bytes[16];
    struct bitcask_casualty casualty = { .key = (uint8_t *)bytes,
                                         .key_size = strlen(key),
                                         .sequence = sequence,
                                         .segment_id = 3,
                                         .offset = 100 * sequence,
                                         .deletes = strchr(flags, 'd') != NULL,
                                         .header_intact = strchr(flags, 'v') != NULL };

    (void)snprintf(bytes, sizeof bytes, "%s", key);
    assert_status(bitcask_fates_add(fates, &casualty), BITCASK_OK);
}

/* Add or meet the records that @words are of, or those backwards; the highest sequence.
 */
static uint64_t tell_records(struct bitcask_fates *fates, const char *words, bool lost,
                             bool backwards)
{
    char text[3][8] = { "" };
    int count = sscanf(words, "%7s %7s %7s", text[0], text[1], text[2]);
    uint64_t highest = 0;

    for (int i = 0; i < count; i++) {
        char *flags;
        uint64_t sequence = strtoull(text[backwards ? count - 1 - i : i], &flags, 10);

        if (lost)
            add(fates, "ada", sequence, flags);
        else
            bitcask_fates_meet(fates, bitcask_text("ada"), sequence, flags[0] == 'd');
        highest = sequence > highest ? sequence : highest;
    }
    return highest;
}

/* What is told; the context of note(). */
struct told {
    struct bitcask_fate_told of[8];
    char keys[8][8];
    size_t count;
    size_t stop_at; /* 0: never */
};

static enum bitcask_status note(const struct bitcask_fate_told *one, void *context)
{
    struct told *told = context;

    assert_true(told->count < LENGTH_OF(told->of));
    assert_true(one->key.size < sizeof told->keys[0]);
    memcpy(told->keys[told->count], one->key.data, one->key.size);
    told->keys[told->count][one->key.size] = '\0';
    told->of[told->count++] = *one;
    return told->count == told->stop_at ? BITCASK_TOO_BIG : BITCASK_OK;
}

static void the_newest_records_decide_the_fate_of_a_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * LENGTH_OF(cases); i++) {
        const struct fate_case *one = &cases[i / 4];
        bool backwards = (i & 1) != 0;
        bool mended = (i & 2) != 0;
        enum bitcask_effect expected = mended ? one->mended : one->effect;
        struct bitcask_fates fates = { .seed = seed };
        struct told told = { .count = 0 };
        uint64_t lost = tell_records(&fates, one->lost, true, backwards);
        uint64_t newest = tell_records(&fates, one->whole, false, backwards);

        assert_int_equal(fates.count, 1);
        assert_status(bitcask_fates_tell(&fates, mended, note, &told), BITCASK_OK);
        bitcask_fates_release(&fates);
        assert_int_equal(told.count, 1);
        assert_string_equal(told.keys[0], "ada");
        assert_int_equal(told.of[0].segment_id, 3);
        assert_int_equal(told.of[0].sequence, lost);
        assert_int_equal(told.of[0].offset, 100 * lost);
        assert_int_equal(told.of[0].newest_sequence, newest);
        if (told.of[0].effect != expected)
            fail_msg("lost: %s; whole: %s; %s: %s, expected %s", one->lost, one->whole,
                     mended ? "mended" : "not mended",
                     bitcask_effect_text(told.of[0].effect),
                     bitcask_effect_text(expected));
    }
}

static void keys_are_told_in_the_order_in_which_they_came(void **state)
{
    static const char *const keys[] = { "z", "a", "", "m", "aa" };
    struct bitcask_fates fates = { .seed = seed };
    struct told told = { .count = 0 };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(keys); i++)
        add(&fates, keys[i], i + 1, "");
    add(&fates, "z", 9, ""); /* takes no other place */
    bitcask_fates_meet(&fates, bitcask_text("nobody"), 9, false);
    assert_int_equal(fates.count, LENGTH_OF(keys));
    assert_status(bitcask_fates_tell(&fates, true, note, &told), BITCASK_OK);
    assert_int_equal(told.count, LENGTH_OF(keys));
    for (size_t i = 0; i < LENGTH_OF(keys); i++)
        assert_string_equal(told.keys[i], keys[i]);
    bitcask_fates_release(&fates);
    assert_int_equal(fates.count, 0);
}

static void a_visit_that_fails_ends_the_telling(void **state)
{
    struct bitcask_fates fates = { .seed = seed };
    struct told told = { .stop_at = 2 };

    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        const char key[] = { (char)('a' + i), '\0' };

        add(&fates, key, i + 1, "");
    }
    assert_status(bitcask_fates_tell(&fates, true, note, &told), BITCASK_TOO_BIG);
    assert_int_equal(told.count, 2);
    bitcask_fates_release(&fates);
}

/* So many that the table grows on the way. */
static void no_memory_leaves_what_was_there(void **state)
{
    enum {
        KEYS = 600
    };
    long failures;

    (void)state;
    for (long skip = 0;; skip += skip < 20 ? 1 : 97) {
        struct bitcask_fates fates = { .seed = seed };
        size_t added = 0;

        test_alloc_fail(skip);
        for (unsigned i = 0; i < KEYS; i++) {
            char key[16];
            struct bitcask_casualty casualty = { .key = (uint8_t *)key,
                                                 .sequence = i + 1 };
            enum bitcask_status status;

            casualty.key_size = (size_t)snprintf(key, sizeof key, "%u", i);
            status = bitcask_fates_add(&fates, &casualty);
            assert_true(status == BITCASK_OK || status == BITCASK_NO_MEMORY);
            added += status == BITCASK_OK;
        }
        failures = test_alloc_stop();
        assert_int_equal(fates.count, added);
        assert_true(added + (size_t)failures >= KEYS);
        bitcask_fates_release(&fates);
        if (failures == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_records_decide_the_fate_of_a_key),
        cmocka_unit_test(keys_are_told_in_the_order_in_which_they_came),
        cmocka_unit_test(a_visit_that_fails_ends_the_telling),
        cmocka_unit_test(no_memory_leaves_what_was_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
