/* See scan.h. */
#include "scan.h"

#include <math.h>
#include <stdlib.h>

/* ---- growable columns ------------------------------------------------------------------------------------------- */

bool scan_grow(scan_vec *v, int64_t more) {
    if (v->failed || more < 0 || v->size > INT64_MAX / 4 - more) return !(v->failed = true);
    int64_t room = v->room < 32 ? 64 : v->room + v->room / 2;
    if (room < v->size + more) room = v->size + more;
    char *data = (uint64_t)room <= SIZE_MAX ? realloc(v->data, (size_t)room) : NULL;
    if (!data) return !(v->failed = true);
    v->data = data;
    v->room = room;
    return true;
}

void scan_release(scan_vec *v) {
    free(v->data);
    *v = (scan_vec){0};
}

/* ---- the result of one call ------------------------------------------------------------------------------------- */

scan_result *scan_new(void) { return calloc(1, sizeof(scan_result)); }

scan_result *scan_seal(scan_result *r) {
    if (!r) return NULL;
    for (int i = 0; i < SCAN_COLUMNS; i++)
        if (r->column[i].failed) r->status = SCAN_NOT_MINE;
    if (r->status != SCAN_DONE)
        for (int i = 0; i < SCAN_COLUMNS; i++) scan_release(&r->column[i]);
    return r;
}

void scan_drop(scan_result *r, int64_t column) {
    if (r && column >= 0 && column < SCAN_COLUMNS) scan_release(&r->column[column]);
}

void scan_free(scan_result *r) {
    if (!r) return;
    for (int i = 0; i < SCAN_COLUMNS; i++) scan_release(&r->column[i]);
    free(r);
}

/* ---- a table of names ------------------------------------------------------------------------------------------- */

enum { FAR = 4096 }; /* steps from a name's place to its slot: more than chance brings, so the names were made to collide */

static uint64_t load(const char *p, int64_t size) { /* up to 8 bytes */
    uint64_t x = 0;
    if (size >= 8) {
        memcpy(&x, p, 8);
    } else if (size >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + size - 4, 4);
        x = (uint64_t)high << 32 | low;
    } else {
        for (int64_t i = 0; i < size; i++) x = x << 8 | (unsigned char)p[i];
    }
    return x;
}

uint32_t scan_hash(const char *word, int64_t size) {
    uint64_t h = (uint64_t)size * UINT64_C(0x9E3779B97F4A7C15);
    int64_t i = 0;
    do {
        int64_t left = size - i;
        h = (h ^ (left < 8 && size >= 8 ? load(word + size - 8, 8) : load(word + i, left)));
        h *= UINT64_C(0xD6E8FEB86659FD93);
        h ^= h >> 32;
        i += 8;
    } while (i < size);
    h *= UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(h >> 32);
}

bool scan_names_open(scan_names *t) {
    t->mask = 1023;
    t->slots = calloc((size_t)t->mask + 1, sizeof *t->slots);
    scan_push_i64(&t->offsets, 0);
    t->failed = !t->slots || t->offsets.failed;
    return !t->failed;
}

void scan_names_close(scan_names *t) {
    free(t->slots);
    scan_release(&t->blob);
    scan_release(&t->offsets);
    *t = (scan_names){0};
}

void scan_names_move(scan_names *t, scan_vec *blob, scan_vec *offsets) {
    *blob = t->blob;
    *offsets = t->offsets;
    blob->failed |= t->failed;
    t->blob = t->offsets = (scan_vec){0};
}

static bool same(const scan_names *t, int32_t id, const char *word, int64_t size) {
    const int64_t *at = (const int64_t *)(const void *)t->offsets.data + id;
    return at[1] - at[0] == size && (size == 0 || memcmp(t->blob.data + at[0], word, (size_t)size) == 0);
}

int32_t scan_find(const scan_names *t, const char *word, int64_t size, uint32_t hash) {
    if (t->failed) return -1;
    for (uint64_t at = hash & t->mask;; at = (at + 1) & t->mask) {
        uint64_t slot = t->slots[at];
        if (!slot) return -1;
        int32_t id = (int32_t)((uint32_t)slot - 1);
        if ((uint32_t)(slot >> 32) == hash && same(t, id, word, size)) return id;
    }
}

static bool widen(scan_names *t) {
    uint64_t mask = t->mask * 2 + 1;
    uint64_t *slots = mask < SIZE_MAX / sizeof *slots ? calloc((size_t)mask + 1, sizeof *slots) : NULL;
    if (!slots) return !(t->failed = true);
    for (uint64_t i = 0; i <= t->mask; i++) {
        if (!t->slots[i]) continue;
        uint64_t at = (t->slots[i] >> 32) & mask;
        while (slots[at]) at = (at + 1) & mask;
        slots[at] = t->slots[i];
    }
    free(t->slots);
    t->slots = slots;
    t->mask = mask;
    return true;
}

int32_t scan_append(scan_names *t, const char *word, int64_t size) {
    if (t->failed || t->count >= INT32_MAX - 1) {
        t->failed = true;
        return -1;
    }
    scan_push(&t->blob, word, size);
    scan_push_i64(&t->offsets, t->blob.size);
    t->failed = t->blob.failed || t->offsets.failed;
    return t->failed ? -1 : (int32_t)t->count++;
}

void scan_find_all(const scan_names *t, const scan_word *words, int count, int32_t *ids) {
    const int64_t *offsets = (const int64_t *)(const void *)t->offsets.data;
    for (int i = 0; i < count; i++) scan_prefetch(t, words[i].hash);
    for (int i = 0; i < count && !t->failed; i++) {
        ids[i] = (int32_t)((uint32_t)t->slots[words[i].hash & t->mask] - 1);
        if (ids[i] >= 0) SCAN_PREFETCH(&offsets[ids[i]]);
    }
    for (int i = 0; i < count && !t->failed; i++)
        if (ids[i] >= 0) SCAN_PREFETCH(t->blob.data + offsets[ids[i]]);
    for (int i = 0; i < count; i++) ids[i] = scan_find(t, words[i].at, words[i].size, words[i].hash);
}

int32_t scan_intern(scan_names *t, const char *word, int64_t size, bool *fresh) {
    return scan_intern_hashed(t, word, size, scan_hash(word, size), fresh);
}

int32_t scan_intern_hashed(scan_names *t, const char *word, int64_t size, uint32_t hash, bool *fresh) {
    int32_t id = scan_find(t, word, size, hash);
    if (fresh) *fresh = id < 0;
    if (id >= 0) return id;
    if ((uint64_t)t->count >= t->mask / 4 * 3 && !widen(t)) return -1;
    id = scan_append(t, word, size);
    if (id < 0) return -1;
    uint64_t at = hash & t->mask;
    for (int steps = 0; t->slots[at]; at = (at + 1) & t->mask)
        if (++steps > FAR) return t->failed = true, -1;
    t->slots[at] = (uint64_t)hash << 32 | ((uint32_t)id + 1);
    return id;
}

/* ---- characters and numbers --------------------------------------------------------------------------------------- */

enum { S = SCAN_SPACE, W = SCAN_WORD, D = SCAN_WORD | SCAN_DIGIT };

const unsigned char scan_class[256] = {
    [' '] = S, ['\t'] = S, ['\n'] = S, ['\r'] = S, ['\f'] = S, ['\v'] = S,
    ['0'] = D, ['1'] = D, ['2'] = D, ['3'] = D, ['4'] = D, ['5'] = D, ['6'] = D, ['7'] = D, ['8'] = D, ['9'] = D,
    ['A'] = W, ['B'] = W, ['C'] = W, ['D'] = W, ['E'] = W, ['F'] = W, ['G'] = W, ['H'] = W, ['I'] = W, ['J'] = W,
    ['K'] = W, ['L'] = W, ['M'] = W, ['N'] = W, ['O'] = W, ['P'] = W, ['Q'] = W, ['R'] = W, ['S'] = W, ['T'] = W,
    ['U'] = W, ['V'] = W, ['W'] = W, ['X'] = W, ['Y'] = W, ['Z'] = W, ['_'] = W,
    ['a'] = W, ['b'] = W, ['c'] = W, ['d'] = W, ['e'] = W, ['f'] = W, ['g'] = W, ['h'] = W, ['i'] = W, ['j'] = W,
    ['k'] = W, ['l'] = W, ['m'] = W, ['n'] = W, ['o'] = W, ['p'] = W, ['q'] = W, ['r'] = W, ['s'] = W, ['t'] = W,
    ['u'] = W, ['v'] = W, ['w'] = W, ['x'] = W, ['y'] = W, ['z'] = W,
};

bool scan_int(const char **p, const char *end, int64_t *value) {
    const char *q = *p;
    bool minus = q < end && *q == '-';
    q += minus;
    const char *first = q;
    int64_t x = 0;
    for (; q < end && scan_is(*q, SCAN_DIGIT); q++) {
        if (q - first >= 18) return false;
        x = x * 10 + (*q - '0');
    }
    if (q == first) return false;
    *value = minus ? -x : x;
    *p = q;
    return true;
}

/* Powers of ten that a double holds exactly. */
static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool long_decimal(const char *word, int64_t size, double *value) { /* more digits than one product rounds right */
    char copy[64], *stop = copy;
    if (size >= (int64_t)sizeof copy) return false;
    memcpy(copy, word, (size_t)size);
    copy[size] = 0;
    *value = strtod(copy, &stop); /* a locale whose point is a comma stops early */
    return stop == copy + size && isfinite(*value);
}

bool scan_decimal(const char *word, int64_t size, double *value) {
    const char *p = word, *end = word + size;
    bool minus = p < end && *p == '-', has_digit = false, exact = true;
    if (p < end && (*p == '-' || *p == '+')) p++;
    uint64_t digits = 0;
    int64_t power = 0;
    for (bool after = false; p < end; p++) {
        if (*p == '.' && !after) {
            after = true;
        } else if (scan_is(*p, SCAN_DIGIT)) {
            has_digit = true;
            exact &= digits < UINT64_C(900000000000000);
            if (exact) digits = digits * 10 + (uint64_t)(*p - '0');
            power -= after;
        } else {
            break;
        }
    }
    if (!has_digit) return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        int64_t exponent = 0;
        bool negative = ++p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) p++;
        if (p == end || !scan_is(*p, SCAN_DIGIT)) return false;
        for (; p < end && scan_is(*p, SCAN_DIGIT); p++)
            if (exponent < 100000) exponent = exponent * 10 + (*p - '0');
        power += negative ? -exponent : exponent;
    }
    if (p != end) return false;
    if (!exact || power < -22 || power > 22) return long_decimal(word, size, value);
    double x = power < 0 ? (double)digits / TENS[-power] : (double)digits * TENS[power];
    *value = minus ? -x : x;
    return true;
}
