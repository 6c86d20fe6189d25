/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_words.h"

#include <string.h>

void words_forget(void)
{
    (void)bitcask_exists(NULL, bitcask_text("words"));
}

bool words_is_system(enum bitcask_status status)
{
    return status == BITCASK_IO || status == BITCASK_NO_SPACE ||
           status == BITCASK_NO_MEMORY || status == BITCASK_READ_ONLY;
}

const char *words_wrong(enum bitcask_status status, const char *directory)
{
    static const char *const names[] = { ".data", ".hint",     "MANIFEST",
                                         "LOCK",  "directory", "random bytes" };
    const char *detail = bitcask_error_detail();

    if (detail[0] == '\0')
        return "without a word";
    if (strstr(detail, "the cask is NULL") != NULL)
        return "without words of its own";
    if (status == BITCASK_FAILED)
        return strstr(detail, "close the cask and open it again") != NULL
                   ? NULL
                   : "without saying what to do";
    if (status == BITCASK_NO_MEMORY && strstr(detail, "out of memory") != NULL)
        return NULL;
    if (strstr(detail, directory) != NULL)
        return NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strstr(detail, names[i]) != NULL)
            return NULL;
    }
    return "without naming a file";
}
