/* The maze passes of the embedded router as `circuit_io/router_maze.py` makes them: the same routes in whole numbers.
 *
 * Every net is a tree of nodes, which are gcells, and edges, which are paths. An edge is routed anew by the shortest way
 * between the two parts into which the tree falls without it; where that way ends within another edge, the tree changes.
 * A cell is a gcell on a plane: `plane * nx * ny + y * nx + x`. There is one plane while nets are flat; with layers a plane
 * is a layer, its wires run one way, and vias lead from plane to plane.
 */
#include "scan.h"

#include <stdlib.h>

#define NEVER INT64_MAX
enum { MOST_LAYERS = 64, MOST_EDGES = 1 << 14, SOURCE = 1, TARGET = 2, STRAIGHT_H = 4, STRAIGHT_V = 8, ALONG_X = 1, ALONG_Y = 2, BY_VIA = 4 };

typedef struct {
    int32_t at, first;     /* gcell; first half edge, 2 * edge + 1 at its end b */
    int16_t low, high;     /* layers of the pins here, low > high where there is none */
} node;

typedef struct {
    int32_t a, b, size;    /* nodes, -1 where there is no such edge; cells of the path */
    int32_t *path;         /* from a to b */
} edge;

typedef struct {
    int32_t nodes, edges, node_room, edge_room;
    node *node;
    edge *edge;
} tree;

typedef struct { /* what a search knows of a cell: side by side, since it looks at all of it */
    int64_t cost;
    int32_t from, owner, place, mark;
} spot;

typedef struct {
    int64_t nx, ny, nets;
    int32_t *h, *v;        /* wires on each edge of the grid, as in route.c */
    const int32_t *room_h, *room_v, *level_h, *level_v;
    tree *trees;
    int64_t planes;
    const uint8_t *along_x; /* of each layer */
    int64_t lowest;         /* layer of signals; below are pins only */
    const int32_t *room;    /* tracks of each cell to the next along its layer */
    int32_t *use;           /* wires on it; NULL while nets are flat */
    spot *spots;             /* of every cell */
    int32_t *heap, *touched; /* cells */
    int64_t num_touched, heap_size;
    int32_t *queue, *next_half;
    uint8_t *seen;
    int64_t scratch;
    bool failed;
} maze;

static void *again(maze *m, void *old, size_t size) {
    void *new = realloc(old, size ? size : 1);
    if (!new) m->failed = true;
    return new ? new : old;
}

/* ---- trees ---- */

static int32_t new_node(maze *m, tree *t, int32_t at) {
    if (t->nodes == t->node_room) {
        int32_t room = 2 * t->node_room + 2;
        t->node = again(m, t->node, sizeof(node) * (size_t)room);
        if (m->failed) return 0;
        t->node_room = room;
    }
    t->node[t->nodes] = (node){at, -1, INT16_MAX, -1};
    return t->nodes++;
}
static int32_t new_edge(maze *m, tree *t, edge e) {
    if (t->edges == t->edge_room) {
        int32_t room = 2 * t->edge_room + 2;
        t->edge = again(m, t->edge, sizeof(edge) * (size_t)room);
        if (m->failed) return 0;
        t->edge_room = room;
    }
    t->edge[t->edges] = e;
    return t->edges++;
}
static bool is_pin(const node *n) { return n->low <= n->high; }

/* Lists of the half edges of every node, by edge. */
static void link_halves(maze *m, tree *t) {
    int64_t need = 2 * (int64_t)t->edges + t->nodes + 8;
    if (need > m->scratch) {
        m->queue = again(m, m->queue, sizeof(int32_t) * 2 * (size_t)need);
        m->next_half = again(m, m->next_half, sizeof(int32_t) * 2 * (size_t)need);
        m->seen = again(m, m->seen, 2 * (size_t)need);
        if (m->failed) return;
        m->scratch = 2 * need;
    }
    for (int32_t n = 0; n < t->nodes; n++) t->node[n].first = -1;
    for (int32_t e = t->edges - 1; e >= 0; e--) {
        if (t->edge[e].a < 0) continue;
        for (int32_t side = 1; side >= 0; side--) {
            node *n = t->node + (side ? t->edge[e].b : t->edge[e].a);
            m->next_half[2 * e + side] = n->first;
            n->first = 2 * e + side;
        }
    }
}

/* Layers that a node reaches by its pins and the ends of its edges but `skip`. */
static void layers_of(const maze *m, const tree *t, int32_t n, int32_t skip, int32_t *low, int32_t *high) {
    int64_t size = m->nx * m->ny;
    *low = *high = 0;
    if (!m->use) return;
    *low = t->node[n].low, *high = t->node[n].high;
    for (int32_t h = t->node[n].first; h >= 0; h = m->next_half[h]) {
        const edge *e = t->edge + (h >> 1);
        if (h >> 1 == skip || e->size < 2) continue;
        int32_t layer = (int32_t)(e->path[h & 1 ? e->size - 1 : 0] / size);
        *low = layer < *low ? layer : *low, *high = layer > *high ? layer : *high;
    }
}

static void reverse(edge *e) {
    for (int32_t i = 0, j = e->size - 1; i < j; i++, j--) {
        int32_t cell = e->path[i];
        e->path[i] = e->path[j], e->path[j] = cell;
    }
    int32_t n = e->a;
    e->a = e->b, e->b = n;
}

static int32_t plane_step(const maze *m, int32_t from, int32_t to) { return (int32_t)(m->nx * m->ny) * (to > from ? 1 : -1); }

/* The two edges of node n as one, from the far end of the first to that of the second, with vias between. */
static edge joined(maze *m, tree *t, int32_t n, int32_t first, int32_t second) {
    edge *p = t->edge + first, *q = t->edge + second;
    if (p->a == n) reverse(p);
    if (q->b == n) reverse(q);
    int64_t size = m->nx * m->ny;
    edge out = {p->a, q->b, 0, NULL};
    out.path = again(m, NULL, sizeof(int32_t) * (size_t)(p->size + q->size + m->planes));
    if (m->failed) return out;
    for (int32_t i = 0; i < p->size; i++) out.path[out.size++] = p->path[i];
    if (p->size < 2 && q->size > 1) out.size = 0;
    if (q->size > 1) {
        if (out.size)
            for (int32_t c = out.path[out.size - 1]; c / size != q->path[0] / size;) {
                c += plane_step(m, (int32_t)(c / size), (int32_t)(q->path[0] / size));
                out.path[out.size++] = c;
            }
        else
            out.path[out.size++] = q->path[0];
        for (int32_t i = 1; i < q->size; i++) out.path[out.size++] = q->path[i];
    }
    free(p->path), free(q->path);
    p->path = q->path = NULL;
    return out;
}

/* Splits edge c at gcell `at` within it; the half from the new node on becomes a new last edge. */
static int32_t split(maze *m, tree *t, int32_t c, int32_t at) {
    int64_t size = m->nx * m->ny;
    edge old = t->edge[c];
    int32_t i = 0, j = old.size - 1;
    while (i < old.size && old.path[i] % size != at) i++;
    if (i == old.size) return -1;
    while (old.path[j] % size != at) j--;
    int32_t n = new_node(m, t, at);
    edge one = {old.a, n, i + 1, NULL}, two = {n, old.b, old.size - j, NULL};
    one.path = again(m, NULL, sizeof(int32_t) * (size_t)one.size), two.path = again(m, NULL, sizeof(int32_t) * (size_t)two.size);
    if (m->failed) return -1;
    memcpy(one.path, old.path, sizeof(int32_t) * (size_t)one.size);
    memcpy(two.path, old.path + j, sizeof(int32_t) * (size_t)two.size);
    free(old.path);
    t->edge[c] = one;
    new_edge(m, t, two);
    return n;
}

/* Lets one end of edge e, at node n, end in gcell `at` of edge c. A node that has lost its use goes: the edges that it joined
 * become one. Edges keep their numbers as FastRoute's do, since they are routed in this order. */
static void move_end(maze *m, tree *t, int32_t e, bool at_b, int32_t at, int32_t c) {
    int32_t n = at_b ? t->edge[e].b : t->edge[e].a, to = -1;
    if (t->node[n].at == at || c < 0) return;
    if (t->node[t->edge[c].a].at == at) to = t->edge[c].a;
    if (to < 0 && t->node[t->edge[c].b].at == at) to = t->edge[c].b;
    bool is_new = to < 0;
    if (is_new && (to = split(m, t, c, at)) < 0) return;
    if (m->failed) return;
    if (at_b) t->edge[e].b = to;
    else t->edge[e].a = to;
    if (is_pin(t->node + n)) return;
    int32_t left[3], count = 0;
    for (int32_t i = 0; i < t->edges && count < 3; i++)
        if (i != e && t->edge[i].a >= 0 && (t->edge[i].a == n || t->edge[i].b == n)) left[count++] = i;
    if (count != 2) return;
    int32_t half = t->edges - 1, first = left[0], second = left[1];
    edge one = joined(m, t, n, first, second);
    if (!is_new) {
        t->edge[first] = one, t->edge[second] = (edge){-1, -1, 0, NULL};
        return;
    }
    if (first == c || second == c || second == half) {
        int32_t other = first == c ? second : first, far = second == half ? c : half;
        edge rest = t->edge[far];
        t->edge[other] = one, t->edge[c] = rest;
    } else {
        t->edge[first] = t->edge[c], t->edge[second] = t->edge[half], t->edge[c] = one;
    }
    t->edges--;
}

/* ---- wires ---- */

static void count_wires(const maze *m, const edge *e, int32_t by) {
    int64_t size = m->nx * m->ny;
    for (int32_t i = 0; i + 1 < e->size; i++) {
        int32_t low = e->path[i], high = e->path[i + 1];
        if (low > high) low = high, high = e->path[i];
        if (m->use) {
            if (low / size == high / size) m->use[low] += by;
        } else {
            (high - low == 1 && m->nx > 1 ? m->h : m->v)[low] += by;
        }
    }
}
static bool is_full(const maze *m, const edge *e) {
    for (int32_t i = 0; i + 1 < e->size; i++) {
        int32_t low = e->path[i] < e->path[i + 1] ? e->path[i] : e->path[i + 1];
        bool x = e->path[i] + e->path[i + 1] == 2 * low + 1 && m->nx > 1;
        if ((x ? m->h : m->v)[low] > (x ? m->level_h : m->level_v)[low]) return true;
    }
    return false;
}

/* ---- search ---- */

static void rise(maze *m, int64_t i) {
    int32_t cell = m->heap[i];
    int64_t cost = m->spots[cell].cost;
    while (i > 0 && m->spots[m->heap[(i - 1) / 2]].cost > cost) {
        m->heap[i] = m->heap[(i - 1) / 2];
        m->spots[m->heap[i]].place = (int32_t)i;
        i = (i - 1) / 2;
    }
    m->heap[i] = cell, m->spots[cell].place = (int32_t)i;
}
static int32_t pop(maze *m) {
    int32_t first = m->heap[0], cell = m->heap[--m->heap_size];
    int64_t cost = m->spots[cell].cost, n = m->heap_size, i = 0;
    if (!n) return first;
    for (int64_t l = 1, s; l < n; l = 2 * i + 1) {
        int64_t r = l + 1;
        s = m->spots[m->heap[l]].cost < cost ? l : i;
        if (r < n && m->spots[m->heap[r]].cost < (s == l ? m->spots[m->heap[l]].cost : cost)) s = r;
        if (s == i) break;
        m->heap[i] = m->heap[s], m->spots[m->heap[i]].place = (int32_t)i;
        i = s;
    }
    m->heap[i] = cell, m->spots[cell].place = (int32_t)i;
    return first;
}
static void touch(maze *m, int32_t cell) {
    if (m->spots[cell].cost == NEVER && !m->spots[cell].mark) m->touched[m->num_touched++] = cell;
}
static void push(maze *m, int32_t cell) { m->spots[cell].place = (int32_t)m->heap_size, m->heap[m->heap_size++] = cell; }

static void relax(maze *m, int32_t cell, int32_t to, int64_t cost) {
    if (m->spots[to].cost <= cost) return;
    bool is_new = m->spots[to].cost == NEVER;
    touch(m, to);
    m->spots[to].cost = cost, m->spots[to].from = cell;
    if (is_new) push(m, to);
    rise(m, m->spots[to].place);
}

typedef struct { int32_t x0, y0, x1, y1; } window;

static void give(maze *m, const window *w, int32_t cell, uint8_t kind, int32_t owner) {
    int32_t at = (int32_t)(cell % (m->nx * m->ny)), x = (int32_t)(at % m->nx), y = (int32_t)(at / m->nx);
    if (x < w->x0 || x > w->x1 || y < w->y0 || y > w->y1) return;
    m->spots[cell].owner = owner;
    if (m->spots[cell].mark & kind) return;
    touch(m, cell);
    m->spots[cell].mark |= kind;
    if (kind == SOURCE) m->spots[cell].cost = 0, m->spots[cell].from = -1, push(m, cell);
}

/* All cells within the window of the part of a tree at node n, without edge `skip`. */
static void gather(maze *m, const tree *t, int32_t n, int32_t skip, const window *w, uint8_t kind) {
    int32_t low, high, head = 0, tail = 0, size = (int32_t)(m->nx * m->ny);
    memset(m->seen, 0, (size_t)t->nodes);
    layers_of(m, t, n, skip, &low, &high);
    for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[n].at, kind, -1);
    m->queue[tail++] = n, m->seen[n] = 1;
    while (head < tail) {
        for (int32_t h = t->node[m->queue[head++]].first; h >= 0; h = m->next_half[h]) {
            const edge *e = t->edge + (h >> 1);
            int32_t to = h & 1 ? e->a : e->b;
            if (h >> 1 == skip || m->seen[to]) continue;
            m->seen[to] = 1, m->queue[tail++] = to;
            if (e->size < 2) continue;
            layers_of(m, t, to, skip, &low, &high);
            for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[to].at, kind, h >> 1);
            for (int32_t i = 1; i + 1 < e->size; i++) give(m, w, e->path[i], kind, h >> 1);
        }
    }
}

typedef struct { /* prices of an edge of the grid by what is free on it, from -half to half, and of a bend */
    const int32_t *past_h, *past_v;
    const int64_t *price;
    int32_t half;
    int64_t bend;
} toll;

static int64_t price_h(const maze *m, const toll *p, int32_t at) {
    int32_t left = m->level_h[at] - m->h[at] - p->past_h[at];
    return p->price[(left < -p->half ? -p->half : left > p->half ? p->half : left) + p->half];
}
static int64_t price_v(const maze *m, const toll *p, int32_t at) {
    int32_t left = m->level_v[at] - m->v[at] - p->past_v[at];
    return p->price[(left < -p->half ? -p->half : left > p->half ? p->half : left) + p->half];
}

/* One step of a flat way, with the price of a bend. A cell has one way to it, but where going straight through it would spare
 * a bend, it says so. */
static void step_flat(maze *m, const window *w, const toll *p, int32_t cell) {
    int32_t nx = (int32_t)m->nx, x = cell % nx, y = cell / nx, from = m->spots[cell].from;
    int64_t cost = m->spots[cell].cost;
    bool started = from >= 0, by_x = started && (from == cell - 1 || from == cell + 1) && nx > 1, by_y = started && !by_x;
    for (int32_t side = 0; side < 4; side++) { /* left, right, below, above */
        bool along_x = side < 2, back = side & 1;
        if (side == 0 ? x <= w->x0 : side == 1 ? x >= w->x1 : side == 2 ? y <= w->y0 : y >= w->y1) continue;
        int32_t by = along_x ? 1 : nx, to = back ? cell + by : cell - by;
        int64_t more = along_x ? price_h(m, p, back ? cell : to) : price_v(m, p, back ? cell : to);
        if (cost && (along_x ? by_y : by_x)) {
            more += p->bend;
            bool inner = along_x ? (back ? x > w->x0 + 1 : x < w->x1 - 1) : (back ? y > w->y0 + 1 : y < w->y1 - 1);
            int32_t behind = back ? cell - by : cell + by;
            if (inner && m->spots[behind].cost != NEVER) {
                int64_t straight = m->spots[behind].cost + (along_x ? price_h(m, p, back ? behind : cell) : price_v(m, p, back ? behind : cell));
                if (straight < cost + p->bend) m->spots[cell].mark |= along_x ? STRAIGHT_H : STRAIGHT_V;
            }
        }
        relax(m, cell, to, cost + more);
    }
}
static void step_layers(maze *m, const window *w, int32_t cell) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny, layer = cell / size, x = cell % size % nx, y = cell % size / nx;
    int64_t cost = m->spots[cell].cost + 1;
    if (layer >= m->lowest) {
        bool along_x = m->along_x[layer];
        int32_t by = along_x ? 1 : nx;
        if ((along_x ? x > w->x0 : y > w->y0) && m->use[cell - by] < m->room[cell - by]) relax(m, cell, cell - by, cost);
        if ((along_x ? x < w->x1 : y < w->y1) && m->use[cell] < m->room[cell]) relax(m, cell, cell + by, cost);
    }
    if (layer > 0) relax(m, cell, cell - size, cost);
    if (layer + 1 < m->planes) relax(m, cell, cell + size, cost);
}

/* The way back from a cell to the sources, written into `heap` from the source on; its length. */
static int32_t trace(maze *m, int32_t cell) {
    int32_t n = 0, last = -1;
    for (;;) {
        m->heap[n++] = cell;
        if (m->spots[cell].cost == 0) break;
        bool by_x = m->nx > 1 && (last == cell - 1 || last == cell + 1);
        if (last >= 0 && m->spots[cell].mark & (by_x ? STRAIGHT_H : STRAIGHT_V)) {
            cell = 2 * cell - last, last = -1; /* there its own way counts */
        } else {
            last = cell, cell = m->spots[cell].from;
        }
    }
    for (int32_t i = 0, j = n - 1; i < j; i++, j--) {
        int32_t other = m->heap[i];
        m->heap[i] = m->heap[j], m->heap[j] = other;
    }
    m->heap_size = 0;
    return n;
}

static void clear(maze *m) {
    for (int64_t i = 0; i < m->num_touched; i++) m->spots[m->touched[i]].cost = NEVER, m->spots[m->touched[i]].mark = 0;
    m->num_touched = m->heap_size = 0;
}

/* Routes edge e anew within `reach` gcells of its ends, flat by a toll or, without one, on layers; the cells searched. */
static int64_t route_anew(maze *m, tree *t, int32_t e, int32_t reach, const toll *p) {
    int32_t nx = (int32_t)m->nx, ny = (int32_t)m->ny, size = nx * ny;
    int32_t p1 = t->node[t->edge[e].a].at, p2 = t->node[t->edge[e].b].at;
    int32_t x1 = p1 % nx, y1 = p1 / nx, x2 = p2 % nx, y2 = p2 / nx;
    window w = {(x1 < x2 ? x1 : x2) - reach, (y1 < y2 ? y1 : y2) - reach, (x1 > x2 ? x1 : x2) + reach, (y1 > y2 ? y1 : y2) + reach};
    w.x0 = w.x0 < 0 ? 0 : w.x0, w.y0 = w.y0 < 0 ? 0 : w.y0, w.x1 = w.x1 >= nx ? nx - 1 : w.x1, w.y1 = w.y1 >= ny ? ny - 1 : w.y1;
    count_wires(m, t->edge + e, -1);
    gather(m, t, t->edge[e].a, e, &w, SOURCE);
    gather(m, t, t->edge[e].b, e, &w, TARGET);
    int32_t found = -1;
    int64_t searched = 0;
    while (m->heap_size) {
        if (m->spots[m->heap[0]].mark & TARGET) {
            found = m->heap[0];
            break;
        }
        int32_t cell = pop(m);
        searched++;
        if (p) step_flat(m, &w, p, cell);
        else step_layers(m, &w, cell);
    }
    if (found < 0 || m->spots[found].cost == 0) {
        count_wires(m, t->edge + e, 1);
        clear(m);
        return searched;
    }
    int32_t n = trace(m, found), head = 0, tail = n - 1, from = m->heap[0], to = m->heap[n - 1];
    while (head < tail && m->heap[head + 1] % size == from % size) head++;
    while (tail > head && m->heap[tail - 1] % size == to % size) tail--;
    int32_t count = tail - head + 1, *path = again(m, NULL, sizeof(int32_t) * (size_t)count);
    if (m->failed) return searched;
    memcpy(path, m->heap + head, sizeof(int32_t) * (size_t)count);
    free(t->edge[e].path);
    t->edge[e].path = path, t->edge[e].size = count;
    count_wires(m, t->edge + e, 1);
    int32_t of_from = m->spots[from].owner, of_to = m->spots[to].owner;
    clear(m);
    move_end(m, t, e, false, from % size, of_from);
    move_end(m, t, e, true, to % size, of_to);
    link_halves(m, t);
    return searched;
}

/* ---- what Python calls ---- */

/* The path of a segment: two L shapes, see route.c; at most `most` gcells. */
static edge path_of(maze *m, const int32_t *ends, const int32_t *via, uint8_t turn) {
    int32_t x = ends[0], y = ends[1], nx = (int32_t)m->nx;
    int64_t most = 1 + labs(via[0] - x) + labs(via[1] - y) + labs(ends[2] - via[0]) + labs(ends[3] - via[1]);
    edge e = {-1, -1, 0, again(m, NULL, sizeof(int32_t) * (size_t)most)};
    if (m->failed) return e;
    e.path[e.size++] = y * nx + x;
    for (int32_t part = 0; part < 4; part++) {
        int32_t to_x = part < 2 ? via[0] : ends[2], to_y = part < 2 ? via[1] : ends[3];
        bool along_x = (bool)(turn & (part < 2 ? 1 : 2)) == !(part & 1);
        while (along_x && x != to_x) x += to_x > x ? 1 : -1, e.path[e.size++] = y * nx + x;
        while (!along_x && y != to_y) y += to_y > y ? 1 : -1, e.path[e.size++] = y * nx + x;
    }
    return e;
}

static bool make_room(maze *m, int64_t cells) {
    size_t bytes = sizeof(int32_t) * (size_t)cells;
    m->spots = again(m, m->spots, sizeof(spot) * (size_t)cells);
    m->heap = again(m, m->heap, bytes), m->touched = again(m, m->touched, bytes);
    if (m->failed) return false;
    for (int64_t i = 0; i < cells; i++) m->spots[i] = (spot){NEVER, -1, -1, -1, 0};
    return true;
}

SCAN_API void maze_close(maze *m) {
    if (!m) return;
    for (int64_t n = 0; m->trees && n < m->nets; n++) {
        for (int32_t e = 0; e < m->trees[n].edges; e++) free(m->trees[n].edge[e].path);
        free(m->trees[n].edge), free(m->trees[n].node);
    }
    free(m->trees), free(m->spots), free(m->heap), free(m->touched), free(m->queue), free(m->next_half), free(m->seen), free(m);
}

typedef struct { /* `router_native.py` holds the same layout */
    int64_t nx, ny, nets;
    const int64_t *first;      /* segments of each net, nets + 1 */
    const int32_t *ends, *via; /* of segments, as in route.c */
    const uint8_t *turn;
    const int64_t *first_point; /* of each net, nets + 1 */
    const int32_t *gcell;       /* of points */
    const uint8_t *layer;
    int32_t *h, *v;
    const int32_t *room_h, *room_v, *level_h, *level_v;
} maze_task;

/* Trees of all nets; NULL: no memory. */
SCAN_API maze *maze_open(const maze_task *k) {
    maze *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->nx = k->nx, m->ny = k->ny, m->nets = k->nets, m->planes = 1;
    m->h = k->h, m->v = k->v, m->room_h = k->room_h, m->room_v = k->room_v, m->level_h = k->level_h, m->level_v = k->level_v;
    m->trees = calloc((size_t)k->nets + 1, sizeof *m->trees);
    m->failed = !m->trees;
    int64_t size = m->nx * m->ny;
    if (m->failed || !make_room(m, size)) goto out;
    for (int64_t net = 0; net < k->nets && !m->failed; net++) {
        tree *t = m->trees + net;
        for (int64_t i = k->first_point[net]; i < k->first_point[net + 1]; i++) {
            int32_t at = k->gcell[i], n = m->spots[at].owner >= 0 ? m->spots[at].owner : new_node(m, t, at);
            if (m->failed) goto out;
            m->spots[at].owner = n;
            int16_t layer = k->layer[i];
            t->node[n].low = layer < t->node[n].low ? layer : t->node[n].low;
            t->node[n].high = layer > t->node[n].high ? layer : t->node[n].high;
        }
        for (int64_t s = k->first[net]; s < k->first[net + 1]; s++) {
            const int32_t *ends = k->ends + 4 * s;
            edge e = path_of(m, ends, k->via + 2 * s, k->turn[s]);
            if (m->failed) goto out;
            for (int32_t side = 0; side < 2; side++) {
                int32_t at = ends[2 * side + 1] * (int32_t)m->nx + ends[2 * side];
                if (m->spots[at].owner < 0) m->spots[at].owner = new_node(m, t, at);
                if (side) e.b = m->spots[at].owner;
                else e.a = m->spots[at].owner;
            }
            new_edge(m, t, e);
        }
        for (int32_t n = 0; n < t->nodes; n++) m->spots[t->node[n].at].owner = -1;
    }
out:
    if (!m->failed) return m;
    maze_close(m);
    return NULL;
}

typedef struct {
    int64_t key, number;
} rank;
static int by_rank(const void *a, const void *b) {
    const rank *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->number < y->number ? -1 : x->number > y->number;
}

/* Routes anew, the longest of a net first, what is longer than `least` and crosses an edge above its level. `crowded`: nets
 * with the most wires above the room first. The cells searched, or -1: no memory. */
SCAN_API int64_t maze_round(maze *m, const int32_t *past_h, const int32_t *past_v, const int64_t *price, int64_t half,
                            int64_t bend, int64_t least, int64_t reach, int64_t times, int64_t crowded) {
    toll p = {past_h, past_v, price, (int32_t)half, bend};
    rank *nets = again(m, NULL, sizeof(rank) * (size_t)(m->nets + 1)), *order = NULL;
    int64_t searched = 0, room = 0, nx = m->nx;
    if (m->failed) return -1; /* `nets` is NULL then */
    for (int64_t n = 0; n < m->nets; n++) {
        nets[n] = (rank){0, n};
        for (int32_t e = 0; crowded && e < m->trees[n].edges; e++) {
            const edge *g = m->trees[n].edge + e;
            for (int32_t i = 0; i + 1 < g->size; i++) {
                int32_t low = g->path[i] < g->path[i + 1] ? g->path[i] : g->path[i + 1];
                bool x = g->path[i] + g->path[i + 1] == 2 * low + 1 && nx > 1;
                int32_t above = x ? m->h[low] - m->room_h[low] : m->v[low] - m->room_v[low];
                nets[n].key -= above > 0 ? above : 0;
            }
        }
    }
    if (crowded) qsort(nets, (size_t)m->nets, sizeof *nets, by_rank);
    for (int64_t i = 0; i < m->nets && !m->failed; i++) {
        tree *t = m->trees + nets[i].number;
        if (!t->edges || t->edges > MOST_EDGES) continue;
        link_halves(m, t);
        if (t->edges > room) {
            room = 2 * t->edges;
            order = again(m, order, sizeof(rank) * (size_t)room);
        }
        if (m->failed) break;
        int32_t count = t->edges;
        for (int32_t e = 0; e < count; e++) order[e] = (rank){-t->edge[e].size, e};
        qsort(order, (size_t)count, sizeof *order, by_rank);
        for (int32_t j = 0; j < count && !m->failed; j++) {
            int32_t e = (int32_t)order[j].number;
            if (e >= t->edges || t->edge[e].a < 0) continue;
            int32_t p1 = t->node[t->edge[e].a].at, p2 = t->node[t->edge[e].b].at;
            int64_t length = labs((long)(p1 % nx - p2 % nx)) + labs((long)(p1 / nx - p2 / nx));
            if (length <= least || !is_full(m, t->edge + e)) continue;
            int64_t far = times * (t->edge[e].size - 1);
            searched += route_anew(m, t, e, (int32_t)(far < reach ? far : reach), &p);
        }
    }
    free(nets), free(order);
    return m->failed ? -1 : searched;
}

/* Cuts the loops out of all paths while nets are flat. */
SCAN_API void maze_loops(maze *m) {
    for (int64_t n = 0; n < m->nets; n++)
        for (int32_t k = 0; k < m->trees[n].edges; k++) {
            edge *e = m->trees[n].edge + k;
            if (e->a < 0) continue;
            int32_t kept = 0;
            count_wires(m, e, -1);
            for (int32_t i = 0; i < e->size; i++) m->spots[e->path[i]].owner = -1; /* where on the path the gcell is */
            for (int32_t i = 0; i < e->size; i++) {
                int32_t cell = e->path[i], before = m->spots[cell].owner;
                if (before < 0) m->spots[cell].owner = kept, e->path[kept++] = cell;
                else while (kept > before + 1) m->spots[e->path[--kept]].owner = -1;
            }
            e->size = kept;
            count_wires(m, e, 1);
        }
}

/* ---- layers ---- */

typedef struct {
    int32_t (*cost)[MOST_LAYERS], (*link)[MOST_LAYERS]; /* of each gcell of a path */
    uint8_t *layer;                                     /* of each wire */
    int32_t *low, *high;
    bool *is_set, *is_queued;
} shelf;

/* Lets every layer be reached by vias of a price; `link` says from which layer. */
static void change_layer(const maze *m, int32_t *cost, int32_t *link, int32_t price) {
    for (int32_t l = 0; l < m->planes; l++) link[l] = l;
    for (int32_t l = 0; l < m->planes; l++)
        for (int32_t to = 0; to < m->planes; to++) {
            int32_t by_via = cost[l] + price * (to > l ? to - l : l - to);
            if (cost[to] > by_via) cost[to] = by_via, link[to] = l;
        }
}

/* Layers of the wires of one edge, found from the end that has some: as few vias as room allows. Then its path with vias. */
static void lay_edge(maze *m, edge *e, shelf *s) {
    enum { FAR = 1 << 28, CROWDED = 1 << 22, WRONG = 1 << 23 };
    int32_t n = e->size - 1, size = (int32_t)(m->nx * m->ny), vias = 0, best;
    bool forward = s->is_set[e->a];
    int32_t from = forward ? e->a : e->b, to = forward ? e->b : e->a;
    for (int32_t l = 0; l < m->planes; l++) s->cost[0][l] = l >= s->low[from] && l <= s->high[from] ? 0 : FAR;
    for (int32_t i = 0; i < n; i++) {
        int32_t p = e->path[forward ? i : n - i], q = e->path[forward ? i + 1 : n - i - 1], low = p < q ? p : q;
        bool along_x = p + q == 2 * low + 1 && m->nx > 1;
        change_layer(m, s->cost[i], s->link[i], i ? 3 : 2);
        for (int32_t l = 0; l < m->planes; l++) {
            bool fits = l >= m->lowest && (bool)m->along_x[l] == along_x;
            int32_t more = !fits ? WRONG : m->use[l * size + low] < m->room[l * size + low] ? 1 : CROWDED;
            s->cost[i + 1][l] = s->cost[i][l] + more < FAR ? s->cost[i][l] + more : FAR;
        }
    }
    const int32_t *cost = s->cost[n];
    change_layer(m, s->cost[n], s->link[n], 1);
    if (s->low[to] <= s->high[to]) {
        best = s->high[to];
        for (int32_t l = s->high[to]; l >= s->low[to]; l--) best = cost[l] < cost[best] ? l : best;
    } else {
        best = 0;
        for (int32_t l = 0; l < m->planes; l++) best = cost[l] < cost[best] ? l : best;
    }
    for (int32_t i = n; i > 0; i--) {
        best = s->link[i][best];
        s->layer[forward ? i - 1 : n - i] = (uint8_t)best;
    }
    for (int32_t side = 0; side < 2; side++) {
        int32_t at = side ? e->b : e->a, l = s->layer[side ? n - 1 : 0];
        s->low[at] = !s->is_set[at] || l < s->low[at] ? l : s->low[at];
        s->high[at] = !s->is_set[at] || l > s->high[at] ? l : s->high[at];
    }
    for (int32_t k = 1; k < n; k++) vias += abs(s->layer[k] - s->layer[k - 1]);
    int32_t *path = again(m, NULL, sizeof(int32_t) * (size_t)(n + 1 + vias)), count = 0;
    if (m->failed) return;
    path[count++] = s->layer[0] * size + e->path[0];
    for (int32_t k = 0; k < n; k++) {
        for (int32_t l = s->layer[k ? k - 1 : 0]; l != s->layer[k]; path[count++] = l * size + e->path[k]) l += s->layer[k] > l ? 1 : -1;
        path[count++] = s->layer[k] * size + e->path[k + 1];
    }
    free(e->path);
    e->path = path, e->size = count;
}

static void lay_net(maze *m, tree *t) {
    int32_t longest = 0, head = 0, tail = 0;
    link_halves(m, t);
    for (int32_t e = 0; e < t->edges; e++) longest = t->edge[e].size > longest ? t->edge[e].size : longest;
    size_t columns = (size_t)longest + 1, nodes = (size_t)t->nodes;
    shelf s = {malloc(columns * sizeof *s.cost), malloc(columns * sizeof *s.link), malloc(columns), malloc(nodes * sizeof(int32_t)),
               malloc(nodes * sizeof(int32_t)), malloc(nodes), calloc((size_t)t->edges + 1, 1)};
    m->failed = m->failed || !s.cost || !s.link || !s.layer || !s.low || !s.high || !s.is_set || !s.is_queued;
    for (int32_t n = 0; !m->failed && n < t->nodes; n++)
        s.low[n] = t->node[n].low, s.high[n] = t->node[n].high, s.is_set[n] = is_pin(t->node + n);
    for (int32_t n = 0; !m->failed && n < t->nodes; n++)
        for (int32_t h = t->node[n].first; s.is_set[n] && h >= 0; h = m->next_half[h])
            if (!s.is_queued[h >> 1]) s.is_queued[h >> 1] = true, m->queue[tail++] = h >> 1;
    while (!m->failed && head < tail) {
        edge *e = t->edge + m->queue[head++];
        if (e->size > 1) lay_edge(m, e, &s);
        for (int32_t side = 0; side < 2; side++) {
            int32_t n = side ? e->b : e->a;
            if (s.is_set[n]) continue;
            s.is_set[n] = true;
            for (int32_t h = t->node[n].first; h >= 0; h = m->next_half[h])
                if (!s.is_queued[h >> 1]) s.is_queued[h >> 1] = true, m->queue[tail++] = h >> 1;
        }
        count_wires(m, e, 1);
    }
    free(s.cost), free(s.link), free(s.layer), free(s.low), free(s.high), free(s.is_set), free(s.is_queued);
}

/* Lays all nets on layers, the shortest a pin first, then routes the edges of nine tenths of them anew there, twice: those
 * shorter than 40 gcells, then than 12. The cells searched, or -1: no memory. */
SCAN_API int64_t maze_layers(maze *m, int64_t planes, int64_t lowest, const uint8_t *along_x, const int32_t *room, int32_t *use,
                             const int64_t *points, int64_t reach) {
    int64_t size = m->nx * m->ny, searched = 0, nx = m->nx;
    rank *order = again(m, NULL, sizeof(rank) * (size_t)(m->nets + 1));
    if (m->failed || planes > MOST_LAYERS || !make_room(m, size * planes)) {
        free(order);
        return -1;
    }
    m->planes = planes, m->lowest = lowest, m->along_x = along_x, m->room = room, m->use = use;
    for (int64_t n = 0; n < m->nets; n++) {
        const tree *t = m->trees + n;
        int64_t length = 0, least = INT16_MAX;
        for (int32_t e = 0; e < t->edges; e++) {
            if (t->edge[e].a < 0) continue;
            int32_t p = t->node[t->edge[e].a].at, q = t->node[t->edge[e].b].at;
            length += labs((long)(p % nx - q % nx)) + labs((long)(p / nx - q / nx));
            int32_t x = (int32_t)(p % nx < q % nx ? p % nx : q % nx);
            least = x < least ? x : least;
        }
        order[n] = (rank){(length << 24) / (points[n] ? points[n] : 1) << 16 | least, n};
    }
    qsort(order, (size_t)m->nets, sizeof *order, by_rank);
    for (int64_t i = 0; i < m->nets && !m->failed; i++) lay_net(m, m->trees + order[i].number);
    for (int32_t below = 40; below && !m->failed; below = below == 40 ? 12 : 0) {
        for (int64_t i = 0; i < m->nets * 9 / 10 && !m->failed; i++) {
            tree *t = m->trees + order[i].number;
            if (!t->edges || t->edges > MOST_EDGES) continue;
            link_halves(m, t);
            for (int32_t e = 0, count = t->edges; e < count && e < t->edges && !m->failed; e++) {
                if (t->edge[e].a < 0) continue;
                int32_t p = t->node[t->edge[e].a].at, q = t->node[t->edge[e].b].at;
                int64_t length = labs((long)(p % nx - q % nx)) + labs((long)(p / nx - q / nx));
                if (length <= 0 || length >= below) continue;
                int64_t far = t->edge[e].size - 1;
                searched += route_anew(m, t, e, (int32_t)(far < reach ? far : reach), NULL);
            }
        }
    }
    free(order);
    memset(m->h, 0, sizeof(int32_t) * (size_t)size), memset(m->v, 0, sizeof(int32_t) * (size_t)size);
    for (int64_t l = 0; l < planes; l++)
        for (int64_t i = 0; i < size; i++) (along_x[l] ? m->h : m->v)[i] += use[l * size + i];
    return m->failed ? -1 : searched;
}

/* What a step from cell to cell is, as a bit of `mark`. */
static int32_t kind_of(const maze *m, int32_t p, int32_t q) {
    int64_t size = m->nx * m->ny;
    return p / size != q / size ? BY_VIA : abs(p - q) == 1 && m->nx > 1 ? ALONG_X : ALONG_Y;
}

/* Of each net its wires in gcells, and the straight segments that OpenROAD makes of them: two wires on end are joined where
 * they follow each other in the routes and nothing else is at the point between. What its routes share counts once. */
SCAN_API void maze_lengths(maze *m, int64_t *wires, int64_t *segments) {
    for (int64_t n = 0; n < m->nets; n++) {
        const tree *t = m->trees + n;
        wires[n] = segments[n] = 0;
        for (int32_t pass = 0; pass < 3; pass++) { /* clear, count what is at each point, join */
            for (int32_t k = 0; k < t->edges; k++) {
                const edge *e = t->edge + k;
                int32_t before = 0;
                for (int32_t i = 0; e->a >= 0 && i + 1 < e->size; i++) {
                    int32_t from = e->path[i], to = e->path[i + 1], kind = kind_of(m, from, to);
                    spot *s = m->spots + (from < to ? from : to);
                    if (!pass) m->spots[from].place = m->spots[to].place = 0;
                    if (!pass || (bool)(s->mark & kind) != (pass == 2)) continue; /* the first time that it comes */
                    s->mark ^= kind;
                    if (pass == 1) {
                        m->spots[from].place++, m->spots[to].place++;
                        continue;
                    }
                    bool is_wire = kind != BY_VIA;
                    wires[n] += is_wire;
                    segments[n] += is_wire && !(kind == before && m->spots[from].place == 2);
                    before = kind;
                }
            }
        }
    }
}
