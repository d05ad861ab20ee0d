/* What the scanners of all formats share: growable columns, a table of names, exact numbers, classes of characters.
 *
 * A scanner is `scan_result *scan_<format>_<what>(const char *text, int64_t size, const int64_t *where, int64_t count)`:
 * it reads text[0..size), which no NUL need end; `where` holds positions that the caller found, and the scanner checks
 * that they lie in the text. It returns columns that equal those of the Python reader bit by bit, or the status
 * SCAN_NOT_MINE, and Python reads on: for anything odd, for every fault of the text, and when memory runs out. It writes
 * no message. It keeps no state between calls and recurses on nothing that the text decides.
 */
#ifndef GSR_SCAN_H
#define GSR_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__) && defined(__GNUC__)
#include <emmintrin.h>
#endif

#if defined(_WIN32)
#define SCAN_API __declspec(dllexport)
#else
#define SCAN_API __attribute__((visibility("default")))
#endif

#if defined(__GNUC__)
#define SCAN_PREFETCH(p) __builtin_prefetch(p)
#else
#define SCAN_PREFETCH(p) ((void)(p))
#endif

/* ---- growable columns ------------------------------------------------------------------------------------------- */

/* Bytes in one block. When memory runs out `failed` is set and nothing more is added, so look at `size` before reading
 * what was pushed; `scan_seal` turns a failed column into SCAN_NOT_MINE. All zero is an empty column. */
typedef struct {
    char *data;
    int64_t size, room;
    bool failed;
} scan_vec;

bool scan_grow(scan_vec *v, int64_t more); /* makes room for `more` bytes */

static inline void scan_push(scan_vec *v, const void *data, int64_t size) {
    if (v->room - v->size < size && !scan_grow(v, size)) return;
    if (size > 0) memcpy(v->data + v->size, data, (size_t)size);
    v->size += size;
}
static inline void scan_push_i8(scan_vec *v, int8_t x) { scan_push(v, &x, sizeof x); }
static inline void scan_push_i32(scan_vec *v, int32_t x) { scan_push(v, &x, sizeof x); }
static inline void scan_push_i64(scan_vec *v, int64_t x) { scan_push(v, &x, sizeof x); }
static inline void scan_push_f64(scan_vec *v, double x) { scan_push(v, &x, sizeof x); }
void scan_release(scan_vec *v);

/* ---- the result of one call ------------------------------------------------------------------------------------- */

enum { SCAN_DONE = 0, SCAN_NOT_MINE = 1, SCAN_COLUMNS = 64 };

typedef struct { /* `native.py` holds the same layout */
    int64_t status;
    int64_t number[7]; /* what a format likes to say beside its columns, such as where it stopped */
    scan_vec column[SCAN_COLUMNS];
} scan_result;

scan_result *scan_new(void);              /* NULL: no memory */
scan_result *scan_seal(scan_result *r);   /* r, its columns emptied when it is not SCAN_DONE or one of them failed */
SCAN_API void scan_drop(scan_result *r, int64_t column); /* frees one column */
SCAN_API void scan_free(scan_result *r);

/* ---- a table of names: bytes to a number, in order of first appearance -------------------------------------------- */

/* `blob` and `offsets` (int64, one more than there are names) are what `circuit_io.names.Names` holds. */
typedef struct {
    scan_vec blob, offsets;
    uint64_t *slots; /* high half: hash, low half: number + 1 */
    uint64_t mask;
    int64_t count;
    bool failed;
} scan_names;

bool scan_names_open(scan_names *t); /* from all zero; false: no memory */
void scan_names_close(scan_names *t); /* frees the slots, and the names unless they were moved to a result */
void scan_names_move(scan_names *t, scan_vec *blob, scan_vec *offsets); /* gives the names away */
uint32_t scan_hash(const char *word, int64_t size);
int32_t scan_find(const scan_names *t, const char *word, int64_t size, uint32_t hash); /* -1: not there */
int32_t scan_intern_hashed(scan_names *t, const char *word, int64_t size, uint32_t hash, bool *fresh);
int32_t scan_intern(scan_names *t, const char *word, int64_t size, bool *fresh); /* -1: failed; fresh may be NULL */
int32_t scan_append(scan_names *t, const char *word, int64_t size); /* takes a number without becoming findable */

/* A name that is looked up long after it was met costs less when its hash is taken and its place fetched at once. */
static inline void scan_prefetch(const scan_names *t, uint32_t hash) { SCAN_PREFETCH(&t->slots[hash & t->mask]); }

typedef struct {
    const char *at;
    int64_t size;
    uint32_t hash;
} scan_word;

/* The numbers of many names at once, -1 where there is none: in a big table several times as fast as one by one. */
void scan_find_all(const scan_names *t, const scan_word *words, int count, int32_t *ids);

/* ---- characters and numbers --------------------------------------------------------------------------------------- */

enum { SCAN_SPACE = 1, SCAN_WORD = 2, SCAN_DIGIT = 4 }; /* as \s, \w and \d of a bytes pattern in Python */
extern const unsigned char scan_class[256];

static inline bool scan_is(char c, int classes) { return scan_class[(unsigned char)c] & classes; }
static inline const char *scan_skip(const char *p, const char *end, int classes) { /* past all of these classes */
    while (p < end && scan_is(*p, classes)) p++;
    return p;
}
/* The first space or `stop` from p on, or end. */
static inline const char *scan_until(const char *p, const char *end, char stop) {
#if defined(__SSE2__) && defined(__GNUC__)
    for (; end - p >= 16; p += 16) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p), low = _mm_sub_epi8(c, _mm_set1_epi8('\t'));
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(c, _mm_set1_epi8(stop)));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(low, _mm_set1_epi8('\r' - '\t')), low));
        int mask = _mm_movemask_epi8(hit);
        if (mask) return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && *p != stop && !scan_is(*p, SCAN_SPACE)) p++;
    return p;
}
static inline bool scan_equal(const char *word, int64_t size, const char *literal) {
    return size == (int64_t)strlen(literal) && memcmp(word, literal, (size_t)size) == 0;
}

/* The whole number -?\d+ at *p, of at most 18 digits; *p moves past it. False: no such number, *p stays. */
bool scan_int(const char **p, const char *end, int64_t *value);

/* A decimal number [+-]?(\d+.?\d*|.\d+)([eE][+-]?\d+)? that is the whole word, rounded as Python's float does. False:
 * not of that form (an underscore, inf, nan ..), or not finite. */
bool scan_decimal(const char *word, int64_t size, double *value);

#endif
