/* SPDX-License-Identifier: MIT */
/* The calls that the doctor campaign judges, with the io given. */
#ifndef TEST_CAMPAIGN_DOCTOR_CALL_H
#define TEST_CAMPAIGN_DOCTOR_CALL_H

#include "bitcask/inspector.h"
#include "bitcask/repair.h"
#include "bitcask/verify.h"

#define doctor_call_inspect bitcask_inspector_open_with
#define doctor_call_verify bitcask_verify_with
#define doctor_call_repair bitcask_repair_with

#endif
