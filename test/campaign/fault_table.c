/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_table.h"

#include <errno.h>

#define LENGTH_OF(array) (sizeof(array) / sizeof *(array))

/* How libc's calls fail: those that are short first, the rest only in long mode. */
static const struct {
    enum system_call call;
    enum system_how how;
    int error;
    const char *words;
    bool is_long;
} system_faults[] = {
    { SYSTEM_OPENAT, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_OPENAT, SYSTEM_FAILS, EMFILE, "EMFILE", false },
    { SYSTEM_OPENAT, SYSTEM_FAILS_FROM, EMFILE, "EMFILE-from", false },
    { SYSTEM_OPENAT, SYSTEM_FAILS_FROM, ENFILE, "ENFILE-from", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS, EACCES, "EACCES", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS, EIO, "EIO", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS, ENOSPC, "ENOSPC", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS_FROM, ENOSPC, "ENOSPC-from", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS, EDQUOT, "EDQUOT", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS, ENOMEM, "ENOMEM", true },
    { SYSTEM_OPENAT, SYSTEM_FAILS_FROM, EROFS, "EROFS-from", true },
    { SYSTEM_MKDIR, SYSTEM_FAILS, ENOSPC, "ENOSPC", false },
    { SYSTEM_MKDIR, SYSTEM_FAILS_FROM, EACCES, "EACCES-from", false },
    { SYSTEM_MKDIR, SYSTEM_FAILS, EROFS, "EROFS", true },
    { SYSTEM_RMDIR, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_UNLINKAT, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_UNLINKAT, SYSTEM_FAILS_FROM, EACCES, "EACCES-from", false },
    { SYSTEM_UNLINKAT, SYSTEM_FAILS_FROM, EROFS, "EROFS-from", true },
    { SYSTEM_RENAMEAT, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_RENAMEAT, SYSTEM_FAILS_FROM, ENOSPC, "ENOSPC-from", false },
    { SYSTEM_RENAMEAT, SYSTEM_FAILS, EDQUOT, "EDQUOT", true },
    { SYSTEM_RENAMEAT, SYSTEM_FAILS_FROM, EROFS, "EROFS-from", true },
    { SYSTEM_PREAD, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_PREAD, SYSTEM_SHORT, 0, "short", true },
    { SYSTEM_PREAD, SYSTEM_SHORT_FROM, 0, "short-from", false },
    { SYSTEM_PREAD, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_PREAD, SYSTEM_FAILS_FROM, EIO, "EIO-from", false },
    { SYSTEM_PREAD, SYSTEM_STOPS, EIO, "half-then-EIO", true },
    { SYSTEM_PREAD, SYSTEM_FAILS, ENOMEM, "ENOMEM", true },
    { SYSTEM_PWRITEV, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_PWRITEV, SYSTEM_SHORT, 0, "short", false },
    { SYSTEM_PWRITEV, SYSTEM_SHORT_FROM, 0, "short-from", false },
    { SYSTEM_PWRITEV, SYSTEM_NOTHING, 0, "zero", false },
    { SYSTEM_PWRITEV, SYSTEM_STOPS, ENOSPC, "half-then-ENOSPC", false },
    { SYSTEM_PWRITEV, SYSTEM_STOPS, EIO, "half-then-EIO", true },
    { SYSTEM_PWRITEV, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_PWRITEV, SYSTEM_FAILS, EDQUOT, "EDQUOT", true },
    { SYSTEM_PWRITEV, SYSTEM_FAILS, EFBIG, "EFBIG", true },
    { SYSTEM_PWRITEV, SYSTEM_FAILS_FROM, ENOSPC, "ENOSPC-from", false },
    { SYSTEM_PWRITEV, SYSTEM_FAILS_FROM, EIO, "EIO-from", true },
    { SYSTEM_PWRITEV, SYSTEM_FAILS_FROM, EROFS, "EROFS-from", true },
    { SYSTEM_FDATASYNC, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_FDATASYNC, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_FDATASYNC, SYSTEM_FAILS, ENOSPC, "ENOSPC", true },
    { SYSTEM_FDATASYNC, SYSTEM_FAILS, EDQUOT, "EDQUOT", true },
    { SYSTEM_FDATASYNC, SYSTEM_FAILS, EROFS, "EROFS", true },
    { SYSTEM_FDATASYNC, SYSTEM_FAILS_FROM, EIO, "EIO-from", true },
    { SYSTEM_FSYNC, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_FSYNC, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_FSYNC, SYSTEM_FAILS_FROM, EIO, "EIO-from", true },
    { SYSTEM_FSYNC, SYSTEM_FAILS, ENOSPC, "ENOSPC", true },
    { SYSTEM_FTRUNCATE, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_FTRUNCATE, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_FTRUNCATE, SYSTEM_FAILS_FROM, EROFS, "EROFS-from", true },
    { SYSTEM_FALLOCATE, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_FALLOCATE, SYSTEM_FAILS, ENOSPC, "ENOSPC", false },
    { SYSTEM_FALLOCATE, SYSTEM_FAILS_FROM, ENOSPC, "ENOSPC-from", true },
    { SYSTEM_FALLOCATE, SYSTEM_FAILS_FROM, EOPNOTSUPP, "EOPNOTSUPP-from", false },
    { SYSTEM_FALLOCATE, SYSTEM_FAILS, EIO, "EIO", true },
    { SYSTEM_FSTAT, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_FSTAT, SYSTEM_FAILS_FROM, ENOMEM, "ENOMEM-from", true },
    { SYSTEM_MMAP, SYSTEM_FAILS, ENOMEM, "ENOMEM", false },
    { SYSTEM_MMAP, SYSTEM_FAILS_FROM, ENODEV, "ENODEV-from", true },
    { SYSTEM_MUNMAP, SYSTEM_FAILS_FROM, EINVAL, "EINVAL-from", true },
    { SYSTEM_MADVISE, SYSTEM_FAILS_FROM, EAGAIN, "EAGAIN-from", true },
    { SYSTEM_FLOCK, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_FLOCK, SYSTEM_FAILS, ENOLCK, "ENOLCK", false },
    { SYSTEM_FLOCK, SYSTEM_FAILS, EWOULDBLOCK, "EWOULDBLOCK", false },
    { SYSTEM_FDOPENDIR, SYSTEM_FAILS, ENOMEM, "ENOMEM", false },
    { SYSTEM_READDIR, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_READDIR, SYSTEM_FAILS_FROM, EIO, "EIO-from", true },
    { SYSTEM_CLOSE, SYSTEM_FAILS, EIO, "EIO", true },
    { SYSTEM_CLOSE, SYSTEM_FAILS_FROM, EINTR, "EINTR-from", true },
    { SYSTEM_GETRANDOM, SYSTEM_INTERRUPTED, EINTR, "EINTR", false },
    { SYSTEM_GETRANDOM, SYSTEM_SHORT_FROM, 0, "short-from", false },
    { SYSTEM_GETRANDOM, SYSTEM_FAILS, EIO, "EIO", false },
    { SYSTEM_GETRANDOM, SYSTEM_FAILS_FROM, ENOSYS, "ENOSYS-from", true },
    { SYSTEM_PTHREAD_CREATE, SYSTEM_FAILS, EAGAIN, "EAGAIN", false },
    { SYSTEM_PTHREAD_CREATE, SYSTEM_FAILS_FROM, EAGAIN, "EAGAIN-from", false },
};

static void get_system(unsigned index, struct fault *fault)
{
    enum system_how how = system_faults[index].how;

    *fault = (struct fault){
        .layer = LAYER_SYSTEM,
        .call = system_call_names[system_faults[index].call],
        .how = system_faults[index].words,
        .from = how == SYSTEM_FAILS_FROM || how == SYSTEM_SHORT_FROM,
        .transparent =
            how == SYSTEM_INTERRUPTED || how == SYSTEM_SHORT || how == SYSTEM_SHORT_FROM,
        .system_call = system_faults[index].call,
        .system_how = how,
        .error = system_faults[index].error,
        .is_long = system_faults[index].is_long,
    };
}

static const struct {
    const char *name;
    unsigned calls;
    unsigned short_hows; /* bits of door_hows: those tried in short mode */
} door_calls[] = {
    { "any", FAULT_ANY, 1u << 0 | 1u << 1 },
    { "write", FAULT_BIT(FAULT_WRITE), 1u << 1 | 1u << 2 },
    { "write-and-truncate", FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE), 1u << 0 },
    { "sync", FAULT_BIT(FAULT_SYNC) | FAULT_BIT(FAULT_DIRECTORY_SYNC), 1u << 0 },
    { "sync-file", FAULT_BIT(FAULT_SYNC), 0 },
    { "sync-directory", FAULT_BIT(FAULT_DIRECTORY_SYNC), 0 },
    { "sync-parent", FAULT_BIT(FAULT_DIRECTORY_SYNC_PARENT), 0 },
    { "directory-create", FAULT_BIT(FAULT_DIRECTORY_CREATE), 0 },
    { "directory-open", FAULT_BIT(FAULT_DIRECTORY_OPEN), 0 },
    { "directory-list", FAULT_BIT(FAULT_DIRECTORY_LIST), 0 },
    { "open", FAULT_BIT(FAULT_OPEN), 0 },
    { "read", FAULT_BIT(FAULT_READ), 0 },
    { "size", FAULT_BIT(FAULT_SIZE), 0 },
    { "truncate", FAULT_BIT(FAULT_TRUNCATE), 0 },
    { "allocate", FAULT_BIT(FAULT_ALLOCATE), 0 },
    { "map", FAULT_BIT(FAULT_MAP), 0 },
    { "lock", FAULT_BIT(FAULT_LOCK), 0 },
    { "rename", FAULT_BIT(FAULT_RENAME), 0 },
    { "remove", FAULT_BIT(FAULT_REMOVE), 0 },
    { "random", FAULT_BIT(FAULT_RANDOM), 0 },
    { "space", /* what a full disk refuses */
      FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_ALLOCATE) | FAULT_BIT(FAULT_OPEN) |
          FAULT_BIT(FAULT_RENAME) | FAULT_BIT(FAULT_DIRECTORY_CREATE) |
          FAULT_BIT(FAULT_SYNC),
      0 },
};

static const struct {
    const char *words;
    enum bitcask_status status;
    int error;
    bool from;
    size_t partial_size;
} door_hows[] = {
    { "IO", BITCASK_IO, EIO, false, 90 },
    { "NO_SPACE-from", BITCASK_NO_SPACE, ENOSPC, true, 45 },
    { "NO_SPACE-after-all", BITCASK_NO_SPACE, ENOSPC, false, SIZE_MAX },
    { "IO-from", BITCASK_IO, EIO, true, 0 },
    { "IO-after-all-from", BITCASK_IO, EIO, true, SIZE_MAX },
    { "NO_SPACE", BITCASK_NO_SPACE, ENOSPC, false, 0 },
    { "IO-part", BITCASK_IO, EIO, false, 600 },
    { "READ_ONLY", BITCASK_READ_ONLY, EROFS, false, 0 },
    { "READ_ONLY-from", BITCASK_READ_ONLY, EROFS, true, 0 },
    { "NO_MEMORY", BITCASK_NO_MEMORY, ENOMEM, false, 0 },
};

static void get_door(unsigned index, struct fault *fault)
{
    unsigned call = index / (unsigned)LENGTH_OF(door_hows);
    unsigned how = index % (unsigned)LENGTH_OF(door_hows);

    *fault = (struct fault){
        .layer = LAYER_DOOR,
        .call = door_calls[call].name,
        .how = door_hows[how].words,
        .from = door_hows[how].from,
        .door_calls = door_calls[call].calls,
        .door_status = door_hows[how].status,
        .error = door_hows[how].error,
        .partial_size = door_hows[how].partial_size,
        .is_long = (door_calls[call].short_hows & 1u << how) == 0,
    };
}

bool fault_table_get(unsigned index, struct fault *fault)
{
    const unsigned door_count = (unsigned)(LENGTH_OF(door_calls) * LENGTH_OF(door_hows));

    if (index < 2) {
        *fault = (struct fault){
            .layer = LAYER_MEMORY,
            .call = "allocation",
            .how = index == 0 ? "once" : "from",
            .from = index == 1,
        };
        return true;
    }
    index -= 2;
    if (index < door_count) {
        get_door(index, fault);
        return true;
    }
    index -= door_count;
    if (index >= LENGTH_OF(system_faults))
        return false;
    get_system(index, fault);
    return true;
}
