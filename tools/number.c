/* SPDX-License-Identifier: MIT */
#include "number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Take the digits that *text begins with, at least one. */
static bool take_digits(const char **text, uint64_t *number)
{
    const char *at = *text;
    uint64_t sum = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = 10 * sum + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *number = sum;
    return true;
}

bool tool_number_parse(const char *text, uint64_t *number)
{
    uint64_t found;

    if (!take_digits(&text, &found) || *text != 0)
        return false;
    *number = found;
    return true;
}

bool tool_size_parse(const char *text, uint64_t *size)
{
    static const char units[] = "kKmMgGtT";
    unsigned shift = 0;
    uint64_t found;

    if (!take_digits(&text, &found))
        return false;
    if (*text != 0) {
        const char *unit = strchr(units, *text);

        if (unit == NULL || text[1] != 0)
            return false;
        shift = 10 * ((unsigned)(unit - units) / 2 + 1);
    }
    if (found > UINT64_MAX >> shift)
        return false;
    *size = found << shift;
    return true;
}

const char *tool_number_print(uint64_t number, char text[TOOL_NUMBER_SIZE])
{
    char digits[TOOL_NUMBER_SIZE];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, number);
    size_t out = 0;

    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = 0;
    return text;
}

const char *tool_size_print(uint64_t size, char text[TOOL_NUMBER_SIZE])
{
    static const char *const units[] = {
        "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
    };
    double amount = (double)size;
    size_t unit = 0;

    while (amount >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        amount /= 1024;
        unit++;
    }
    snprintf(text, TOOL_NUMBER_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", amount,
             units[unit]);
    return text;
}

double tool_percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}
