/* Rectilinear Steiner trees as `circuit_io/steiner.py` makes them: the same trees, segments in the same order.
 *
 * `text` holds int32 numbers: the count of points of each of where[0] nets, then x and y of every point, by net.
 * Columns: 0 the net of each segment, int32; 1 its ends x0, y0, x1, y1, int32.
 */
#include "scan.h"

#include <stdlib.h>

enum { ROUNDS = 3, BLOCK = 256, WIDE = 2048 };

typedef struct {
    int32_t first, second;   /* segments */
    int32_t node, one, other; /* their common node and their other ends */
    int32_t saving, x, y;    /* what the median saves, and where it is */
} pair;

typedef struct {
    int64_t room; /* points of a net for which there is space; nodes and segments have four times that */
    int32_t *x, *y, *a, *b, *a_new, *b_new, *distance, *parent, *next, *begin, *half, *best;
    scan_vec pairs;
} desk;

static bool reserve(desk *d, int64_t points) {
    if (points <= d->room) return true;
    int64_t room = points < 64 ? 64 : points * 2, wide = 4 * room + 8;
    int32_t **column[] = {&d->x, &d->y, &d->a, &d->b, &d->a_new, &d->b_new, &d->distance, &d->parent, &d->next, &d->begin,
                          &d->best};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) {
        free(*column[i]);
        *column[i] = malloc((size_t)wide * sizeof(int32_t));
        if (!*column[i]) return d->room = 0, false;
    }
    free(d->half);
    d->half = malloc((size_t)wide * 2 * sizeof(int32_t));
    d->room = d->half ? room : 0;
    return d->half;
}

static void leave(desk *d) {
    int32_t *column[] = {d->x, d->y, d->a, d->b, d->a_new, d->b_new, d->distance, d->parent, d->next, d->begin, d->half, d->best};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) free(column[i]);
    scan_release(&d->pairs);
}

/* Brings points nearer to the tree, which has gained `point` at px, py; the largest distance that is left. */
static int32_t approach(const int32_t *x, const int32_t *y, int32_t *distance, int32_t *parent, int64_t size,
                        int32_t px, int32_t py, int32_t point) {
    int32_t most = -1;
    for (int64_t k = 0; k < size; k++) {
        int32_t dx = x[k] - px, dy = y[k] - py;
        int32_t far = (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
        int32_t known = distance[k]; /* -1 in the tree */
        bool closer = far < known;
        known = closer ? far : known;
        distance[k] = known;
        parent[k] = closer ? point : parent[k];
        most = known > most ? known : most;
    }
    return most;
}

/* Segments a - b of a minimum tree of n points: R. C. Prim, 1957; among equals the lowest number. */
static void prim(const desk *d, int64_t n) {
    for (int64_t k = 0; k < n; k++) d->distance[k] = INT32_MAX;
    int64_t point = 0;
    for (int64_t step = 0; step < n - 1; step++) {
        d->distance[point] = -1;
        approach(d->x, d->y, d->distance, d->parent, n, d->x[point], d->y[point], (int32_t)point);
        uint32_t least = UINT32_MAX;
        for (int64_t k = 0; k < n; k++) { /* -1 is the largest of all */
            if ((uint32_t)d->distance[k] < least) least = (uint32_t)d->distance[k], point = k;
        }
        d->a[step] = (int32_t)point;
        d->b[step] = d->parent[point];
    }
}

/* Points near each other of a net with many. Points that the tree gained since `seen` have not been looked at; they are
 * `bound` away at least. */
typedef struct {
    int64_t from, size, seen, nearest; /* nearest: distance, then number, of the next point */
    int32_t x0, y0, x1, y1, most, bound;
} hood;

static int32_t gap(const hood *h, int32_t x, int32_t y) {
    int32_t dx = x < h->x0 ? h->x0 - x : x > h->x1 ? x - h->x1 : 0, dy = y < h->y0 ? h->y0 - y : y > h->y1 ? y - h->y1 : 0;
    return dx + dy;
}

typedef struct {
    int32_t *x, *y, *number, *place, *tree; /* x, y, number: by place; tree: its points in their order */
    int64_t *key, in_tree;
    hood *hoods;
    int64_t count;
} town;

static int by_key(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Looks at all points of the tree that a hood has not seen, in their order, and finds its nearest point anew. */
static void catch_up(const desk *d, const town *t, hood *h) {
    int32_t *distance = d->distance + h->from, *parent = d->parent + h->from;
    for (; h->seen < t->in_tree; h->seen++) {
        int32_t point = t->tree[h->seen], x = d->x[point], y = d->y[point];
        if (gap(h, x, y) < h->most) {
            h->most = approach(t->x + h->from, t->y + h->from, distance, parent, h->size, x, y, point);
        }
    }
    h->nearest = INT64_MAX;
    for (int64_t k = 0; k < h->size; k++) {
        int64_t key = distance[k] < 0 ? INT64_MAX : ((int64_t)distance[k] << 32) | t->number[h->from + k];
        h->nearest = key < h->nearest ? key : h->nearest;
    }
    h->bound = INT32_MAX;
}

/* Hoods of about BLOCK points: strips of rows, cut along x. */
static void settle(const desk *d, town *t, int64_t n) {
    int32_t x0 = d->x[0], y0 = d->y[0], y1 = y0;
    for (int64_t k = 1; k < n; k++) {
        x0 = d->x[k] < x0 ? d->x[k] : x0, y0 = d->y[k] < y0 ? d->y[k] : y0, y1 = d->y[k] > y1 ? d->y[k] : y1;
    }
    int64_t strips = 1;
    while (strips * strips * BLOCK < n) strips++;
    for (int64_t k = 0; k < n; k++) {
        int64_t strip = (d->y[k] - y0) * strips / ((int64_t)y1 - y0 + 1);
        t->key[k] = (strip << 52) | ((int64_t)(d->x[k] - x0) << 26) | k;
    }
    qsort(t->key, (size_t)n, sizeof *t->key, by_key);
    t->count = (n + BLOCK - 1) / BLOCK;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t from = i * BLOCK, end = from + BLOCK < n ? from + BLOCK : n;
        hood h = {from, end - from, 0, INT64_MAX, INT32_MAX, INT32_MAX, INT32_MIN, INT32_MIN, INT32_MAX, INT32_MAX};
        for (int64_t k = from; k < end; k++) {
            int32_t number = (int32_t)(t->key[k] & ((1 << 26) - 1)), x = d->x[number], y = d->y[number];
            t->number[k] = number, t->place[number] = (int32_t)k, t->x[k] = x, t->y[k] = y;
            h.x0 = x < h.x0 ? x : h.x0, h.x1 = x > h.x1 ? x : h.x1, h.y0 = y < h.y0 ? y : h.y0, h.y1 = y > h.y1 ? y : h.y1;
            d->distance[k] = INT32_MAX;
        }
        t->hoods[i] = h;
    }
}

/* The tree of `prim`; a hood is looked at only where it may hold the next point. False: no memory. */
static bool prim_wide(const desk *d, int64_t n) {
    size_t size = (size_t)n * sizeof(int32_t);
    town t = {malloc(size), malloc(size), malloc(size), malloc(size), malloc(size), malloc(2 * size), 0,
              malloc((size_t)(n / BLOCK + 1) * sizeof(hood)), 0};
    bool ok = t.x && t.y && t.number && t.place && t.tree && t.key && t.hoods;
    if (ok) settle(d, &t, n);
    int32_t point = 0;
    for (int64_t step = 0; ok && step < n - 1; step++) {
        t.tree[t.in_tree++] = point;
        d->distance[t.place[point]] = -1;
        t.hoods[t.place[point] / BLOCK].bound = 0;
        int64_t nearest = INT64_MAX;
        for (hood *h = t.hoods; h < t.hoods + t.count; h++) {
            int32_t away = gap(h, d->x[point], d->y[point]);
            if (away < h->most && away < h->bound) h->bound = away;
            if (h->bound > 0 && h->nearest < nearest) nearest = h->nearest;
        }
        for (bool again = true; again;) {
            again = false;
            for (hood *h = t.hoods; h < t.hoods + t.count; h++) {
                if (h->bound == INT32_MAX || h->bound > nearest >> 32) continue;
                catch_up(d, &t, h);
                if (h->nearest < nearest) nearest = h->nearest;
                again = true;
            }
        }
        nearest = INT64_MAX;
        for (hood *h = t.hoods; h < t.hoods + t.count; h++) nearest = h->nearest < nearest ? h->nearest : nearest;
        point = (int32_t)(nearest & INT32_MAX);
        d->a[step] = point;
        d->b[step] = d->parent[t.place[point]];
    }
    free(t.x), free(t.y), free(t.number), free(t.place), free(t.tree), free(t.key), free(t.hoods);
    return ok;
}

static int32_t low3(int32_t p, int32_t q, int32_t r) { return p < q ? (p < r ? p : r) : (q < r ? q : r); }
static int32_t high3(int32_t p, int32_t q, int32_t r) { return p > q ? (p > r ? p : r) : (q > r ? q : r); }

/* All pairs of segments at a common node that a median makes shorter, and the best pair of each segment. */
static bool find_pairs(desk *d, int64_t nodes, int64_t segments) {
    memset(d->begin, 0, (size_t)(nodes + 1) * sizeof *d->begin);
    for (int64_t s = 0; s < segments; s++) d->begin[d->a[s] + 1]++, d->begin[d->b[s] + 1]++, d->best[s] = -1;
    for (int64_t k = 0; k < nodes; k++) d->begin[k + 1] += d->begin[k];
    int32_t *next = d->next;
    memcpy(next, d->begin, (size_t)nodes * sizeof *next);
    for (int64_t s = 0; s < segments; s++) d->half[next[d->a[s]]++] = (int32_t)s;
    for (int64_t s = 0; s < segments; s++) d->half[next[d->b[s]]++] = (int32_t)s;
    d->pairs.size = 0;
    const int32_t *x = d->x, *y = d->y;
    for (int32_t p = 0; p < nodes; p++) {
        for (int32_t i = d->begin[p]; i < d->begin[p + 1]; i++) {
            int32_t s = d->half[i], q = d->a[s] == p ? d->b[s] : d->a[s];
            for (int32_t j = d->begin[p]; j < i; j++) {
                int32_t t = d->half[j], r = d->a[t] == p ? d->b[t] : d->a[t];
                int32_t lx = low3(x[p], x[q], x[r]), hx = high3(x[p], x[q], x[r]);
                int32_t ly = low3(y[p], y[q], y[r]), hy = high3(y[p], y[q], y[r]);
                int32_t saving = abs(x[p] - x[q]) + abs(y[p] - y[q]) + abs(x[p] - x[r]) + abs(y[p] - y[r]);
                saving -= hx - lx + hy - ly;
                if (saving <= 0) continue;
                int32_t number = (int32_t)(d->pairs.size / (int64_t)sizeof(pair));
                pair found = {s, t, p, q, r, saving, x[p] + x[q] + x[r] - lx - hx, y[p] + y[q] + y[r] - ly - hy};
                scan_push(&d->pairs, &found, sizeof found);
                if (d->pairs.failed) return false;
                const pair *all = (const pair *)d->pairs.data;
                if (d->best[s] < 0 || saving > all[d->best[s]].saving) d->best[s] = number;
                if (d->best[t] < 0 || saving > all[d->best[t]].saving) d->best[t] = number;
            }
        }
    }
    return true;
}

/* One round of medians; the number of segments after it, or -1: no memory. See `_round` of steiner.py. */
static int64_t improve(desk *d, int64_t *nodes, int64_t segments) {
    if (!find_pairs(d, *nodes, segments)) return -1;
    const pair *all = (const pair *)d->pairs.data;
    int64_t count = d->pairs.size / (int64_t)sizeof(pair), kept = 0;
    if (!count) return segments;
    for (int64_t s = 0; s < segments; s++) {
        int32_t n = d->best[s];
        if (n >= 0 && d->best[all[n].first] == n && d->best[all[n].second] == n) continue;
        d->a_new[kept] = d->a[s];
        d->b_new[kept++] = d->b[s];
    }
    for (int64_t n = 0; n < count; n++) {
        const pair *p = all + n;
        if (d->best[p->first] != n || d->best[p->second] != n) continue;
        int32_t median = (int32_t)(*nodes)++;
        d->x[median] = p->x;
        d->y[median] = p->y;
        const int32_t ends[] = {p->node, p->one, p->other};
        for (int k = 0; k < 3; k++) d->a_new[kept] = ends[k], d->b_new[kept++] = median;
    }
    int32_t *a = d->a, *b = d->b;
    d->a = d->a_new, d->b = d->b_new, d->a_new = a, d->b_new = b;
    return kept;
}

/* Whether distances and their sums fit 32 bits, and coordinates what `settle` sorts by: any gcell's do. */
static bool is_narrow(const desk *d, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        if (d->x[k] < 0 || d->x[k] >= 1 << 26 || d->y[k] < 0 || d->y[k] >= 1 << 26) return false;
    }
    return true;
}

SCAN_API scan_result *scan_steiner(const char *text, int64_t size, const int64_t *where, int64_t count) {
    scan_result *r = scan_new();
    if (!r) return NULL;
    int64_t nets = count == 1 ? where[0] : -1, left;
    r->status = SCAN_NOT_MINE;
    if (nets < 0 || nets > size / 4 || size % 4 || (size / 4 - nets) % 2) return scan_seal(r);
    left = (size / 4 - nets) / 2;
    const char *point = text + 4 * nets;
    desk d = {0};
    for (int64_t net = 0; net < nets; net++) {
        int32_t n;
        memcpy(&n, text + 4 * net, sizeof n);
        if (n < 0 || n > left || n > INT32_MAX / 16 || !reserve(&d, n)) goto out;
        left -= n;
        for (int32_t k = 0; k < n; k++, point += 8) memcpy(d.x + k, point, 4), memcpy(d.y + k, point + 4, 4);
        if (!is_narrow(&d, n)) goto out;
        if (n < 2) continue;
        if (n < WIDE || n >= 1 << 26) {
            prim(&d, n);
        } else if (!prim_wide(&d, n)) {
            goto out;
        }
        int64_t nodes = n, segments = n - 1, before = 0;
        for (int round = 0; round < ROUNDS && segments > 1 && segments != before; round++) {
            before = segments;
            if ((segments = improve(&d, &nodes, segments)) < 0) goto out;
        }
        for (int64_t s = 0; s < segments; s++) {
            const int32_t ends[] = {d.x[d.a[s]], d.y[d.a[s]], d.x[d.b[s]], d.y[d.b[s]]};
            if (ends[0] == ends[2] && ends[1] == ends[3]) continue;
            scan_push_i32(&r->column[0], (int32_t)net);
            scan_push(&r->column[1], ends, sizeof ends);
        }
    }
    if (left == 0) r->status = SCAN_DONE;
out:
    leave(&d);
    return scan_seal(r);
}
