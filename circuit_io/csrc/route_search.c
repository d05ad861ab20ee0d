/* The searches of the mazes of the embedded router: the cheapest way between the two parts of a tree.
 *
 * Which of several ways as cheap is found follows from the order in which a binary heap gives cells, so the heaps here
 * move their entries exactly as the one of `router_reference_search.py` does.
 */
#include "route_maze.h"

#include <stdlib.h>

#define NEVER INT64_MAX
enum { NOWHERE, LEFT, RIGHT, BELOW, ABOVE };                        /* `from`: where the cell before is */
enum { SOURCE = 1, TARGET = 2, STRAIGHT_H = 4, STRAIGHT_V = 8 };    /* `mark` */
/* `state` on layers: FROM tells where the cell before is, 0 where none is known yet; TO marks cells to reach; OPEN cells
 * with room for a wire to the next along the layer; ALONG those whose layer runs along x. */
enum { FROM = 7, START = 1, LOWER, HIGHER, UNDER, OVER, TO = 8, ALONG = 32 };

typedef struct { int32_t x0, y0, x1, y1; } window;

bool maze_make_room(maze *m, int64_t cells) {
    size_t count = (size_t)cells + 1, bytes = sizeof(int32_t) * count;
    m->heap = maze_again(m, m->heap, sizeof(flat_entry) * count);
    m->owner = maze_again(m, m->owner, bytes), m->state = maze_again(m, m->state, count);
    m->touched = maze_again(m, m->touched, 2 * bytes), m->way = maze_again(m, m->way, bytes);
    if (m->failed) return false;
    memset(m->state, 0, count);
    return true;
}

/* Prices of a round; NULL: it is over. */
void maze_set_toll(maze *m, const toll *p) {
    m->toll = p;
    int64_t size = m->nx * m->ny;
    if (p && !m->fares) {
        m->fares = maze_again(m, NULL, sizeof(fare) * (size_t)size), m->spots = maze_again(m, NULL, sizeof(spot) * (size_t)size);
        for (int64_t i = 0; !m->failed && i < size; i++) m->spots[i] = (spot){NEVER, -1, NOWHERE, 0};
    }
    for (int64_t i = 0; p && !m->failed && i < size; i++)
        m->fares[i] = (fare){maze_fare(p, m->level_h[i], m->h[i], p->past_h[i]), maze_fare(p, m->level_v[i], m->v[i], p->past_v[i])};
}

void maze_open_layers(maze *m) {
    int64_t size = m->nx * m->ny;
    for (int64_t i = 0; i < size * m->planes; i++) {
        m->state[i] = m->along_x[i / size] ? ALONG : 0;
        maze_renew_open(m, (int32_t)i);
    }
}

/* ---- flat ---- */

static void rise(maze *m, int32_t i, flat_entry e) {
    flat_entry *heap = m->heap;
    for (int32_t up; i > 0 && heap[up = (i - 1) / 2].cost > e.cost; i = up) {
        heap[i] = heap[up];
        m->spots[heap[i].cell].place = i;
    }
    heap[i] = e, m->spots[e.cell].place = i;
}
/* The last entry goes where it would come to rest on the way of the least children, the left among equals: this way is
 * followed to its end, and then back. */
static flat_entry pop(maze *m) {
    flat_entry *heap = m->heap, first = heap[0];
    int32_t n = (int32_t)--m->heap_size, i = 0;
    flat_entry last = heap[n];
    if (!n) return first;
    heap[n].cost = NEVER;
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        child += heap[child + 1].cost < heap[child].cost;
        heap[i] = heap[child];
        m->spots[heap[i].cell].place = i;
    }
    for (int32_t up; i > 0 && heap[up = (i - 1) / 2].cost >= last.cost; i = up) {
        heap[i] = heap[up];
        m->spots[heap[i].cell].place = i;
    }
    heap[i] = last, m->spots[last.cell].place = i;
    return first;
}

static inline void relax(maze *m, int32_t to, int32_t x, uint8_t from, int64_t cost) {
    spot *s = m->spots + to;
    if (s->cost <= cost) return;
    if (s->cost == NEVER) m->touched[m->num_touched++] = to, s->place = (int32_t)m->heap_size++;
    s->cost = cost, s->from = from;
    rise(m, s->place, (flat_entry){cost, to, x});
}

/* One step of a flat way, with the price of a bend. A cell has one way to it, but where going straight through it would spare
 * a bend, it says so. */
static inline void step_flat(maze *m, const window *w, flat_entry e) {
    int32_t nx = (int32_t)m->nx, cell = e.cell, x = e.x, bottom = w->y0 * nx, top = w->y1 * nx;
    spot *s = m->spots + cell;
    const fare *f = m->fares + cell;
    int64_t bend = m->toll->bend;
    bool bent_x = s->from >= BELOW, bent_y = s->from == LEFT || s->from == RIGHT; /* by a step along x, along y */
    int64_t by_x = e.cost + (bent_x ? bend : 0), by_y = e.cost + (bent_y ? bend : 0), straight = e.cost + bend;
    if (x > w->x0) {
        if (bent_x && x < w->x1 - 1 && s[1].cost != NEVER && s[1].cost + f->h < straight) s->mark |= STRAIGHT_H;
        relax(m, cell - 1, x - 1, RIGHT, by_x + f[-1].h);
    }
    if (x < w->x1) {
        if (bent_x && x > w->x0 + 1 && s[-1].cost != NEVER && s[-1].cost + f[-1].h < straight) s->mark |= STRAIGHT_H;
        relax(m, cell + 1, x + 1, LEFT, by_x + f->h);
    }
    if (cell >= bottom + nx) {
        if (bent_y && cell < top - nx && s[nx].cost != NEVER && s[nx].cost + f->v < straight) s->mark |= STRAIGHT_V;
        relax(m, cell - nx, x, ABOVE, by_y + f[-nx].v);
    }
    if (cell < top) {
        if (bent_y && cell >= bottom + 2 * nx && s[-nx].cost != NEVER && s[-nx].cost + f[-nx].v < straight) s->mark |= STRAIGHT_V;
        relax(m, cell + nx, x, BELOW, by_y + f->v);
    }
}

static void give_flat(maze *m, int32_t cell, int32_t x, bool is_target, int32_t owner) {
    spot *s = m->spots + cell;
    uint8_t kind = is_target ? TARGET : SOURCE;
    m->owner[cell] = owner;
    if (s->mark & kind) return;
    if (s->cost == NEVER && !s->mark) m->touched[m->num_touched++] = cell;
    s->mark |= kind;
    if (is_target) return;
    s->cost = 0, s->from = NOWHERE, s->place = (int32_t)m->heap_size;
    ((flat_entry *)m->heap)[m->heap_size++] = (flat_entry){0, cell, x};
}

/* The first target that the search comes to, -1 where it comes to none. */
static int32_t search_flat(maze *m, const window *w, int64_t *searched) {
    while (m->heap_size) {
        int32_t cell = ((flat_entry *)m->heap)->cell;
        if (m->spots[cell].mark & TARGET) return cell;
        ++*searched;
        step_flat(m, w, pop(m));
    }
    return -1;
}

/* ---- on layers ---- */

/* All costs in the heap are of one number or the next, and what is new costs most: it stays at the end. */
static layer_entry pop_layers(maze *m) {
    layer_entry *heap = m->heap, first = heap[0];
    int32_t n = (int32_t)--m->heap_size, i = 0;
    layer_entry last = heap[n];
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (heap[child].cost >= last.cost && (++child == n || heap[child].cost >= last.cost)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return first;
}

static inline void visit(maze *m, int32_t cell, int32_t x, int32_t y, uint8_t from, int32_t cost) {
    m->state[cell] |= from;
    m->touched[m->num_touched++] = cell;
    ((layer_entry *)m->heap)[m->heap_size++] = (layer_entry){cost, cell, x, y};
}

static inline void step_layers(maze *m, const window *w, layer_entry e) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny, cell = e.cell;
    const uint8_t *s = m->state + cell;
    bool x = *s & ALONG;
    int32_t by = x ? 1 : nx, at = x ? e.x : e.y, dx = x, dy = !x;
    if (at > (x ? w->x0 : w->y0) && (s[-by] & (OPEN | FROM)) == OPEN) visit(m, cell - by, e.x - dx, e.y - dy, HIGHER, e.cost + 1);
    if (*s & OPEN && at < (x ? w->x1 : w->y1) && !(s[by] & FROM)) visit(m, cell + by, e.x + dx, e.y + dy, LOWER, e.cost + 1);
    if (cell >= size && !(s[-size] & FROM)) visit(m, cell - size, e.x, e.y, OVER, e.cost + 1);
    if (cell < size * ((int32_t)m->planes - 1) && !(s[size] & FROM)) visit(m, cell + size, e.x, e.y, UNDER, e.cost + 1);
}

static void give_layers(maze *m, int32_t cell, int32_t x, int32_t y, bool is_target, int32_t owner) {
    m->owner[cell] = owner;
    if (is_target) m->state[cell] |= TO, m->touched[m->num_touched++] = cell;
    else if (!(m->state[cell] & FROM)) visit(m, cell, x, y, START, 0);
}

static int32_t search_layers(maze *m, const window *w, int64_t *searched) {
    while (m->heap_size) {
        int32_t cell = ((layer_entry *)m->heap)->cell;
        if (m->state[cell] & TO) return cell;
        ++*searched;
        step_layers(m, w, pop_layers(m));
    }
    return -1;
}

/* ---- both ---- */

static void give(maze *m, const window *w, int32_t cell, bool is_target, int32_t owner) {
    int32_t nx = (int32_t)m->nx, at = m->use ? cell % (nx * (int32_t)m->ny) : cell, y = at / nx, x = at - y * nx;
    if (x < w->x0 || x > w->x1 || y < w->y0 || y > w->y1) return;
    if (m->use) give_layers(m, cell, x, y, is_target, owner);
    else give_flat(m, cell, x, is_target, owner);
}

/* All cells within the window of the part of a tree at node n, without edge `skip`. */
static void gather(maze *m, const tree *t, int32_t n, int32_t skip, const window *w, bool is_target) {
    int32_t low, high, head = 0, tail = 0, size = (int32_t)(m->nx * m->ny);
    memset(m->seen, 0, (size_t)t->nodes);
    maze_layers_at(m, t, n, skip, &low, &high);
    for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[n].at, is_target, -1);
    m->queue[tail++] = n, m->seen[n] = 1;
    while (head < tail) {
        for (int32_t h = t->node[m->queue[head++]].first; h >= 0; h = m->next_half[h]) {
            const edge *e = t->edge + (h >> 1);
            int32_t to = h & 1 ? e->a : e->b;
            if (h >> 1 == skip || m->seen[to]) continue;
            m->seen[to] = 1, m->queue[tail++] = to;
            if (e->size < 2) continue;
            maze_layers_at(m, t, to, skip, &low, &high);
            for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[to].at, is_target, h >> 1);
            for (int32_t i = 1; i + 1 < e->size; i++) give(m, w, e->path[i], is_target, h >> 1);
        }
    }
}

/* The cell before `cell`, by its own way. */
static int32_t before(const maze *m, int32_t cell) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny;
    if (m->use) {
        int32_t from = m->state[cell] & FROM, by = m->state[cell] & ALONG ? 1 : nx;
        return from == LOWER ? cell - by : from == HIGHER ? cell + by : from == UNDER ? cell - size : cell + size;
    }
    int32_t from = m->spots[cell].from;
    return from == LEFT ? cell - 1 : from == RIGHT ? cell + 1 : from == BELOW ? cell - nx : cell + nx;
}
static bool is_source(const maze *m, int32_t cell) {
    return m->use ? (m->state[cell] & FROM) == START : m->spots[cell].cost == 0;
}

/* The way back from a cell to the sources, written into `way` from the source on; its length. */
static int32_t trace(maze *m, int32_t cell) {
    int32_t n = 0, last = -1;
    for (;;) {
        m->way[n++] = cell;
        if (is_source(m, cell)) break;
        bool by_x = m->nx > 1 && (last == cell - 1 || last == cell + 1);
        if (last >= 0 && !m->use && m->spots[cell].mark & (by_x ? STRAIGHT_H : STRAIGHT_V)) {
            cell = 2 * cell - last, last = -1; /* there its own way counts */
        } else {
            last = cell, cell = before(m, cell);
        }
    }
    for (int32_t i = 0, j = n - 1; i < j; i++, j--) {
        int32_t other = m->way[i];
        m->way[i] = m->way[j], m->way[j] = other;
    }
    return n;
}

static void clear(maze *m) {
    for (int64_t i = 0; i < m->num_touched; i++)
        if (m->use) m->state[m->touched[i]] &= OPEN | ALONG;
        else m->spots[m->touched[i]].cost = NEVER, m->spots[m->touched[i]].mark = 0;
    m->num_touched = m->heap_size = 0;
}

/* Routes edge e anew within `reach` gcells of its ends, flat by the toll or on layers; the cells searched. */
int64_t maze_route_anew(maze *m, tree *t, int32_t e, int32_t reach) {
    int32_t nx = (int32_t)m->nx, ny = (int32_t)m->ny, size = nx * ny;
    int32_t p1 = t->node[t->edge[e].a].at, p2 = t->node[t->edge[e].b].at;
    int32_t x1 = p1 % nx, y1 = p1 / nx, x2 = p2 % nx, y2 = p2 / nx;
    window w = {(x1 < x2 ? x1 : x2) - reach, (y1 < y2 ? y1 : y2) - reach, (x1 > x2 ? x1 : x2) + reach, (y1 > y2 ? y1 : y2) + reach};
    w.x0 = w.x0 < 0 ? 0 : w.x0, w.y0 = w.y0 < 0 ? 0 : w.y0, w.x1 = w.x1 >= nx ? nx - 1 : w.x1, w.y1 = w.y1 >= ny ? ny - 1 : w.y1;
    maze_count(m, t->edge + e, -1);
    gather(m, t, t->edge[e].a, e, &w, false);
    gather(m, t, t->edge[e].b, e, &w, true);
    int64_t searched = 0;
    int32_t found = m->use ? search_layers(m, &w, &searched) : search_flat(m, &w, &searched);
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
