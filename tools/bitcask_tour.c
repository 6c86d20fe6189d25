/* SPDX-License-Identifier: MIT */
/*
 * bitcask-tour [--pairs N] DIR: a tour of the store with real data, a million readings
 * of weather stations. They are stored, read back and compared one by one, partly
 * replaced and deleted, listed; then the store is closed, opened, and all is compared
 * again. Prints what was done and how fast. Ends with status 1 at the first value that
 * is wrong.
 *
 * The data is the same in every run, so a second tour of the same DIR replaces it.
 */
#include <bitcask/bitcask.h>

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum {
    STATION_COUNT = 500,
    MINUTES_BETWEEN = 10,
    KEY_CAPACITY = 64,
    VALUE_CAPACITY = 256,
    REPLACED_EVERY = 4, /* of the readings, one in so many gets a second value */
    DELETED_EVERY = 10,
    BATCH_COUNT = 256 /* readings that are made between two looks at the clock */
};

/* What a reading is like at some point of the tour. */
enum moment {
    STORED,
    REPLACED,
    FINAL
};

struct reading {
    char key[KEY_CAPACITY];
    char value[VALUE_CAPACITY];
    bool deleted;
};

struct tour {
    const char *directory;
    uint64_t pairs;
    uint64_t keys_before; /* that the store had before the tour */
    struct bitcask *cask;
    struct bitcask_buffer value;
    struct reading batch[BATCH_COUNT];
};

static double now(void)
{
    struct timespec time = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A number that looks random, the same for the same @seed (splitmix64). */
static uint64_t scramble(uint64_t seed)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
    return seed ^ seed >> 31;
}

/* The @at-th of @pairs in an order that jumps about and meets each exactly once. */
static uint64_t shuffled(uint64_t at, uint64_t pairs)
{
    /* A prime above every count that we take has no factor in common with it. */
    return at * UINT64_C(4294967311) % pairs;
}

/* Days since 2024-01-01 as a date; the years up to 2100 have a leap day in each fourth.
 */
static void print_date(uint64_t days, char *text, size_t capacity)
{
    static const unsigned char lengths[] = { 31, 28, 31, 30, 31, 30,
                                             31, 31, 30, 31, 30, 31 };
    uint64_t year = 2024 + days / 1461 * 4;
    unsigned month = 0;

    days %= 1461;
    while (days >= (year % 4 == 0 ? 366u : 365u)) {
        days -= year % 4 == 0 ? 366 : 365;
        year++;
    }
    for (;; month++) {
        unsigned length = lengths[month] + (month == 1 && year % 4 == 0 ? 1u : 0u);

        if (days < length)
            break;
        days -= length;
    }
    snprintf(text, capacity, "%04" PRIu64 "-%02u-%02u", year, month + 1,
             (unsigned)days + 1);
}

/* Reading @index as it was first sent, or, with @corrected, as it was sent again. */
static void print_reading(uint64_t index, bool corrected, struct reading *reading)
{
    static const char *const winds[] = { "N", "NE", "E", "SE", "S", "SW", "W", "NW" };
    static const char *const remarks[] = {
        "",
        "",
        "",
        "; fog until noon",
        "; thunder heard in the distance, no lightning seen",
        "; ice on the anemometer, wind estimated by the observer from the trees",
        "; swallows are back",
        "; power was out for two hours, this is read from the paper strip",
    };
    uint64_t minutes = index / STATION_COUNT * MINUTES_BETWEEN;
    uint64_t dice = scramble(index * 2 + (corrected ? 1 : 0));
    char date[32];

    print_date(minutes / 1440, date, sizeof date);
    snprintf(reading->key, sizeof reading->key,
             "reading/station-%04" PRIu64 "/%sT%02" PRIu64 ":%02" PRIu64,
             index % STATION_COUNT, date, minutes / 60 % 24, minutes % 60);
    snprintf(reading->value, sizeof reading->value,
             "temperature %.1f C; humidity %u %%; pressure %.1f hPa; wind %s %u km/h%s%s",
             (double)(dice % 500) / 10 - 15, 20 + (unsigned)(dice >> 10) % 80,
             970 + (double)((dice >> 18) % 700) / 10, winds[dice >> 28 & 7],
             (unsigned)(dice >> 32) % 90, corrected ? "; corrected" : "",
             remarks[dice >> 40 & 7]);
}

static void make_reading(uint64_t index, enum moment moment, struct reading *reading)
{
    bool corrected =
        moment == REPLACED || (moment == FINAL && index % REPLACED_EVERY == 0);

    print_reading(index, corrected, reading);
    reading->deleted = moment == FINAL && index % DELETED_EVERY == 0;
}

/* Say what failed; false, so that it can be returned. */
static bool refuse(const char *what, const char *why)
{
    fprintf(stderr, "bitcask-tour: %s: %s\n", what, why);
    return false;
}

static void print_step(const char *what, uint64_t count, double seconds)
{
    double rate = seconds > 0 ? (double)count / seconds / 1000 : 0;

    if (count > 0)
        printf("%-34s%10" PRIu64 "%10.2f%12.0f\n", what, count, seconds, rate);
    else
        printf("%-34s%10s%10.2f\n", what, "", seconds);
    fflush(stdout);
}

static bool open_cask(struct tour *tour, uint64_t expected_keys)
{
    struct bitcask_options options = { 0 };

    options.expected_keys = expected_keys;
    return bitcask_open(&tour->cask, tour->directory, &options) == BITCASK_OK ||
           refuse("open", bitcask_error_detail());
}

static bool close_cask(struct tour *tour)
{
    enum bitcask_status status = bitcask_close(tour->cask);

    tour->cask = NULL;
    return status == BITCASK_OK || refuse("close", bitcask_error_detail());
}

/* What is done to each reading of a step. False ends the tour. */
typedef bool reading_visit(struct tour *tour, const struct reading *reading);

/*
 * Visit every @every-th reading as it is at @moment, in their order or @jumping about.
 * Only the visits count as time, not the making of the readings.
 */
static bool walk(struct tour *tour, const char *what, uint64_t every, bool jumping,
                 enum moment moment, reading_visit *visit)
{
    double seconds = 0;
    uint64_t count = 0;

    for (uint64_t at = 0; at < tour->pairs;) {
        size_t made = 0;
        double began;

        for (; made < BATCH_COUNT && at < tour->pairs; at += every) {
            uint64_t index = jumping ? shuffled(at, tour->pairs) : at;

            make_reading(index, moment, &tour->batch[made++]);
        }
        began = now();
        for (size_t i = 0; i < made; i++)
            if (!visit(tour, &tour->batch[i]))
                return false;
        seconds += now() - began;
        count += made;
    }
    print_step(what, count, seconds);
    return true;
}

static bool put(struct tour *tour, const struct reading *reading)
{
    return bitcask_put(tour->cask, bitcask_text(reading->key),
                       bitcask_text(reading->value)) == BITCASK_OK ||
           refuse(reading->key, bitcask_error_detail());
}

static bool delete_key(struct tour *tour, const struct reading *reading)
{
    return bitcask_delete(tour->cask, bitcask_text(reading->key)) == BITCASK_OK ||
           refuse(reading->key, bitcask_error_detail());
}

static bool compare(struct tour *tour, const struct reading *reading)
{
    enum bitcask_status status;

    status = bitcask_get(tour->cask, bitcask_text(reading->key), &tour->value);
    if (reading->deleted)
        return status == BITCASK_NOT_FOUND ||
               refuse(reading->key, "is there, though it was deleted");
    if (status != BITCASK_OK)
        return refuse(reading->key, bitcask_error_detail());
    if (tour->value.size != strlen(reading->value) ||
        memcmp(tour->value.data, reading->value, tour->value.size) != 0)
        return refuse(reading->key, "has another value than was stored");
    return true;
}

/* Count what @iterator gives, and see that it is in order. */
static bool count_keys(struct bitcask_iterator *iterator, uint64_t *count)
{
    struct bitcask_slice key, value;
    enum bitcask_status status;
    char last[KEY_CAPACITY] = "";

    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
        if (key.size >= sizeof last || strncmp(last, key.data, key.size) >= 0)
            return refuse(last, "is followed by a key that is not above it");
        memcpy(last, key.data, key.size);
        last[key.size] = 0;
        (*count)++;
    }
    return status == BITCASK_NOT_FOUND || refuse("list", bitcask_error_detail());
}

static bool list(struct tour *tour)
{
    struct bitcask_iterator_options options = { 0 };
    struct bitcask_iterator *iterator = NULL;
    uint64_t expected = tour->pairs - (tour->pairs + DELETED_EVERY - 1) / DELETED_EVERY;
    uint64_t count = 0;
    double began = now();
    bool good;

    options.sorted = true;
    options.prefix = bitcask_text("reading/");
    if (bitcask_iterator_open(tour->cask, &options, &iterator) != BITCASK_OK)
        return refuse("list", bitcask_error_detail());
    good = count_keys(iterator, &count);
    bitcask_iterator_close(iterator);
    /* An earlier tour may have left more. */
    if (good && (count < expected || (tour->keys_before == 0 && count > expected)))
        good = refuse("list", "the number of keys is not what it should be");
    if (good)
        print_step("list all, sorted", count, now() - began);
    return good;
}

/* What all files of the store take of the disk, in bytes. */
static uint64_t disk_size(const char *directory)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    uint64_t size = 0;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        char path[4096];
        struct stat stat_buffer;
        int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);

        if (length > 0 && (size_t)length < sizeof path && stat(path, &stat_buffer) == 0 &&
            S_ISREG(stat_buffer.st_mode))
            size += (uint64_t)stat_buffer.st_blocks * 512;
    }
    if (stream != NULL)
        closedir(stream);
    return size;
}

static void sum_up(const struct tour *tour, const struct bitcask_stat *stat)
{
    struct rusage usage = { 0 };
    double mebibyte = 1048576;
    uint64_t size;

    getrusage(RUSAGE_SELF, &usage);
    size = disk_size(tour->directory);
    printf("\n%-34s%10" PRIu64 "\n", "keys", stat->key_count);
    printf("%-34s%10" PRIu64 "\n", "data files", stat->segment_count);
    printf("%-34s%10.1f MiB\n", "on disk", (double)size / mebibyte);
    printf("%-34s%10.1f MiB\n", "  of it live data", (double)stat->live_size / mebibyte);
    printf("%-34s%10.1f MiB\n", "  of it replaced and deleted",
           (double)stat->dead_size / mebibyte);
    printf("%-34s%10.1f MiB\n", "  of it hints, for a quick start",
           (double)(size - stat->data_size) / mebibyte);
    printf("%-34s%10.1f MiB\n", "memory, at the most", (double)usage.ru_maxrss / 1024);
    printf("\nEvery value was compared with what was stored: all are right.\n");
}

static bool begin(struct tour *tour)
{
    struct bitcask_stat stat = { 0 };
    double began = now();

    if (!open_cask(tour, tour->pairs))
        return false;
    if (bitcask_stat(tour->cask, &stat) != BITCASK_OK)
        return refuse("stat", bitcask_error_detail());
    tour->keys_before = stat.key_count;
    printf("The store is %s and has %" PRIu64 " keys%s.\n\n", tour->directory,
           stat.key_count, stat.key_count > 0 ? " from before" : "");
    printf("%-34s%10s%10s%12s\n", "step", "count", "seconds", "thousand/s");
    print_step("open", stat.key_count, now() - began);
    return true;
}

static bool close_and_open(struct tour *tour)
{
    struct bitcask_stat stat = { 0 };
    double began = now();

    if (!close_cask(tour))
        return false;
    print_step("close", 0, now() - began);
    began = now();
    if (!open_cask(tour, 0))
        return false;
    if (bitcask_stat(tour->cask, &stat) != BITCASK_OK)
        return refuse("stat", bitcask_error_detail());
    print_step("open again", stat.key_count, now() - began);
    return true;
}

static bool take_tour(struct tour *tour)
{
    struct bitcask_stat stat = { 0 };
    const char *reading = "read and compare, random order";

    if (!begin(tour) || !walk(tour, "store", 1, false, STORED, put) ||
        !walk(tour, reading, 1, true, STORED, compare) ||
        !walk(tour, "replace one in four", REPLACED_EVERY, false, REPLACED, put) ||
        !walk(tour, "delete one in ten", DELETED_EVERY, false, STORED, delete_key) ||
        !list(tour) || !close_and_open(tour) ||
        !walk(tour, reading, 1, true, FINAL, compare))
        return false;
    if (bitcask_stat(tour->cask, &stat) != BITCASK_OK)
        return refuse("stat", bitcask_error_detail());
    if (!close_cask(tour))
        return false;
    sum_up(tour, &stat);
    return fflush(stdout) == 0 || refuse("standard output", strerror(errno));
}

/* The count that @text says; 0 if it says none that we take. */
static uint64_t parse_count(const char *text)
{
    char *end = NULL;
    unsigned long long count;

    errno = 0;
    count = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != 0 || count > 1000000000)
        return 0;
    return count;
}

static void print_usage(FILE *stream)
{
    fputs("usage: bitcask-tour [--pairs N] DIR\n\n"
          "Stores, compares, replaces, deletes and lists N pairs (a million) in the\n"
          "store DIR, closes and opens it, compares again, and tells how fast it was.\n",
          stream);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "pairs", required_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    static struct tour tour = { .pairs = 1000000 };
    bool good;
    int option;

    while ((option = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            return 0;
        }
        tour.pairs = option == 'n' ? parse_count(optarg) : 0;
        if (tour.pairs == 0)
            break;
    }
    if (tour.pairs == 0 || optind + 1 != argc) {
        print_usage(stderr);
        return 64;
    }
    tour.directory = argv[optind];
    good = take_tour(&tour);
    bitcask_close(tour.cask);
    bitcask_buffer_release(&tour.value);
    return good ? 0 : 1;
}
