/* SPDX-License-Identifier: MIT */
#include "bitcask/file_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void bitcask_data_name(char name[BITCASK_NAME_SIZE], uint64_t segment_id)
{
    (void)snprintf(name, BITCASK_NAME_SIZE, "%010" PRIu64 ".data", segment_id);
}

void bitcask_hint_name(char name[BITCASK_NAME_SIZE], uint64_t segment_id)
{
    (void)snprintf(name, BITCASK_NAME_SIZE, "%010" PRIu64 ".hint", segment_id);
}

void bitcask_hint_temporary_name(char name[BITCASK_NAME_SIZE], uint64_t segment_id)
{
    (void)snprintf(name, BITCASK_NAME_SIZE, "%010" PRIu64 ".hint.tmp", segment_id);
}

/* The number that @name begins with; 0 for none or one too large. */
static uint64_t leading_number(const char *name)
{
    uint64_t number = 0;

    for (; *name >= '0' && *name <= '9'; name++) {
        uint64_t digit = (uint64_t)(*name - '0');

        if (number > (UINT64_MAX - digit) / 10)
            return 0;
        number = number * 10 + digit;
    }
    return number;
}

enum bitcask_name_kind bitcask_name_parse(const char *name, uint64_t *segment_id)
{
    static const struct {
        void (*build)(char name[BITCASK_NAME_SIZE], uint64_t segment_id);
        enum bitcask_name_kind kind;
    } numbered[] = {
        { bitcask_data_name, BITCASK_NAME_DATA },
        { bitcask_hint_name, BITCASK_NAME_HINT },
        { bitcask_hint_temporary_name, BITCASK_NAME_TEMPORARY },
    };
    uint64_t number;

    if (strcmp(name, BITCASK_MANIFEST_NAME) == 0)
        return BITCASK_NAME_MANIFEST;
    if (strcmp(name, BITCASK_LOCK_NAME) == 0)
        return BITCASK_NAME_LOCK;
    if (strcmp(name, BITCASK_RESERVE_NAME) == 0)
        return BITCASK_NAME_RESERVE;
    if (strcmp(name, BITCASK_QUARANTINE_NAME) == 0)
        return BITCASK_NAME_QUARANTINE;
    if (strcmp(name, BITCASK_MANIFEST_TEMPORARY_NAME) == 0)
        return BITCASK_NAME_TEMPORARY;

    number = leading_number(name);
    if (number == 0)
        return BITCASK_NAME_FOREIGN;
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        char built[BITCASK_NAME_SIZE];

        numbered[i].build(built, number);
        if (strcmp(name, built) == 0) {
            *segment_id = number;
            return numbered[i].kind;
        }
    }
    return BITCASK_NAME_FOREIGN;
}
