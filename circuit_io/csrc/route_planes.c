/* The search of the mazes of the embedded router on layers: the fewest gcells and vias, over edges with room only. */
#include "route_maze.h"

/* `state`: FROM tells where the cell before is, 0 where none is known yet; TO marks cells to reach; OPEN, see route_maze.h,
 * those with room for a wire to the next along the layer; ALONG those whose layer runs along x. */
enum { FROM = 7, START = 1, LOWER, HIGHER, UNDER, OVER, TO = 8, ALONG = 32 };

void planes_open(maze *m) {
    int64_t size = m->nx * m->ny;
    for (int64_t i = 0; i < size * m->planes; i++) {
        m->state[i] = m->along_x[i / size] ? ALONG : 0;
        maze_renew_open(m, (int32_t)i);
    }
}

/* A step costs one, so the cells in the heap cost as much as the first or one more, and what is new stays at its end. Then what
 * a binary heap does is known without moving its entries one by one: those of the least cost form a tree at its top and leave
 * in preorder, and their places are filled in postorder by what stood last. `way` holds those that stand on the way from the
 * top to place `at`, the next to be filled. */
typedef struct {
    layer_entry *heap, way[64];
    int32_t size, least, at; /* entries; places from `least` on hold none of the least cost */
    uint32_t first, end;     /* of `way`, which is a ring */
} frontier;

static inline layer_entry *on_way(frontier *q, uint32_t i) { return q->way + i % 64; }

static inline void descend(frontier *q, int32_t i) {
    for (; i < q->least; i = 2 * i + 1) *on_way(q, q->end++) = q->heap[q->at = i];
}

static inline layer_entry pop(frontier *q) {
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

/* Lets a search begin at a cell, or end there. */
void planes_give(maze *m, int32_t cell, int32_t x, int32_t y, bool is_target) {
    uint8_t *s = m->state + cell;
    if (*s & (is_target ? TO : FROM)) return;
    *s |= is_target ? TO : START;
    m->touched[m->num_touched++] = cell;
    if (!is_target) ((layer_entry *)m->heap)[m->heap_size++] = (layer_entry){0, cell, x, y};
}

typedef struct { int32_t by, x, y; uint8_t open, from; } step;

/* The first target that the search comes to, -1 where it comes to none. */
int32_t planes_search(maze *m, const window *w, int64_t *searched) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny, top = size * ((int32_t)m->planes - 1), found = -1;
    uint8_t *state = m->state;
    int32_t *touched = m->touched + m->num_touched;
    frontier q = {.heap = m->heap, .size = (int32_t)m->heap_size};
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
        layer_entry e = pop(&q);
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

bool planes_is_source(const maze *m, int32_t cell) { return (m->state[cell] & FROM) == START; }

/* The cell before `cell`. */
int32_t planes_before(const maze *m, int32_t cell) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny, from = m->state[cell] & FROM, by = m->state[cell] & ALONG ? 1 : nx;
    return from == LOWER ? cell - by : from == HIGHER ? cell + by : from == UNDER ? cell - size : cell + size;
}

void planes_clear(maze *m) {
    for (int64_t i = 0; i < m->num_touched; i++) m->state[m->touched[i]] &= OPEN | ALONG;
    m->num_touched = m->heap_size = 0;
}
