/* SPDX-License-Identifier: MIT */
/*
 * What a campaign tries, for another reader of the format: with --export FILE each disk
 * goes to FILE, and behind it what the library finds on it. test/test_second_reader.py
 * reads that, from a pipe.
 *
 *     state WORDS               how it came about
 *     now MS                    by its wall clock
 *     file NAME SIZE            for each file, then its bytes and a newline
 *     status NUMBER TEXT        of an open, which may have cut or removed something
 *     key KEY SEQUENCE EXPIRES STATUS SIZE
 *                               for each live one, KEY in hex, EXPIRES 0 or 1; then the
 *                               bytes of the value and a newline
 *     end
 */
#ifndef TEST_CAMPAIGN_EXPORT_H
#define TEST_CAMPAIGN_EXPORT_H

#include "test/campaign/campaign.h"
#include "test/sim_disk.h"

/*
 * Nothing without --export, and for all but one disk in @share. @disk stays as it is.
 * Without @hints the library does not see them, as the other reader does not: they prove
 * more of what is missing than the data files do.
 */
void campaign_export(struct campaign *campaign, const struct sim_disk *disk,
                     uint64_t share, bool hints, const char *words);

#endif
