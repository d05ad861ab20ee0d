/* The trees that the embedded router begins with, as `circuit_io/router_trees.py` makes them: Prim-Dijkstra trees with
 * Steiner points, and the segments of every net in the order of their nodes.
 *
 * C. J. Alpert et al., "Prim-Dijkstra revisited: achieving superior timing-driven routing trees", ISPD 2018. The choice
 * among equals is that of OpenROAD's.
 */
#include "scan.h"

#include <stdlib.h>

typedef struct {
    int32_t x, y, first; /* first: the newest of its half edges */
    int32_t gain, one, two, px, py; /* the best Steiner point of two of its edges, and what it saves */
} point;

typedef struct {
    int64_t room; /* points of a net; nodes and edges have four times that */
    point *node;
    int32_t nodes, edges;
    int32_t *end, *next, *prev; /* half edges: 2 * e at v, ends at u; 2 * e + 1 at u, ends at v */
    int32_t *near, *begin, *stop; /* neighbours of every point, and which of them are whose */
    int64_t near_room;
    float *weight;
    int32_t *parent, *length, *heap, *place, *queue;
    int64_t heap_size;
    bool failed;
} garden;

static void *again(garden *g, void *old, size_t size) {
    void *new = realloc(old, size ? size : 1);
    if (!new) g->failed = true;
    return new ? new : old;
}

static void reserve(garden *g, int64_t points) {
    if (points <= g->room) return;
    size_t wide = 8 * (size_t)points + 64, bytes = wide * sizeof(int32_t);
    g->node = again(g, g->node, wide * sizeof(point));
    int32_t **column[] = {&g->end, &g->next, &g->prev, &g->begin, &g->stop, &g->parent, &g->length, &g->heap, &g->place,
                          &g->queue};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) *column[i] = again(g, *column[i], 2 * bytes);
    g->weight = again(g, g->weight, wide * sizeof(float));
    if (!g->failed) g->room = 2 * points;
}

/* ---- neighbours: no other point in the box of the two ---- */

static int by_y_then_x(const void *a, const void *b) { /* y, x, number */
    const int32_t *p = a, *q = b;
    for (int i = 0; i < 3; i++)
        if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
    return 0;
}
static bool add_near(garden *g, int32_t *count, int32_t is) {
    if (*count == g->near_room) {
        int64_t room = 2 * g->near_room + 64;
        g->near = again(g, g->near, (size_t)room * sizeof(int32_t));
        if (g->failed) return false;
        g->near_room = room;
    }
    g->near[(*count)++] = is;
    return true;
}
/* From every point up the rows and down them: a point counts that is nearer to its column than all met on that side. */
static void find_near(garden *g, int32_t n) {
    int32_t *by_row = g->queue, count = 0;
    for (int32_t i = 0; i < n; i++) by_row[3 * i] = g->node[i].y, by_row[3 * i + 1] = g->node[i].x, by_row[3 * i + 2] = i;
    qsort(by_row, (size_t)n, 3 * sizeof *by_row, by_y_then_x);
    for (int32_t k = 0; k < n; k++) {
        int32_t p = by_row[3 * k + 2], x = by_row[3 * k + 1];
        g->begin[p] = count;
        for (int32_t way = -1; way <= 1; way += 2) {
            int32_t left = INT32_MIN, right = INT32_MAX;
            for (int32_t i = k + way; i >= 0 && i < n; i += way) {
                int32_t at = by_row[3 * i + 1];
                if (at <= left || at >= right) continue;
                if (!add_near(g, &count, by_row[3 * i + 2])) return;
                if (at < x) left = at;
                else right = at;
            }
        }
        g->stop[p] = count;
    }
}

/* ---- graph ---- */

static void hang(garden *g, int32_t half, int32_t at) {
    int32_t old = g->node[at].first;
    g->next[half] = old, g->prev[half] = -1;
    if (old >= 0) g->prev[old] = half;
    g->node[at].first = half;
}
static void take(garden *g, int32_t half, int32_t at) {
    if (g->next[half] >= 0) g->prev[g->next[half]] = g->prev[half];
    if (g->prev[half] >= 0) g->next[g->prev[half]] = g->next[half];
    else g->node[at].first = g->next[half];
}
static void add_edge(garden *g, int32_t u, int32_t v) {
    int32_t e = g->edges++;
    g->end[2 * e] = u, g->end[2 * e + 1] = v;
    hang(g, 2 * e + 1, u), hang(g, 2 * e, v);
}
/* The end of edge e at node `from` goes to node `to`. */
static void move(garden *g, int32_t e, int32_t from, int32_t to) {
    int32_t half = g->end[2 * e] == from ? 2 * e + 1 : 2 * e; /* the half edge that hangs at `from` */
    take(g, half, from);
    g->end[half ^ 1] = to;
    hang(g, half, to);
}

/* ---- Prim-Dijkstra: the next point is the one of the least length of its edge plus 0.3 of the way from the driver ---- */

static bool comes_before(const garden *g, int32_t a, int32_t b) {
    if (g->weight[a] != g->weight[b]) return g->weight[a] < g->weight[b];
    if (g->parent[a] != g->parent[b]) return g->parent[a] < g->parent[b];
    return a < b;
}
static void grow(garden *g, int32_t n, int32_t driver) {
    for (int32_t i = 0; i < n; i++) g->place[i] = -2; /* not seen; -1 in the tree */
    g->heap_size = 0;
    g->weight[driver] = 0, g->length[driver] = 0, g->parent[driver] = -1;
    g->heap[g->heap_size++] = driver, g->place[driver] = 0;
    while (g->heap_size) {
        int64_t best = 0;
        for (int64_t i = 1; i < g->heap_size; i++) best = comes_before(g, g->heap[i], g->heap[best]) ? i : best;
        int32_t p = g->heap[best], last = g->heap[--g->heap_size];
        g->heap[best] = last, g->place[last] = (int32_t)best, g->place[p] = -1;
        if (g->parent[p] >= 0) add_edge(g, g->parent[p], p);
        for (int32_t i = g->begin[p]; i < g->stop[p]; i++) {
            int32_t q = g->near[i];
            if (g->place[q] == -1) continue;
            int32_t length = abs(g->node[p].x - g->node[q].x) + abs(g->node[p].y - g->node[q].y);
            float way = 0.3f * (float)g->length[p], weight = (float)length + way;
            if (g->place[q] == -2) g->place[q] = (int32_t)g->heap_size, g->heap[g->heap_size++] = q;
            else if (!(weight <= g->weight[q])) continue;
            g->weight[q] = weight, g->length[q] = length + g->length[p], g->parent[q] = p;
        }
    }
}

/* ---- Steiner points ---- */

static int32_t between(int32_t at, int32_t p, int32_t q) {
    int32_t low = p < q ? p : q, high = p < q ? q : p;
    return low > at ? low : high < at ? high : at;
}
static void find_point(garden *g, int32_t n) {
    point *at = g->node + n;
    at->gain = at->px = at->py = 0, at->one = at->two = -1;
    for (int32_t h = at->first; h >= 0; h = g->next[h]) {
        const point *p = g->node + g->end[h];
        for (int32_t k = g->next[h]; k >= 0; k = g->next[k]) {
            const point *q = g->node + g->end[k];
            int32_t x = between(at->x, p->x, q->x), y = between(at->y, p->y, q->y);
            int32_t gain = abs(x - at->x) + abs(y - at->y);
            if (gain > at->gain) at->gain = gain, at->one = h >> 1, at->two = k >> 1, at->px = x, at->py = y;
        }
    }
}
static bool is_less(const garden *g, int32_t a, int32_t b) {
    const point *p = g->node + a, *q = g->node + b;
    if (p->gain != q->gain) return p->gain < q->gain;
    if (p->px != q->px) return p->px < q->px;
    return p->py < q->py;
}
static void swap(garden *g, int64_t i, int64_t j) {
    int32_t a = g->heap[i], b = g->heap[j];
    g->heap[i] = b, g->heap[j] = a, g->place[b] = (int32_t)i, g->place[a] = (int32_t)j;
}
static void sink(garden *g, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < g->heap_size; i = child) {
        if (child + 1 < g->heap_size && is_less(g, g->heap[child], g->heap[child + 1])) child++;
        if (is_less(g, g->heap[child], g->heap[i])) return;
        swap(g, i, child);
    }
}
static void rise(garden *g, int64_t i) {
    while (i && is_less(g, g->heap[(i - 1) / 2], g->heap[i])) swap(g, i, (i - 1) / 2), i = (i - 1) / 2;
}
static void enter(garden *g, int32_t n) {
    find_point(g, n);
    g->heap[g->heap_size] = n, g->place[n] = (int32_t)g->heap_size;
    rise(g, g->heap_size++);
}
static void renew(garden *g, int32_t n) {
    find_point(g, n);
    int64_t i = g->place[n];
    if (i && is_less(g, g->heap[(i - 1) / 2], g->heap[i])) rise(g, i);
    else sink(g, i);
}
static int32_t new_point(garden *g, int32_t x, int32_t y) {
    g->node[g->nodes] = (point){x, y, -1, 0, -1, -1, 0, 0};
    return g->nodes++;
}
static void steinerise(garden *g) {
    g->heap_size = 0;
    for (int32_t n = g->nodes - 1; n >= 0; n--) enter(g, n);
    while (g->heap_size) {
        int32_t n = g->heap[0];
        swap(g, 0, --g->heap_size);
        sink(g, 0);
        point at = g->node[n];
        if (!at.gain) return;
        int32_t p = g->end[2 * at.one] == n ? g->end[2 * at.one + 1] : g->end[2 * at.one];
        int32_t q = g->end[2 * at.two] == n ? g->end[2 * at.two + 1] : g->end[2 * at.two], to;
        bool is_new = false;
        if (g->node[p].x == at.px && g->node[p].y == at.py) to = p;
        else if (g->node[q].x == at.px && g->node[q].y == at.py) to = q;
        else to = new_point(g, at.px, at.py), is_new = true;
        if (to != p) move(g, at.one, n, to);
        if (to != q) move(g, at.two, n, to);
        if (is_new) add_edge(g, to, n), enter(g, to);
        enter(g, n);
        renew(g, p), renew(g, q);
    }
}

/* A node of more than three edges keeps its two newest and a link to a second node in the same place, which gets the rest. */
static void split_nodes(garden *g) {
    int32_t head = 0, tail = 0;
    for (int32_t n = g->nodes - 1; n >= 0; n--) g->queue[tail++] = n;
    while (head < tail) {
        int32_t n = g->queue[head++], count = 0;
        for (int32_t h = g->node[n].first; h >= 0; h = g->next[h]) count++;
        if (count <= 3) continue;
        int32_t to = new_point(g, g->node[n].x, g->node[n].y), h = g->next[g->next[g->node[n].first]];
        while (h >= 0) {
            int32_t next = g->next[h];
            move(g, h >> 1, n, to);
            h = next;
        }
        add_edge(g, n, to);
        g->queue[tail++] = to;
    }
}

/* Parents of all nodes on the way to the driver. */
static void root(garden *g, int32_t driver) {
    int32_t head = 0, tail = 0;
    for (int32_t n = 0; n < g->nodes; n++) g->parent[n] = -1;
    g->queue[tail++] = driver, g->parent[driver] = driver;
    while (head < tail) {
        int32_t n = g->queue[head++];
        for (int32_t h = g->node[n].first; h >= 0; h = g->next[h])
            if (g->parent[g->end[h]] < 0) g->parent[g->end[h]] = n, g->queue[tail++] = g->end[h];
    }
}

/* Whether no two edges' boxes meet but in a corner of both; nets of more than 100 pins are not looked at. */
static bool is_clean(const garden *g, int32_t points) {
    if (points > 100) return true;
    for (int32_t i = 0; i < g->nodes; i++) {
        const point *a = g->node + i, *b = g->node + g->parent[i];
        if (a->x == b->x && a->y == b->y) continue;
        int32_t x1 = a->x < b->x ? a->x : b->x, x2 = a->x < b->x ? b->x : a->x;
        int32_t y1 = a->y < b->y ? a->y : b->y, y2 = a->y < b->y ? b->y : a->y;
        for (int32_t j = i + 1; j < g->nodes; j++) {
            const point *c = g->node + j, *d = g->node + g->parent[j];
            if (c->x == d->x && c->y == d->y) continue;
            int32_t u1 = c->x < d->x ? c->x : d->x, u2 = c->x < d->x ? d->x : c->x;
            int32_t v1 = c->y < d->y ? c->y : d->y, v2 = c->y < d->y ? d->y : c->y;
            if (u1 > x2 || u2 < x1 || v1 > y2 || v2 < y1) continue;
            bool corner = (x1 == u1 || x1 == u2 || x2 == u1 || x2 == u2) && (y1 == v1 || y1 == v2 || y2 == v1 || y2 == v2);
            if (!corner) return false;
        }
    }
    return true;
}

/* `text` holds int32 numbers: the count of points of each of where[0] nets, the driver among them, then x and y of every
 * point, by net. Columns: 0 the net of each segment, int32; 1 its ends x0, y0, x1, y1, int32, x0 <= x1; 2 the nets whose tree
 * would cross itself and of more than where[1] points, int32, which have no segments. */
SCAN_API scan_result *route_trees(const char *text, int64_t size, const int64_t *where, int64_t count) {
    scan_result *r = scan_new();
    if (!r) return NULL;
    int64_t nets = count == 2 ? where[0] : -1, left;
    r->status = SCAN_NOT_MINE;
    if (nets < 0 || nets > size / 8 || size % 4 || (size / 4 - 2 * nets) % 2) return scan_seal(r);
    left = (size / 4 - 2 * nets) / 2;
    const char *xy = text + 8 * nets;
    garden g = {0};
    for (int64_t net = 0; net < nets; net++) {
        int32_t n, driver;
        memcpy(&n, text + 4 * net, sizeof n), memcpy(&driver, text + 4 * (nets + net), sizeof driver);
        if (n < 0 || n > left || (n && (driver < 0 || driver >= n))) goto out;
        left -= n;
        if (n < 2 || n > where[1]) {
            if (n > 1) scan_push_i32(&r->column[2], (int32_t)net);
            xy += 8 * (int64_t)n;
            continue;
        }
        reserve(&g, n);
        if (g.failed) goto out;
        g.nodes = g.edges = 0;
        for (int32_t i = 0; i < n; i++, xy += 8) {
            int32_t at[2];
            memcpy(at, xy, sizeof at);
            new_point(&g, at[0], at[1]);
        }
        find_near(&g, n);
        if (g.failed) goto out;
        grow(&g, n, driver);
        steinerise(&g);
        split_nodes(&g);
        root(&g, driver);
        if (g.edges + 1 != g.nodes || !is_clean(&g, n)) {
            scan_push_i32(&r->column[2], (int32_t)net);
            continue;
        }
        for (int32_t i = 0; i < g.nodes; i++) {
            const point *a = g.node + i, *b = g.node + g.parent[i];
            if (a->x == b->x && a->y == b->y) continue;
            bool first = a->x < b->x;
            int32_t ends[] = {first ? a->x : b->x, first ? a->y : b->y, first ? b->x : a->x, first ? b->y : a->y};
            scan_push_i32(&r->column[0], (int32_t)net);
            scan_push(&r->column[1], ends, sizeof ends);
        }
    }
    if (left == 0) r->status = SCAN_DONE;
out:
    free(g.node), free(g.end), free(g.next), free(g.prev), free(g.near), free(g.begin), free(g.stop);
    free(g.weight), free(g.parent), free(g.length), free(g.heap), free(g.place), free(g.queue);
    return scan_seal(r);
}
