/* SPDX-License-Identifier: MIT */
/*
 * One fault in one life of a cask: the n-th call of a kind fails, and what must hold
 * then is checked.
 */
#ifndef TEST_CAMPAIGN_FAULT_TRY_H
#define TEST_CAMPAIGN_FAULT_TRY_H

#include "test/campaign/fault_scenario.h"
#include "test/campaign/fault_system.h"

enum fault_layer {
    LAYER_SYSTEM, /* calls of libc, on real files */
    LAYER_DOOR,   /* calls of struct bitcask_io, on a simulated disk */
    LAYER_MEMORY, /* allocations, on a simulated disk */
    LAYER_COUNT
};

extern const char *const layer_names[LAYER_COUNT];

/* What fails, and how. */
struct fault {
    enum fault_layer layer;
    const char *call; /* for people */
    const char *how;  /* for people: "EIO" */
    bool from;        /* from then on */
    bool transparent; /* nobody may notice */
    enum system_call system_call;
    enum system_how system_how;
    unsigned door_calls;             /* FAULT_BIT()s */
    enum bitcask_status door_status; /* what they say */
    int error;                       /* errno */
    size_t partial_size;             /* of a write that fails */
    bool is_long;                    /* only in long mode */
};

struct try_result {
    long failure_count;  /* calls that were made to fail */
    bool cleared_early;  /* the fault was over before the end: there may be more calls */
    unsigned said_count; /* calls that said so */
    unsigned left_count; /* disks left by a crash that were opened */
    char problem[500];   /* "": none */
};

/* @directory is for real files; the call number @n, from 0, fails. */
void fault_try(const struct stage *stage, const struct fault *fault, long n,
               const char *directory, struct try_result *result);

#endif
