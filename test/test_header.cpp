// SPDX-License-Identifier: MIT
#include "test_header.c"
