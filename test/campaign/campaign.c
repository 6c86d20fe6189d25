/* SPDX-License-Identifier: MIT */
#include "test/campaign/campaign.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PROGRESS_MS = 10000
};

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The one of this program, and the process that is it, for its last words. */
static struct campaign *running;
static pid_t running_process;
static void (*clean_up_function)(void); /* also when main() is over, and it with it */

/* There with a sanitizer, which catches signals by itself. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    char words[600];
    va_list arguments;
    ssize_t written;

    va_start(arguments, format);
    (void)vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    written = write(STDOUT_FILENO, words, strlen(words));
    (void)written;
}

static void say_alone(const char *replay)
{
    say("  alone: %s%s --seed %" PRIu64 " --replay '%s'\n", running->program,
        running->is_long ? " --long" : "", running->seed, replay);
}

static void say_end(void)
{
    say("%s: %" PRIu64 " passed, %" PRIu64 " failed\n", running->name, running->passed,
        running->failed);
}

static void die(const char *how)
{
    running->failed++;
    say("FAILED: %s\n", how);
    say_alone(running->trying);
    say_end();
    if (clean_up_function != NULL)
        clean_up_function();
}

static void die_by_sanitizer(void)
{
    if (getpid() == running_process)
        die("a sanitizer has ended it");
}

/* Children die as usual. */
static void on_signal(int number)
{
    (void)signal(number, SIG_DFL);
    if (getpid() != running_process) {
        (void)raise(number);
        return;
    }
    if (number == SIGINT || number == SIGTERM) {
        running->failed++;
        say("\nIt was told to end.\n");
        say_end();
        if (clean_up_function != NULL)
            clean_up_function();
    } else {
        die(number == SIGALRM ? "it hangs" : "it crashes");
    }
    _exit(EXIT_FAILURE);
}

static void watch(struct campaign *campaign)
{
    static const int signals[] = { SIGALRM, SIGABRT, SIGINT, SIGTERM,
                                   SIGSEGV, SIGBUS,  SIGFPE, SIGILL };
    size_t count = sizeof signals / sizeof *signals;

    running = campaign;
    running_process = getpid();
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(die_by_sanitizer);
        count -= 4;
    }
    for (size_t i = 0; i < count; i++)
        (void)signal(signals[i], on_signal);
}

void campaign_try(struct campaign *campaign, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(campaign->trying, sizeof campaign->trying, format, arguments);
    va_end(arguments);
}

static void clean_up(void)
{
    if (getpid() == running_process && clean_up_function != NULL)
        clean_up_function();
}

void campaign_on_end(void (*function)(void))
{
    clean_up_function = function;
    (void)atexit(clean_up);
}

static void usage(const struct campaign *campaign)
{
    fprintf(stderr,
            "usage: %s [--long] [--every N] [--seed N] [--replay WORDS] "
            "[--directory DIR] [--export FILE]\n"
            "docs/testing.md explains it.\n",
            campaign->program);
    exit(EXIT_FAILURE);
}

static uint64_t number_of(const struct campaign *campaign, const char *text)
{
    char *end = NULL;
    uint64_t number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
        usage(campaign);
    return number;
}

static FILE *open_export(const char *path)
{
    FILE *stream = fopen(path, "w");

    if (stream == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return stream;
}

void campaign_begin(struct campaign *campaign, int argc, char **argv, const char *name)
{
    struct timespec now;

    memset(campaign, 0, sizeof *campaign);
    campaign->name = name;
    campaign->program = argv[0];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    campaign->seed = ((uint64_t)now.tv_sec << 20 ^ (uint64_t)now.tv_nsec) % 1000000000;
    campaign->every = 1;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--long") == 0) {
            campaign->is_long = true;
            continue;
        }
        if (value == NULL)
            usage(campaign);
        i++;
        if (strcmp(argv[i - 1], "--seed") == 0)
            campaign->seed = number_of(campaign, value);
        else if (strcmp(argv[i - 1], "--every") == 0)
            campaign->every = number_of(campaign, value);
        else if (strcmp(argv[i - 1], "--replay") == 0)
            campaign->replay = value;
        else if (strcmp(argv[i - 1], "--directory") == 0)
            campaign->directory = value;
        else if (strcmp(argv[i - 1], "--export") == 0)
            campaign->export_stream = open_export(value);
        else
            usage(campaign);
    }
    if (campaign->directory == NULL)
        campaign->directory = getenv("TMPDIR");
    if (campaign->directory == NULL || *campaign->directory == '\0')
        campaign->directory = "/tmp";

    if (campaign->every == 0)
        usage(campaign);
    watch(campaign);
    campaign->skip_step = campaign->seed;
    campaign->export_chance = campaign->seed;
    campaign->began_ms = clock_ms();
    campaign->told_ms = campaign->began_ms;
    printf("%s campaign, %s mode, seed %" PRIu64, name,
           campaign->is_long ? "long" : "short", campaign->seed);
    if (campaign->every > 1)
        printf(", one in %" PRIu64, campaign->every);
    printf("\n");
    (void)fflush(stdout);
}

void campaign_count(struct campaign *campaign, const char *what, uint64_t count)
{
    unsigned i = 0;

    while (i < campaign->counter_count && strcmp(campaign->counters[i].what, what) != 0)
        i++;
    if (i == CAMPAIGN_COUNTERS_MAX)
        abort();
    if (i == campaign->counter_count) {
        campaign->counters[i].what = what;
        campaign->counter_count++;
    }
    campaign->counters[i].count += count;
}

bool campaign_skips(struct campaign *campaign)
{
    return campaign->replay == NULL && campaign->skip_step++ % campaign->every != 0;
}

static void tell_progress(struct campaign *campaign)
{
    uint64_t now_ms;

    if (campaign->passed % 64 != 0)
        return;
    now_ms = clock_ms();
    if (now_ms - campaign->told_ms < PROGRESS_MS)
        return;
    campaign->told_ms = now_ms;
    fprintf(stderr, "%s: %" PRIu64 " passed, %" PRIu64 " failed after %" PRIu64 " s\n",
            campaign->name, campaign->passed, campaign->failed,
            (now_ms - campaign->began_ms) / 1000);
}

void campaign_passed(struct campaign *campaign)
{
    campaign->passed++;
    tell_progress(campaign);
}

void campaign_failed(struct campaign *campaign, const char *replay, const char *format,
                     ...)
{
    va_list arguments;

    campaign->failed++;
    printf("FAILED: ");
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    (void)fflush(stdout);
    say_alone(replay);
    if (campaign->failed >= CAMPAIGN_FAILURES_MAX) {
        printf("That is enough.\n");
        exit(campaign_end(campaign));
    }
}

void campaign_refuse_replay(struct campaign *campaign)
{
    printf("No words of a failure: %s\n", campaign->replay);
    exit(campaign_end(campaign));
}

/* Nothing tried is not a success. */
int campaign_end(struct campaign *campaign)
{
    uint64_t ms = clock_ms() - campaign->began_ms;

    if (campaign->export_stream != NULL && fclose(campaign->export_stream) != 0) {
        perror("--export");
        campaign->failed++;
    }
    campaign->export_stream = NULL;
    if (campaign->passed == 0 && campaign->failed == 0) {
        printf("Nothing was tried.\n");
        campaign->failed = 1;
    }
    for (unsigned i = 0; i < campaign->counter_count; i++)
        printf("%s: %" PRIu64 "\n", campaign->counters[i].what,
               campaign->counters[i].count);
    printf("seconds: %" PRIu64 ".%" PRIu64 "\n", ms / 1000, ms % 1000 / 100);
    printf("%s: %" PRIu64 " passed, %" PRIu64 " failed\n", campaign->name,
           campaign->passed, campaign->failed);
    (void)fflush(stdout);
    return campaign->failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

uint64_t campaign_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t campaign_random_below(uint64_t *state, uint64_t limit)
{
    return campaign_random(state) % limit;
}

const char *campaign_memory_directory(const struct campaign *campaign)
{
    if (strcmp(campaign->directory, "/tmp") == 0 && access("/dev/shm", W_OK | X_OK) == 0)
        return "/dev/shm";
    return campaign->directory;
}
