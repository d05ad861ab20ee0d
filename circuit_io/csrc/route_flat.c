/* The search of the mazes of the embedded router while nets are flat: the cheapest way by the prices of a round.
 *
 * Which of several ways as cheap is found follows from the order in which a binary heap gives cells, so the heap here comes to
 * hold its entries exactly as the one of `router_reference_search.py` does.
 */
#include "route_maze.h"

#define NEVER (INT64_MAX / 2) /* a price more is still a number */
enum { NOWHERE, LEFT, RIGHT, BELOW, ABOVE };                     /* `from`: where the cell before is */
enum { SOURCE = 1, TARGET = 2, STRAIGHT_H = 4, STRAIGHT_V = 8 }; /* `mark` */

/* Prices of a round; NULL: it is over. */
void flat_open(maze *m, const toll *p) {
    m->toll = p;
    int64_t size = m->nx * m->ny;
    if (p && !m->fares) {
        m->fares = maze_again(m, NULL, sizeof(fare) * (size_t)size);
        m->spots = maze_again(m, NULL, sizeof(spot) * (size_t)size);
        for (int64_t i = 0; !m->failed && i < size; i++) m->spots[i] = (spot){NEVER, -1, NOWHERE, 0};
    }
    for (int64_t i = 0; p && !m->failed && i < size; i++)
        m->fares[i] = (fare){maze_fare(p, m->level_h[i], m->h[i], p->past_h[i]),
                             maze_fare(p, m->level_v[i], m->v[i], p->past_v[i])};
}

typedef struct { /* what the search has at hand */
    flat_entry *heap;
    spot *spots;
    size_t size;
    int32_t *touched;
} frontier;

/* `place` of a cell is where it was last put: since then it has moved only towards the top, see `pop`. */
static inline void put(const frontier *q, size_t i, flat_entry e) { q->heap[i] = e, q->spots[e.cell].place = (int32_t)i; }

static inline void rise(const frontier *q, size_t i, flat_entry e) {
    for (size_t up; i > 0; i = up) {
        flat_entry above = q->heap[up = (i - 1) / 2];
        if (above.cost <= e.cost) break;
        put(q, i, above);
    }
    put(q, i, e);
}

/* The last entry goes where it would come to rest on the way of the least children, the left among equals: this way is
 * followed through the full levels, whose number is easy to foretell, one more without a branch, and then back. Two levels are
 * taken at once, where it can be, so that their loads need not wait for each other. */
static inline flat_entry pop(frontier *q) {
    flat_entry *heap = q->heap, first = heap[0];
    size_t n = --q->size, i = 0, full = 3;
    flat_entry last = heap[n];
    if (!n) return first;
    heap[n].cost = heap[n + 1].cost = NEVER;
    for (; 2 * full + 1 <= n; full = 4 * full + 3) {
        const flat_entry *child = heap + 2 * i + 1, *below = heap + 4 * i + 3;
        size_t of_left = below[1].cost < below[0].cost, of_right = 2 + (below[3].cost < below[2].cost);
        size_t right = child[1].cost < child[0].cost, of = of_left ^ ((of_left ^ of_right) & -right);
        heap[i] = child[right], heap[2 * i + 1 + right] = below[of];
        i = 4 * i + 3 + of;
    }
    if (full <= n) {
        size_t child = 2 * i + 1;
        child += heap[child + 1].cost < heap[child].cost;
        heap[i] = heap[child], i = child;
    }
    size_t child = 2 * i + 1 < n ? 2 * i + 1 : n;
    child += heap[child + 1].cost < heap[child].cost;
    heap[i] = heap[child];
    i = heap[child].cost < last.cost ? child : i;
    for (size_t up; i > 0 && heap[up = (i - 1) / 2].cost >= last.cost; i = up) heap[i] = heap[up];
    put(q, i, last);
    return first;
}

typedef struct {
    int64_t cost;
    int32_t by, x, from;
} step;

/* One step of a flat way, with the price of a bend. A cell has one way to it, but where going straight through it would spare
 * a bend, it says so. */
static inline void leave(frontier *q, const maze *m, const window *w, flat_entry e) {
    int32_t nx = (int32_t)m->nx, cell = e.cell, x = e.x, bottom = w->y0 * nx, top = w->y1 * nx;
    spot *s = q->spots + cell;
    const fare *f = m->fares + cell;
    int64_t bend = m->toll->bend;
    bool bent_x = s->from >= BELOW, bent_y = s->from == LEFT || s->from == RIGHT; /* by a step along x, along y */
    int64_t by_x = e.cost + (bent_x ? bend : 0), by_y = e.cost + (bent_y ? bend : 0), straight = e.cost + bend;
    int32_t left = x > w->x0 ? -1 : 0, right = x < w->x1 ? 1 : 0;
    int32_t down = cell >= bottom + nx ? -nx : 0, up = cell < top ? nx : 0;
    /* What these come to is hard to foretell, so there are few branches; a step that cannot be leads to the cell itself. */
    bool from_right = (left != 0) & (x < w->x1 - 1) & (s[right].cost + f->h < straight);
    bool from_left = (right != 0) & (x > w->x0 + 1) & (s[left].cost + f[left].h < straight);
    bool from_above = (down != 0) & (cell < top - nx) & (s[up].cost + f->v < straight);
    bool from_below = (up != 0) & (cell >= bottom + 2 * nx) & (s[down].cost + f[down].v < straight);
    bool straight_h = bent_x & (from_left | from_right), straight_v = bent_y & (from_below | from_above);
    s->mark = (uint8_t)(s->mark | (straight_h ? STRAIGHT_H : 0) | (straight_v ? STRAIGHT_V : 0));
    const step steps[4] = {{by_x + f[left].h, left, x - 1, RIGHT}, {by_x + f->h, right, x + 1, LEFT},
                           {by_y + f[down].v, down, x, ABOVE}, {by_y + f->v, up, x, BELOW}};
    uint32_t better = (uint32_t)(s[left].cost > steps[0].cost) | (uint32_t)(s[right].cost > steps[1].cost) << 1 |
                      (uint32_t)(s[down].cost > steps[2].cost) << 2 | (uint32_t)(s[up].cost > steps[3].cost) << 3;
    for (; better; better &= better - 1) {
        static const uint8_t lowest[16] = {0, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0}; /* bit that is set */
        const step *k = steps + lowest[better];
        int32_t to = cell + k->by;
        spot *t = s + k->by;
        size_t place;
        if (t->cost == NEVER) *q->touched++ = to, place = q->size++;
        else for (place = (size_t)t->place; q->heap[place].cell != to;) place = (place - 1) / 2;
        t->cost = k->cost, t->from = (uint8_t)k->from;
        rise(q, place, (flat_entry){k->cost, to, k->x});
    }
}

/* Lets a search begin at a cell, or end there. */
void flat_give(maze *m, int32_t cell, int32_t x, bool is_target) {
    spot *s = m->spots + cell;
    uint8_t kind = is_target ? TARGET : SOURCE;
    if (s->mark & kind) return;
    if (s->cost == NEVER && !s->mark) m->touched[m->num_touched++] = cell;
    s->mark |= kind;
    if (is_target) return;
    s->cost = 0, s->from = NOWHERE, s->place = (int32_t)m->heap_size;
    ((flat_entry *)m->heap)[m->heap_size++] = (flat_entry){0, cell, x};
}

/* The first target that the search comes to, -1 where it comes to none. */
int32_t flat_search(maze *m, const window *w, int64_t *searched) {
    frontier q = {m->heap, m->spots, (size_t)m->heap_size, m->touched + m->num_touched};
    int32_t found = -1;
    while (q.size) {
        if (q.spots[q.heap->cell].mark & TARGET) {
            found = q.heap->cell;
            break;
        }
        ++*searched;
        leave(&q, m, w, pop(&q));
    }
    m->num_touched = q.touched - m->touched;
    return found;
}

bool flat_is_source(const maze *m, int32_t cell) { return m->spots[cell].cost == 0; }

/* The cell before `cell` on the way to `last`, -1 where only its own way counts; this becomes the next `last`. */
int32_t flat_before(const maze *m, int32_t cell, int32_t *last) {
    int32_t nx = (int32_t)m->nx, from = m->spots[cell].from, after = *last;
    bool by_x = nx > 1 && (after == cell - 1 || after == cell + 1);
    if (after >= 0 && m->spots[cell].mark & (by_x ? STRAIGHT_H : STRAIGHT_V)) {
        *last = -1;
        return 2 * cell - after;
    }
    *last = cell;
    return from == LEFT ? cell - 1 : from == RIGHT ? cell + 1 : from == BELOW ? cell - nx : cell + nx;
}

void flat_clear(maze *m) {
    for (int64_t i = 0; i < m->num_touched; i++) m->spots[m->touched[i]].cost = NEVER, m->spots[m->touched[i]].mark = 0;
    m->num_touched = m->heap_size = 0;
}
