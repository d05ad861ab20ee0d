/* The searches of the mazes of the embedded router: the cheapest way between the two parts of a tree. */
#include "route_maze.h"

#include <stdlib.h>

#define NEVER INT64_MAX
enum { SOURCE = 1, TARGET = 2, STRAIGHT_H = 4, STRAIGHT_V = 8 }; /* `mark` */

bool maze_make_room(maze *m, int64_t cells) {
    size_t bytes = sizeof(int32_t) * (size_t)cells;
    m->spots = maze_again(m, m->spots, sizeof(spot) * (size_t)cells);
    m->heap = maze_again(m, m->heap, bytes), m->touched = maze_again(m, m->touched, bytes);
    if (m->failed) return false;
    for (int64_t i = 0; i < cells; i++) m->spots[i] = (spot){NEVER, -1, -1, -1, 0};
    return true;
}

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
    maze_layers_at(m, t, n, skip, &low, &high);
    for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[n].at, kind, -1);
    m->queue[tail++] = n, m->seen[n] = 1;
    while (head < tail) {
        for (int32_t h = t->node[m->queue[head++]].first; h >= 0; h = m->next_half[h]) {
            const edge *e = t->edge + (h >> 1);
            int32_t to = h & 1 ? e->a : e->b;
            if (h >> 1 == skip || m->seen[to]) continue;
            m->seen[to] = 1, m->queue[tail++] = to;
            if (e->size < 2) continue;
            maze_layers_at(m, t, to, skip, &low, &high);
            for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[to].at, kind, h >> 1);
            for (int32_t i = 1; i + 1 < e->size; i++) give(m, w, e->path[i], kind, h >> 1);
        }
    }
}

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
int64_t maze_route_anew(maze *m, tree *t, int32_t e, int32_t reach, const toll *p) {
    int32_t nx = (int32_t)m->nx, ny = (int32_t)m->ny, size = nx * ny;
    int32_t p1 = t->node[t->edge[e].a].at, p2 = t->node[t->edge[e].b].at;
    int32_t x1 = p1 % nx, y1 = p1 / nx, x2 = p2 % nx, y2 = p2 / nx;
    window w = {(x1 < x2 ? x1 : x2) - reach, (y1 < y2 ? y1 : y2) - reach, (x1 > x2 ? x1 : x2) + reach, (y1 > y2 ? y1 : y2) + reach};
    w.x0 = w.x0 < 0 ? 0 : w.x0, w.y0 = w.y0 < 0 ? 0 : w.y0, w.x1 = w.x1 >= nx ? nx - 1 : w.x1, w.y1 = w.y1 >= ny ? ny - 1 : w.y1;
    maze_count(m, t->edge + e, -1);
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
        maze_count(m, t->edge + e, 1);
        clear(m);
        return searched;
    }
    int32_t n = trace(m, found), head = 0, tail = n - 1, from = m->heap[0], to = m->heap[n - 1];
    while (head < tail && m->heap[head + 1] % size == from % size) head++;
    while (tail > head && m->heap[tail - 1] % size == to % size) tail--;
    int32_t count = tail - head + 1, *path = maze_again(m, NULL, sizeof(int32_t) * (size_t)count);
    if (m->failed) return searched;
    memcpy(path, m->heap + head, sizeof(int32_t) * (size_t)count);
    free(t->edge[e].path);
    t->edge[e].path = path, t->edge[e].size = count;
    maze_count(m, t->edge + e, 1);
    int32_t of_from = m->spots[from].owner, of_to = m->spots[to].owner;
    clear(m);
    maze_move_end(m, t, e, false, from % size, of_from);
    maze_move_end(m, t, e, true, to % size, of_to);
    maze_link(m, t);
    return searched;
}
