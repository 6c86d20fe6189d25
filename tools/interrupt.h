/* SPDX-License-Identifier: MIT */
/*
 * SIGINT, SIGTERM and SIGHUP as a wish to end at the next good moment, so that `load`
 * and `shell` close the store before they go. The second such signal ends at once.
 *
 * The one place with state of the whole process, since signals have no other.
 */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include <stddef.h>
#include <sys/types.h>

/* From now on those signals (if they were not ignored) are only noted. */
void tool_interrupt_install(void);

/* The signal that came, or 0. */
int tool_interrupt_signal(void);

/*
 * read(2) that a noted signal ends with EINTR, also when it came just before. It waits
 * for nothing once a signal was noted.
 */
ssize_t tool_interrupt_read(int descriptor, void *data, size_t size);

/* Wait so many milliseconds, or until a signal is noted. */
void tool_interrupt_wait(unsigned ms);

/* If a signal was noted, end by it now, as whoever started us expects. */
void tool_interrupt_raise(void);

#endif
