/* SPDX-License-Identifier: MIT */
/* The faults that are tried. */
#ifndef TEST_CAMPAIGN_FAULT_TABLE_H
#define TEST_CAMPAIGN_FAULT_TABLE_H

#include "test/campaign/fault_try.h"

/* Fault number @index into *fault; false: there are not so many. */
bool fault_table_get(unsigned index, struct fault *fault);

#endif
