/* Mutated texts for the C scanners of circuit_io/csrc, built with -fsanitize=address,undefined: no read or write out of
 * bounds, no undefined step, no leak, whatever the text, the positions and the memory at hand.
 *
 *     fuzz                           lists the scanners
 *     fuzz SCANNER RUNS SEED FILE..  RUNS mutations of the files; FUZZ_KEEP=FILE keeps the text that went wrong
 *
 * In a seed file @@ marks a position that the scanner is given, and @12@ is the number 12 itself, in their order; the
 * marks are taken out, so they move with the text around them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../circuit_io/csrc/scan.h"

/* One line for each scanner: X(function, number of positions; -1: as many as the text marks). Its seeds: tests/fuzz/seeds/<function>.* */
#define SCANNERS(X)        \
    X(scan_def_netlist, 8)   \
    X(scan_def_mask, 0)      \
    X(scan_liberty, 0)       \
    X(scan_verilog_quiet, 0) \
    X(scan_verilog_body, 1)  \
    X(scan_verilog_bits, -1) \
    X(scan_verilog_join, -1) \
    X(scan_steiner, 1)

#define DECLARE(name, positions) scan_result *name(const char *, int64_t, const int64_t *, int64_t);
#define ROW(name, positions) {#name, name, positions},
SCANNERS(DECLARE)

typedef struct {
    const char *name;
    scan_result *(*scan)(const char *, int64_t, const int64_t *, int64_t);
    int64_t positions;
} scanner;
static const scanner scanners[] = {SCANNERS(ROW)};
enum { NUM_SCANNERS = sizeof scanners / sizeof *scanners, MAX_TEXT = 1 << 16, MAX_POSITIONS = 64, MAX_SEEDS = 64 };

typedef struct {
    char *data;
    int64_t size;
} bytes;

/* ---- chance ------------------------------------------------------------------------------------------------------- */

static uint64_t state;
static int64_t below(int64_t n) { /* 0..n-1; 0 when n < 1 */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return n > 0 ? (int64_t)((state >> 11) % (uint64_t)n) : 0;
}

/* ---- memory that runs out: the linker sends realloc and calloc here ------------------------------------------------- */

static int64_t allocations_left = INT64_MAX;
void *__real_realloc(void *, size_t);
void *__real_calloc(size_t, size_t);
void *__wrap_realloc(void *p, size_t size) { return allocations_left-- > 0 ? __real_realloc(p, size) : NULL; }
void *__wrap_calloc(size_t n, size_t size) { return allocations_left-- > 0 ? __real_calloc(n, size) : NULL; }

/* ---- mutations ---------------------------------------------------------------------------------------------------- */

static void replace(bytes *text, int64_t at, int64_t gone, const char *by, int64_t size) {
    if (at > text->size) at = text->size;
    if (gone > text->size - at) gone = text->size - at;
    if (text->size - gone + size > MAX_TEXT) return;
    memmove(text->data + at + size, text->data + at + gone, (size_t)(text->size - at - gone));
    if (size) memcpy(text->data + at, by, (size_t)size);
    text->size += size - gone;
}

static int64_t word_end(const bytes *text, int64_t at) {
    while (at < text->size && !scan_is(text->data[at], SCAN_SPACE)) at++;
    return at;
}

static void mutate(bytes *text, const bytes *seeds, int64_t num_seeds) {
    static const char SIGNS[] = " \t\n\r\f\v;:,.+-*/\\()[]{}<>=!&|^'\"#@_0123456789eExXbhAZ";
    static const char *const NUMBERS[] = {"-1", "2147483648", "-99999999999", "9223372036854775808", "1e999", "0.1",
                                          "999999999999999999999999999999", "1_0", "-", "4.9e-324", "\"", "\\\n"};
    const bytes *other = &seeds[below(num_seeds)];
    char piece[512];
    int64_t at = below(text->size + 1), size = below(below(4) ? 24 : sizeof piece), from = below(other->size + 1);
    if (size > other->size - from) size = other->size - from;
    memcpy(piece, other->data + from, (size_t)size);
    const char *number = NUMBERS[below(sizeof NUMBERS / sizeof *NUMBERS)];
    char any = (char)below(256);
    switch (below(9)) {
    case 0: replace(text, at, 1, &any, 1); break;
    case 1: replace(text, at, below(2), &SIGNS[below(sizeof SIGNS - 1)], 1); break;
    case 2: replace(text, at, 1 + below(below(3) ? 3 : 200), NULL, 0); break;
    case 3: replace(text, at, 0, piece, size); break;
    case 4: replace(text, at, size, piece, size); break;
    case 5: at = word_end(text, at) + 1; replace(text, at, word_end(text, at) - at, number, (int64_t)strlen(number)); break;
    case 6: from = word_end(other, from) + 1, at = word_end(text, at) + 1; /* one word by another */
        if (from < other->size && (size = word_end(other, from) - from) <= (int64_t)sizeof piece)
            replace(text, at, word_end(text, at) - at, other->data + from, size);
        break;
    case 7: if (!below(8)) text->size = at; break;
    default: any = SIGNS[below(sizeof SIGNS - 1)]; /* a long run */
        for (int64_t i = below(300); i > 0; i--) replace(text, at, 0, &any, 1);
    }
}

/* ---- runs --------------------------------------------------------------------------------------------------------- */

/* Past the mark at p, or p; its number in *value, -1 for a position. */
static const char *mark_end(const char *p, const char *end, int64_t *value) {
    const char *q = p + 1;
    if (p >= end || *p != '@') return p;
    *value = -1;
    if (q < end && *q != '@' && !scan_int(&q, end, value)) return p;
    return q < end && *q == '@' ? q + 1 : p;
}

static int64_t take_marks(bytes *text, int64_t *where) {
    const char *end = text->data + text->size;
    int64_t count = 0, to = 0, value;
    for (const char *p = text->data, *q; p < end; p = q) {
        q = mark_end(p, end, &value);
        if (q == p) text->data[to++] = *q++;
        else if (count < MAX_POSITIONS) where[count++] = value < 0 ? to : value;
    }
    text->size = to;
    return count;
}

static bool run(const scanner *s, const bytes *text, const int64_t *where, int64_t count) {
    static volatile char sink;
    char *exact = malloc(text->size ? (size_t)text->size : 1); /* no byte more, so that a read beyond is seen */
    memcpy(exact, text->data, (size_t)text->size);
    allocations_left = below(10) ? INT64_MAX : below(200);
    scan_result *r = s->scan(text->size ? exact : exact + 1, text->size, where, count);
    allocations_left = INT64_MAX;
    bool is_done = r && r->status == SCAN_DONE;
    for (int i = 0; r && i < SCAN_COLUMNS; i++) {
        if (r->column[i].failed && is_done) abort();
        for (int64_t k = 0; k < r->column[i].size; k++) sink = r->column[i].data[k];
    }
    (void)sink;
    scan_free(r);
    free(exact);
    return is_done;
}

static bytes read_file(const char *path) {
    bytes out = {malloc(MAX_TEXT), 0};
    FILE *f = fopen(path, "rb");
    if (!f) exit((perror(path), 2));
    out.size = (int64_t)fread(out.data, 1, MAX_TEXT, f);
    fclose(f);
    return out;
}

static bytes last; /* with its marks: a seed to run again */
void __sanitizer_set_death_callback(void (*)(void));
static void keep(void) {
    FILE *f = getenv("FUZZ_KEEP") ? fopen(getenv("FUZZ_KEEP"), "wb") : NULL;
    if (!f) return;
    fwrite(last.data, 1, (size_t)last.size, f);
    fclose(f);
}

int main(int argc, char **argv) {
    const scanner *s = NULL;
    for (int i = 0; i < NUM_SCANNERS; i++) {
        if (argc < 2) puts(scanners[i].name);
        else if (strcmp(argv[1], scanners[i].name) == 0) s = &scanners[i];
    }
    if (argc < 2) return 0;
    if (!s || argc < 5 || argc - 4 > MAX_SEEDS) return fputs("usage: fuzz [SCANNER RUNS SEED FILE..]\n", stderr), 2;
    bytes seeds[MAX_SEEDS], text = {malloc(MAX_TEXT), 0};
    for (int i = 4; i < argc; i++) seeds[i - 4] = read_file(argv[i]);
    last.data = malloc(MAX_TEXT);
    __sanitizer_set_death_callback(keep);
    int64_t runs = atoll(argv[2]), where[MAX_POSITIONS], taken = 0;
    state = (uint64_t)atoll(argv[3]) * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int64_t n = 0; n < runs; n++) {
        const bytes *seed = &seeds[n % (argc - 4)];
        memcpy(text.data, seed->data, (size_t)seed->size);
        text.size = seed->size;
        for (int64_t times = n < argc - 4 ? 0 : 1 + below(below(3) ? 3 : 20); times > 0; times--)
            mutate(&text, seeds, argc - 4);
        memcpy(last.data, text.data, (size_t)text.size);
        last.size = text.size;
        int64_t count = take_marks(&text, where);
        while (count < s->positions) where[count++] = text.size;
        if (s->positions >= 0) count = below(100) ? s->positions : below(s->positions + 2);
        if (!below(50)) where[below(count)] = below(2) ? below(2 * MAX_TEXT) - MAX_TEXT : below(text.size + 1);
        taken += run(s, &text, where, count);
    }
    printf("%s: %lld texts, %lld taken\n", s->name, (long long)runs, (long long)taken);
    for (int i = 4; i < argc; i++) free(seeds[i - 4].data);
    free(text.data);
    free(last.data);
    return 0;
}
