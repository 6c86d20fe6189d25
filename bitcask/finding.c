/* SPDX-License-Identifier: MIT */
/*
 * The words for what a check of a cask finds.
 */
#include "bitcask/inspect.h"

const char *bitcask_finding_text(enum bitcask_finding_kind kind)
{
    switch (kind) {
    case BITCASK_FINDING_MANIFEST:
        return "MANIFEST cannot be used";
    case BITCASK_FINDING_MISSING:
        return "a data file is missing";
    case BITCASK_FINDING_UNLISTED:
        return "a data file is not listed";
    case BITCASK_FINDING_FOREIGN:
        return "a data file is another one";
    case BITCASK_FINDING_HEADER:
        return "a file header is damaged";
    case BITCASK_FINDING_SHORT:
        return "a data file is cut off";
    case BITCASK_FINDING_LONG:
        return "bytes behind the end";
    case BITCASK_FINDING_REGION:
        return "damaged bytes";
    case BITCASK_FINDING_VALUE:
        return "a damaged value";
    case BITCASK_FINDING_BATCH:
        return "a damaged batch";
    case BITCASK_FINDING_SEQUENCE:
        return "wrong sequences";
    case BITCASK_FINDING_HINT:
        return "a bad hint";
    case BITCASK_FINDING_UNREADABLE:
        return "unreadable bytes";
    case BITCASK_FINDING_RESERVE:
        return "a damaged reserve";
    case BITCASK_FINDING_KEY:
        return "a key";
    case BITCASK_FINDING_TORN_TAIL:
        return "a torn tail";
    case BITCASK_FINDING_NO_HINT:
        return "no hint";
    case BITCASK_FINDING_LEFT_OVER:
        return "a left-over file";
    case BITCASK_FINDING_CHANGED:
        return "changed meanwhile";
    }
    return "unknown";
}

bool bitcask_finding_is_damage(enum bitcask_finding_kind kind)
{
    return kind < BITCASK_FINDING_KEY;
}

const char *bitcask_effect_text(enum bitcask_effect effect)
{
    switch (effect) {
    case BITCASK_EFFECT_NONE:
        return "none";
    case BITCASK_EFFECT_LOST:
        return "lost";
    case BITCASK_EFFECT_STALE:
        return "stale";
    case BITCASK_EFFECT_UNDELETED:
        return "undeleted";
    case BITCASK_EFFECT_UNREADABLE:
        return "unreadable";
    case BITCASK_EFFECT_HARMLESS:
        return "harmless";
    }
    return "unknown";
}
