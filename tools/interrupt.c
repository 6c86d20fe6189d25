/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t noted;

static void note(int number)
{
    noted = number;
}

void tool_interrupt_install(void)
{
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = { 0 };

        if (sigaction(signals[i], NULL, &action) != 0 || action.sa_handler == SIG_IGN)
            continue;
        action.sa_handler = note;
        /* The library's calls go on; the second signal finds the default again. */
        action.sa_flags = (int)((unsigned)SA_RESTART | (unsigned)SA_RESETHAND);
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
    }
}

int tool_interrupt_signal(void)
{
    return noted;
}

/* Between the look at the note and a wait, lest one comes there. */
static void block(sigset_t *before)
{
    sigset_t blocked;

    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&blocked, signals[i]);
    sigprocmask(SIG_BLOCK, &blocked, before);
}

void tool_interrupt_wait(unsigned ms)
{
    struct timespec time = {
        .tv_sec = (time_t)(ms / 1000),
        .tv_nsec = (long)(ms % 1000) * 1000000,
    };
    sigset_t before;

    block(&before);
    if (noted == 0)
        (void)pselect(0, NULL, NULL, NULL, &time, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

ssize_t tool_interrupt_read(int descriptor, void *data, size_t size)
{
    sigset_t before;
    fd_set set;
    int ready;

    block(&before);
    if (noted != 0) {
        errno = EINTR;
        ready = -1;
    } else {
        FD_ZERO(&set);
        FD_SET(descriptor, &set);
        ready = pselect(descriptor + 1, &set, NULL, NULL, NULL, &before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready < 0 ? -1 : read(descriptor, data, size);
}

void tool_interrupt_raise(void)
{
    if (noted == 0)
        return;
    signal(noted, SIG_DFL);
    raise(noted);
}
