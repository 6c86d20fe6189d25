/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "targets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A chart of ratios: a group of bars for each row, a bar for each rival, on an axis of
 * powers of two on which 1 is "as fast as we are". Ticks are what must be reached, and
 * two strokes before a number say that its bar is longer than the axis.
 */
enum {
    LABEL_WIDTH = 290,
    PLOT_WIDTH = 560,
    VALUE_WIDTH = 70,
    BAR_HEIGHT = 11,
    GROUP_GAP = 9,
    HEAD_HEIGHT = 64,
    FOOT_HEIGHT = 16,
    POWER_MIN = -2, /* of two, at the ends of the axis */
    POWER_MAX = 6
};

static const struct {
    const char *rival;
    const char *colour;
} colours[] = {
    { "lmdb", "#4477aa" },    { "tkrzw", "#228833" },   { "kyoto", "#aa3377" },
    { "leveldb", "#ccbb44" }, { "rocksdb", "#ee6677" },
};

struct chart {
    const struct bench_report_facts *facts;
    FILE *file;
    unsigned y;
};

static const char *colour_of(const char *rival)
{
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (strcmp(colours[i].rival, rival) == 0)
            return colours[i].colour;
    return "#777777";
}

static double place(double ratio)
{
    double power = log2(ratio);

    if (power < POWER_MIN)
        power = POWER_MIN;
    if (power > POWER_MAX)
        power = POWER_MAX;
    return LABEL_WIDTH + (power - POWER_MIN) * PLOT_WIDTH / (POWER_MAX - POWER_MIN);
}

/* Whether the bar would be longer than the axis. */
static bool is_cut(double ratio)
{
    return log2(ratio) < POWER_MIN || log2(ratio) > POWER_MAX;
}

static struct bench_spread ratio_of(const struct chart *chart,
                                    const struct bench_row *row,
                                    const struct bench_driver *rival)
{
    struct bench_row theirs = bench_row_compared(row);

    if (bench_report_ours(rival))
        return (struct bench_spread){ 0 };
    return bench_results_ratio(chart->facts->results, row, &bench_driver_bitcask, &theirs,
                               rival);
}

static unsigned bars_of(const struct chart *chart, const struct bench_row *row)
{
    unsigned count = 0;

    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        count += ratio_of(chart, row, bench_drivers[i]).count > 0;
    return count;
}

static void draw_bar(struct chart *chart, const struct bench_row *row,
                     const struct bench_driver *rival, const struct bench_spread *ratio)
{
    const struct bench_target *target = bench_target_find(row, rival->name);
    double from = place(1), to = place(ratio->median);
    char text[BENCH_TEXT_SIZE];

    if (to < from) {
        from = to;
        to = place(1);
    }
    fprintf(chart->file,
            "<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" fill=\"%s\">"
            "<title>%s: %.2f (%.2f..%.2f)</title></rect>\n",
            from, chart->y, to - from + 0.5, BAR_HEIGHT - 2, colour_of(rival->name),
            rival->name, ratio->median, ratio->min, ratio->max);
    fprintf(chart->file,
            "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#222222\" stroke-width=\"1\"/>\n",
            place(ratio->min), chart->y + (BAR_HEIGHT - 2) / 2.0, place(ratio->max));
    if (target != NULL)
        fprintf(chart->file,
                "<path d=\"M%.1f %uv%d\" stroke=\"#000000\" stroke-width=\"2\"/>\n",
                place(target->must), chart->y - 1, BAR_HEIGHT);
    fprintf(chart->file, "<text x=\"%d\" y=\"%u\">%s%s</text>\n",
            LABEL_WIDTH + PLOT_WIDTH + 6, chart->y + BAR_HEIGHT - 3,
            is_cut(ratio->median) ? "// " : "", bench_text_ratio(ratio->median, text));
    chart->y += BAR_HEIGHT;
}

static void draw_row(struct chart *chart, const struct bench_row *row)
{
    unsigned bars = bars_of(chart, row);
    char name[128];

    if (bars == 0)
        return;
    bench_report_row_name(row, name, sizeof name);
    fprintf(chart->file, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>\n",
            LABEL_WIDTH - 8, chart->y + bars * BAR_HEIGHT / 2 + 3, name);
    for (unsigned i = 0; bench_drivers[i] != NULL; i++) {
        struct bench_spread ratio = ratio_of(chart, row, bench_drivers[i]);

        if (ratio.count > 0)
            draw_bar(chart, row, bench_drivers[i], &ratio);
    }
    chart->y += GROUP_GAP;
}

/* Whether @rival has a bar in one of the @count rows. */
static bool is_drawn(const struct chart *chart, const struct bench_row *rows,
                     size_t count, const struct bench_driver *rival)
{
    for (size_t i = 0; i < count; i++)
        if (ratio_of(chart, &rows[i], rival).count > 0)
            return true;
    return false;
}

static void draw_head(struct chart *chart, const struct bench_row *rows, size_t count)
{
    double x = LABEL_WIDTH;

    fprintf(chart->file,
            "<text x=\"%d\" y=\"18\" font-size=\"14\">How many times faster bitcask is "
            "(a black tick: what it must be, if there is a target)</text>\n",
            LABEL_WIDTH);
    for (unsigned i = 0; bench_drivers[i] != NULL; i++) {
        const char *name = bench_drivers[i]->name;

        if (!is_drawn(chart, rows, count, bench_drivers[i]))
            continue;
        fprintf(chart->file,
                "<rect x=\"%.0f\" y=\"28\" width=\"10\" height=\"10\" fill=\"%s\"/>"
                "<text x=\"%.0f\" y=\"37\">%s</text>\n",
                x, colour_of(name), x + 14, name);
        x += 90;
    }
}

static void draw_axis(struct chart *chart, unsigned height)
{
    for (int power = POWER_MIN; power <= POWER_MAX; power++) {
        double x = place(exp2(power));

        fprintf(chart->file,
                "<path d=\"M%.1f %dV%u\" stroke=\"%s\" stroke-width=\"1\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                x, HEAD_HEIGHT - 6, height - FOOT_HEIGHT,
                power == 0 ? "#000000" : "#dddddd", x, HEAD_HEIGHT - 10, exp2(power));
    }
}

void bench_report_svg(const struct bench_report_facts *facts, FILE *file)
{
    struct chart chart = { facts, file, HEAD_HEIGHT };
    unsigned width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH;
    unsigned height = HEAD_HEIGHT + FOOT_HEIGHT;
    size_t count;
    struct bench_row *rows = bench_results_rows(facts->results, &count);

    for (size_t i = 0; i < count; i++) {
        unsigned bars = bars_of(&chart, &rows[i]);

        height += bars > 0 ? bars * BAR_HEIGHT + GROUP_GAP : 0;
    }
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "viewBox=\"0 0 %u %u\" font-family=\"sans-serif\" font-size=\"11\">\n"
            "<rect width=\"%u\" height=\"%u\" fill=\"#ffffff\"/>\n",
            width, height, width, height, width, height);
    draw_head(&chart, rows, count);
    draw_axis(&chart, height);
    for (size_t i = 0; i < count; i++)
        draw_row(&chart, &rows[i]);
    fprintf(file, "</svg>\n");
    free(rows);
}
