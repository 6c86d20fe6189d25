/* SPDX-License-Identifier: MIT */
/*
 * The public headers alone, as an embedder sees them: they are the only includes,
 * compiled as C99 here and as C++11 by test_header.cpp, and every function in it can be
 * linked with. test_layers.sh checks that none is missing below.
 */
#include <bitcask/bitcask.h>
#include <bitcask/inspect.h>

typedef void any_function(void);

static any_function *const functions[] = {
    (any_function *)bitcask_buffer_release,
    (any_function *)bitcask_close,
    (any_function *)bitcask_delete,
    (any_function *)bitcask_effect_text,
    (any_function *)bitcask_error_detail,
    (any_function *)bitcask_exists,
    (any_function *)bitcask_finding_is_damage,
    (any_function *)bitcask_finding_text,
    (any_function *)bitcask_get,
    (any_function *)bitcask_hint_rebuild,
    (any_function *)bitcask_hint_verify,
    (any_function *)bitcask_history,
    (any_function *)bitcask_inspect_cask_release,
    (any_function *)bitcask_inspect_directory,
    (any_function *)bitcask_inspect_state_text,
    (any_function *)bitcask_inspector_close,
    (any_function *)bitcask_inspector_header,
    (any_function *)bitcask_inspector_next,
    (any_function *)bitcask_inspector_open,
    (any_function *)bitcask_inspector_read,
    (any_function *)bitcask_inspector_seek,
    (any_function *)bitcask_iterator_close,
    (any_function *)bitcask_iterator_next,
    (any_function *)bitcask_iterator_open,
    (any_function *)bitcask_locate,
    (any_function *)bitcask_merge,
    (any_function *)bitcask_merge_due,
    (any_function *)bitcask_merge_pause,
    (any_function *)bitcask_merge_reason_text,
    (any_function *)bitcask_merge_resume,
    (any_function *)bitcask_multi_get,
    (any_function *)bitcask_open,
    (any_function *)bitcask_put,
    (any_function *)bitcask_repair,
    (any_function *)bitcask_stat,
    (any_function *)bitcask_stat_segments,
    (any_function *)bitcask_status_text,
    (any_function *)bitcask_sync,
    (any_function *)bitcask_text,
    (any_function *)bitcask_verify,
    (any_function *)bitcask_version,
    (any_function *)bitcask_version_read,
    (any_function *)bitcask_view,
    (any_function *)bitcask_view_release,
};

int main(void)
{
    static struct bitcask_options defaults; /* all zero, in C++ too */
    struct bitcask *cask = NULL;
    size_t i;

    for (i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (functions[i] == NULL)
            return 1;
    }
    if (bitcask_open(&cask, NULL, &defaults) != BITCASK_MISUSE || cask != NULL)
        return 1;
    if (bitcask_text("ada").size != 3 || bitcask_error_detail()[0] == '\0')
        return 1;
    return bitcask_close(NULL) == BITCASK_OK ? 0 : 1;
}
