/* The mazes of the embedded router: an edge routed anew between the two parts into which its tree falls without it. */
#include "route_maze.h"

#include <stdlib.h>

bool maze_make_room(maze *m, int64_t cells) {
    size_t count = (size_t)cells + 1, bytes = sizeof(int32_t) * count;
    m->heap = maze_again(m, m->heap, sizeof(flat_entry) * (count + 1));
    m->owner = maze_again(m, m->owner, bytes), m->state = maze_again(m, m->state, count);
    m->touched = maze_again(m, m->touched, 2 * bytes), m->way = maze_again(m, m->way, bytes);
    if (m->failed) return false;
    memset(m->state, 0, count);
    return true;
}

typedef struct { int32_t x, y; } spot_xy;

static spot_xy xy_of(const maze *m, int32_t at) {
    int32_t y = at / (int32_t)m->nx;
    return (spot_xy){at - y * (int32_t)m->nx, y};
}

/* Gcells from a gcell to the window. */
static int32_t outside(const window *w, spot_xy p) {
    return (p.x < w->x0 ? w->x0 - p.x : p.x > w->x1 ? p.x - w->x1 : 0) + (p.y < w->y0 ? w->y0 - p.y : p.y > w->y1 ? p.y - w->y1 : 0);
}

static void give(maze *m, const window *w, int32_t cell, spot_xy p, bool is_target, int32_t owner) {
    if (p.x < w->x0 || p.x > w->x1 || p.y < w->y0 || p.y > w->y1) return;
    m->owner[cell] = owner;
    if (m->use) planes_give(m, cell, p.x, p.y, is_target);
    else flat_give(m, cell, p.x, is_target);
}

/* The cells of a path between its ends. */
static void give_path(maze *m, const window *w, const edge *e, bool is_target, int32_t owner) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny;
    spot_xy p = xy_of(m, e->path[0] % size);
    for (int32_t i = 1; i + 1 < e->size; i++) {
        int32_t by = e->path[i] - e->path[i - 1];
        bool is_via = by == size || by == -size, along_y = by == nx || by == -nx;
        if (!is_via && along_y) p.y += by > 0 ? 1 : -1;
        if (!is_via && !along_y) p.x += by;
        give(m, w, e->path[i], p, is_target, owner);
    }
}

/* All cells within the window of the part of a tree at node n, without edge `skip`. */
static void gather(maze *m, const tree *t, int32_t n, int32_t skip, const window *w, bool is_target) {
    int32_t low, high, head = 0, tail = 0, size = (int32_t)(m->nx * m->ny);
    memset(m->seen, 0, (size_t)t->nodes);
    maze_layers_at(m, t, n, skip, &low, &high);
    spot_xy p = xy_of(m, t->node[n].at);
    for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[n].at, p, is_target, -1);
    m->queue[tail++] = n, m->seen[n] = 1;
    while (head < tail) {
        for (int32_t h = t->node[m->queue[head++]].first; h >= 0; h = m->next_half[h]) {
            const edge *e = t->edge + (h >> 1);
            int32_t to = h & 1 ? e->a : e->b;
            if (h >> 1 == skip || m->seen[to]) continue;
            m->seen[to] = 1, m->queue[tail++] = to;
            p = xy_of(m, t->node[to].at);
            int32_t far = outside(w, p);
            if (e->size < 2 || far >= e->size) continue; /* its path does not come into the window */
            if (!far) {
                maze_layers_at(m, t, to, skip, &low, &high);
                for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[to].at, p, is_target, h >> 1);
            }
            give_path(m, w, e, is_target, h >> 1);
        }
    }
}

static bool is_source(const maze *m, int32_t cell) { return m->use ? planes_is_source(m, cell) : flat_is_source(m, cell); }

/* The way back from a cell to the sources, written into `way` from the source on; its length. */
static int32_t trace(maze *m, int32_t cell) {
    int32_t n = 0, last = -1;
    for (;; cell = m->use ? planes_before(m, cell) : flat_before(m, cell, &last)) {
        m->way[n++] = cell;
        if (is_source(m, cell)) break;
    }
    for (int32_t i = 0, j = n - 1; i < j; i++, j--) {
        int32_t other = m->way[i];
        m->way[i] = m->way[j], m->way[j] = other;
    }
    return n;
}

static void clear(maze *m) {
    if (m->use) planes_clear(m);
    else flat_clear(m);
}

/* Routes edge e anew within `reach` gcells of its ends, flat by the toll or on layers; the cells searched. */
int64_t maze_route_anew(maze *m, tree *t, int32_t e, int32_t reach) {
    int32_t nx = (int32_t)m->nx, ny = (int32_t)m->ny, size = nx * ny;
    int32_t p1 = t->node[t->edge[e].a].at, p2 = t->node[t->edge[e].b].at;
    int32_t x1 = p1 % nx, y1 = p1 / nx, x2 = p2 % nx, y2 = p2 / nx;
    window w = {(x1 < x2 ? x1 : x2) - reach, (y1 < y2 ? y1 : y2) - reach,
                (x1 > x2 ? x1 : x2) + reach, (y1 > y2 ? y1 : y2) + reach};
    w.x0 = w.x0 < 0 ? 0 : w.x0, w.x1 = w.x1 >= nx ? nx - 1 : w.x1;
    w.y0 = w.y0 < 0 ? 0 : w.y0, w.y1 = w.y1 >= ny ? ny - 1 : w.y1;
    maze_count(m, t->edge + e, -1);
    gather(m, t, t->edge[e].a, e, &w, false);
    gather(m, t, t->edge[e].b, e, &w, true);
    int64_t searched = 0;
    int32_t found = m->use ? planes_search(m, &w, &searched) : flat_search(m, &w, &searched);
    if (found < 0 || is_source(m, found)) {
        maze_count(m, t->edge + e, 1);
        clear(m);
        return searched;
    }
    int32_t n = trace(m, found), head = 0, tail = n - 1, from = m->way[0], to = m->way[n - 1];
    while (head < tail && m->way[head + 1] % size == from % size) head++;
    while (tail > head && m->way[tail - 1] % size == to % size) tail--;
    int32_t count = tail - head + 1, *path = maze_again(m, NULL, sizeof(int32_t) * (size_t)count);
    if (m->failed) return searched;
    memcpy(path, m->way + head, sizeof(int32_t) * (size_t)count);
    free(t->edge[e].path);
    t->edge[e].path = path, t->edge[e].size = count;
    maze_count(m, t->edge + e, 1);
    int32_t of_from = m->owner[from], of_to = m->owner[to];
    clear(m);
    bool moved_a = maze_move_end(m, t, e, false, from % size, of_from);
    bool moved_b = maze_move_end(m, t, e, true, to % size, of_to);
    if (moved_a || moved_b) maze_link(m, t);
    return searched;
}
