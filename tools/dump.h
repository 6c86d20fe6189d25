/* SPDX-License-Identifier: MIT */
/*
 * What the parts of `dump` share: which file is being gone through, what is wanted of
 * it, and how a record is written.
 */
#ifndef TOOLS_DUMP_H
#define TOOLS_DUMP_H

#include <bitcask/inspect.h>

#include "command.h"

/* What a file has from its first record to its last. */
struct tool_dump_extent {
    uint64_t entry_count; /* puts and tombstones that can be read */
    uint64_t tombstone_count;
    uint64_t first_sequence; /* 0: there is none */
    uint64_t last_sequence;
};

/* A file while it is gone through. Names are borrowed. */
struct tool_dump_file {
    const char *path; /* to open it */
    const char *name; /* to show it */
    struct bitcask_inspector *inspector;
    const struct bitcask_inspect_header *header;
    const struct bitcask_inspect_segment *segment; /* NULL: no MANIFEST tells of it */
    const struct tool_dump_extent *extent;         /* of a data file; NULL: not wanted */
};

/* COUNTS, dump_stats.c. */
enum {
    TOOL_DUMP_CLASSES = 65 /* sizes of 0, 1, 2 to 3, 4 to 7, and so on */
};

struct tool_dump_counts {
    uint64_t put_count;
    uint64_t tombstone_count;
    uint64_t batch_count;
    uint64_t damage_count;
    uint64_t record_size; /* bytes in puts and tombstones */
    uint64_t key_classes[TOOL_DUMP_CLASSES];
    uint64_t value_classes[TOOL_DUMP_CLASSES];
};

void tool_dump_count(struct tool_dump_counts *counts,
                     const struct bitcask_inspect_item *item);
void tool_dump_add_counts(struct tool_dump_counts *sum,
                          const struct tool_dump_counts *counts);

/* What the store has of a file, or of all. */
struct tool_dump_share {
    bool known;
    uint64_t live_count;
    uint64_t live_size;
    uint64_t dead_size;
};

/* One file; @name NULL: the whole, with its histograms. An exit status. */
int tool_dump_print_counts(struct tool *tool, const struct tool_request *request,
                           const char *name, uint64_t file_size,
                           const struct tool_dump_counts *counts,
                           const struct tool_dump_share *share);

/* PRINTING, dump_print.c. These give an exit status, and say what went wrong. */

/* Whether something about @item is not as it was written. */
bool tool_dump_is_bad(const struct bitcask_inspect_item *item);

/* The line above the records of a file, and the names of the columns. */
void tool_dump_print_title(struct tool *tool, const struct tool_dump_file *file);

/* Go through a data file to find out how far it extends. */
void tool_dump_measure(const struct tool_dump_file *file,
                       struct tool_dump_extent *extent);

/* What there is to say of the file as a whole. */
int tool_dump_print_header(struct tool *tool, const struct tool_request *request,
                           const struct tool_dump_file *file);

int tool_dump_print_item(struct tool *tool, const struct tool_request *request,
                         const struct tool_dump_file *file,
                         const struct bitcask_inspect_item *item);

/* Bytes at the end that are no damage. */
int tool_dump_print_tail(struct tool *tool, const struct tool_request *request,
                         const struct tool_dump_file *file, uint64_t offset,
                         uint64_t size);

/* Something about the file that is no record: @type for JSON, @text for people. */
int tool_dump_print_note(struct tool *tool, const struct tool_request *request,
                         const char *name, const char *type, const char *text);

/* The MANIFEST, as @cask has it. */
int tool_dump_print_manifest(struct tool *tool, const struct tool_request *request,
                             const char *name, const struct bitcask_inspect_cask *cask);

/* The bytes from @offset on, in hexadecimal and as text. */
int tool_dump_print_hex(struct tool *tool, const struct tool_dump_file *file,
                        uint64_t offset, uint64_t size);

/* The bytes from @offset on, as they are. */
int tool_dump_print_raw(struct tool *tool, const struct tool_dump_file *file,
                        uint64_t offset, uint64_t size);

/* @ms since 1970 in words, in @text, which is returned. */
enum {
    TOOL_TIME_SIZE = 48
};
const char *tool_time_print(uint64_t ms, char text[TOOL_TIME_SIZE]);

/* A JSON number; those that JSON's readers cannot hold lose their last digits. */
json_t *tool_json_number(uint64_t number);

/* GOING THROUGH A FILE, dump_walk.c. */
struct tool_dump {
    struct tool *tool;
    const struct tool_request *request;
    const char *directory;            /* of the cask, or in which the file is */
    struct bitcask_inspect_cask cask; /* as it was last seen */
    struct bitcask *store;            /* opened to see what is live, or NULL */
    struct tool_dump_counts sum;
    uint64_t file_size_sum;
    uint64_t hidden_count; /* damage that the choice of records left no place to show */
    uint64_t last_sequence;
    uint64_t *done; /* of a cask, the ids of what was gone through, in no order */
    size_t done_count;
    bool vanished;  /* a merge removed a file before it could be read */
    bool selecting; /* some records are not wanted */
    bool listing;   /* a line for each record, so damage has its lines, too */
};

/* A walk over one file. Zeroed but for dump and file it can be begun. */
struct tool_dump_walk {
    struct tool_dump *dump;
    struct tool_dump_file file;
    struct tool_dump_counts counts;
    bool titled;
    uint64_t last_sequence; /* of a record that is whole */

    /* Bad records at the end: judged when nothing more comes. Keys are owned. */
    struct bitcask_inspect_item *held;
    size_t held_count;
    size_t held_capacity;
};

/* Open the file and look at its start. @walk is to be released in any case. */
enum bitcask_status tool_dump_walk_open(struct tool_dump_walk *walk);
void tool_dump_walk_release(struct tool_dump_walk *walk);

/* Print what there is now, but for what may be an unfinished end. */
int tool_dump_walk_drain(struct tool_dump_walk *walk);

/* No more will come: print the rest as what it is. */
int tool_dump_walk_finish(struct tool_dump_walk *walk);

/* ONE FILE, dump_file.c. */
enum {
    TOOL_DUMP_FOLLOW_MS = 100 /* between two looks */
};

/* A signal came, or nobody reads. */
bool tool_dump_is_over(const struct tool_dump *dump);

/* Open the store to see what is live; unless @needed, as far as that works. */
int tool_dump_open_store(struct tool_dump *dump, bool needed);

/* See afresh what there is in dump->directory. */
int tool_dump_look(struct tool_dump *dump);

/* What of segment @id is live, or, if that is 0, of all. */
struct tool_dump_share tool_dump_share_of(const struct tool_dump *dump, uint64_t id);
void tool_dump_print_stats_title(const struct tool_dump *dump);

/* Say @text of the file @name: in a line of @type or, where lines are data, beside it. */
int tool_dump_note(struct tool_dump *dump, const char *name, const char *type,
                   const char *text);

/* Go through the file of @walk, which is open; with @stay it is not finished. */
int tool_dump_file(struct tool_dump *dump, struct tool_dump_walk *walk, bool stay);

/* A WHOLE CASK, dump_cask.c: that in dump->directory. */
int tool_dump_cask(struct tool_dump *dump);

#endif
