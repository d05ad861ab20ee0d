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

/* `place` of a cell is where it was last put: since then it has moved only towards the top, see `pop`. */
static inline void put(maze *m, int32_t i, flat_entry e) { ((flat_entry *)m->heap)[i] = e, m->spots[e.cell].place = i; }

static inline void rise(maze *m, int32_t i, flat_entry e) {
    const flat_entry *heap = m->heap;
    for (int32_t up; i > 0; i = up) {
        flat_entry above = heap[up = (i - 1) / 2];
        if (above.cost <= e.cost) break;
        put(m, i, above);
    }
    put(m, i, e);
}
/* The last entry goes where it would come to rest on the way of the least children, the left among equals: this way is
 * followed to its end, by two levels where it can be so that their loads need not wait for each other, and then back. */
static inline flat_entry pop(maze *m) {
    flat_entry *heap = m->heap, first = heap[0];
    size_t n = (size_t)--m->heap_size, i = 0;
    flat_entry last = heap[n];
    if (!n) return first;
    heap[n].cost = NEVER;
    while (4 * i + 6 < n) {
        const flat_entry *child = heap + 2 * i + 1, *below = heap + 4 * i + 3;
        size_t of_left = below[1].cost < below[0].cost, of_right = 2 + (below[3].cost < below[2].cost);
        size_t right = child[1].cost < child[0].cost, of = of_left ^ ((of_left ^ of_right) & -right);
        heap[i] = child[right], heap[2 * i + 1 + right] = below[of];
        i = 4 * i + 3 + of;
    }
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += heap[child + 1].cost < heap[child].cost;
        heap[i] = heap[child];
    }
    for (size_t up; i > 0 && heap[up = (i - 1) / 2].cost >= last.cost; i = up) heap[i] = heap[up];
    put(m, (int32_t)i, last);
    return first;
}

static inline void relax(maze *m, int32_t to, int32_t x, uint8_t from, int64_t cost) {
    spot *s = m->spots + to;
    if (s->cost <= cost) return;
    int32_t i = s->place;
    if (s->cost == NEVER) m->touched[m->num_touched++] = to, i = (int32_t)m->heap_size++;
    else while (((const flat_entry *)m->heap)[i].cell != to) i = (i - 1) / 2;
    s->cost = cost, s->from = from;
    rise(m, i, (flat_entry){cost, to, x});
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

/* A step costs one, so the cells in the heap cost as much as the first or one more, and what is new stays at its end. Then what
 * a binary heap does is known without moving its entries one by one: those of the least cost form a tree at its top and leave
 * in preorder, and their places are filled in postorder by what stood last. `way` holds those that stand on the way from the
 * top to place `at`, the next to be filled. */
typedef struct {
    layer_entry *heap, way[64];
    int32_t size, least, at; /* entries; places from `least` on hold none of the least cost */
    uint32_t first, end;     /* of `way`, which is a ring */
} tide;

static inline layer_entry *on_way(tide *q, uint32_t i) { return q->way + i % 64; }

static inline void descend(tide *q, int32_t i) {
    for (; i < q->least; i = 2 * i + 1) *on_way(q, q->end++) = q->heap[q->at = i];
}
static inline layer_entry pop_layers(tide *q) {
    layer_entry first = *on_way(q, q->first++);
    int32_t n = --q->size;
    if (!n) return first;
    layer_entry last = q->heap[n];
    if (n < q->least) q->least = n;
    if (last.cost == first.cost) { /* it goes to the top and stays there */
        if (n == q->at) last = *on_way(q, --q->end), q->at = (n - 1) / 2;
        *on_way(q, --q->first) = last;
        return first;
    }
    q->heap[q->at] = last;
    if (q->at & 1 && q->at + 1 < q->least) descend(q, q->at + 1);
    else q->at = (q->at - 1) / 2;
    return first;
}

static inline void visit(maze *m, int32_t cell, int32_t x, int32_t y, uint8_t from, int32_t cost) {
    m->state[cell] |= from;
    m->touched[m->num_touched++] = cell;
    ((layer_entry *)m->heap)[m->heap_size++] = (layer_entry){cost, cell, x, y};
}

static void give_layers(maze *m, int32_t cell, int32_t x, int32_t y, bool is_target, int32_t owner) {
    m->owner[cell] = owner;
    if (is_target) m->state[cell] |= TO, m->touched[m->num_touched++] = cell;
    else if (!(m->state[cell] & FROM)) visit(m, cell, x, y, START, 0);
}

typedef struct { int32_t by, x, y; uint8_t open, from; } step;

static int32_t search_layers(maze *m, const window *w, int64_t *searched) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny, top = size * ((int32_t)m->planes - 1), found = -1;
    uint8_t *state = m->state;
    int32_t *touched = m->touched + m->num_touched;
    tide q = {.heap = m->heap, .size = (int32_t)m->heap_size};
    for (;;) {
        if (q.first == q.end) {
            if (!q.size) break;
            q.least = q.size;
            descend(&q, 0);
        }
        int32_t cell = on_way(&q, q.first)->cell;
        uint8_t *s = state + cell;
        if (*s & TO) {
            found = cell;
            break;
        }
        ++*searched;
        layer_entry e = pop_layers(&q);
        bool along_x = *s & ALONG;
        int32_t by = along_x ? 1 : nx, dx = along_x, dy = !along_x, at = along_x ? e.x : e.y;
        int32_t low = along_x ? w->x0 : w->y0, high = along_x ? w->x1 : w->y1;
        /* Which of the four are new is hard to foretell, so there are no branches: a step that cannot be leads to the cell. */
        int32_t back = at > low ? -by : 0, on = *s & OPEN && at < high ? by : 0, down = cell >= size ? -size : 0;
        int32_t up = cell < top ? size : 0;
        const step steps[4] = {{back, e.x - dx, e.y - dy, OPEN, HIGHER}, {on, e.x + dx, e.y + dy, 0, LOWER},
                               {down, e.x, e.y, 0, OVER}, {up, e.x, e.y, 0, UNDER}};
        for (int32_t i = 0; i < 4; i++) {
            const step *k = steps + i;
            bool is_new = (s[k->by] & (k->open | FROM)) == k->open;
            s[k->by] = (uint8_t)(s[k->by] | (is_new ? k->from : 0));
            q.heap[q.size] = (layer_entry){e.cost + 1, cell + k->by, k->x, k->y}, q.size += is_new;
            *touched = cell + k->by, touched += is_new;
        }
    }
    m->num_touched = touched - m->touched;
    return found;
}

/* ---- both ---- */

/* Gcells from a gcell to the window. */
static int32_t outside(const maze *m, const window *w, int32_t at) {
    int32_t y = at / (int32_t)m->nx, x = at - y * (int32_t)m->nx;
    return (x < w->x0 ? w->x0 - x : x > w->x1 ? x - w->x1 : 0) + (y < w->y0 ? w->y0 - y : y > w->y1 ? y - w->y1 : 0);
}

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
            int32_t far = outside(m, w, t->node[to].at);
            if (e->size < 2 || far >= e->size) continue; /* its path does not come into the window */
            if (!far) {
                maze_layers_at(m, t, to, skip, &low, &high);
                for (int32_t l = low; l <= high; l++) give(m, w, l * size + t->node[to].at, is_target, h >> 1);
            }
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
