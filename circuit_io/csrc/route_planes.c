/* The search of the mazes of the embedded router on layers: the fewest gcells and vias, over edges with room only. */
#include "route_maze.h"

/* `state`: FROM tells where the cell before is, 0 where none is known yet; TO marks cells to reach; OPEN, see route_maze.h,
 * those with room for a wire to the next along the layer; ALONG those whose layer runs along x. */
enum { FROM = 7, START = 1, LOWER, HIGHER, UNDER, OVER, TO = 8, ALONG = 32 };

void planes_open(maze *m) {
    int64_t size = m->nx * m->ny;
    m->y_at = 1;
    while (m->nx >> (m->y_at - 1)) m->y_at++;
    for (int64_t i = 0; i < size * m->planes; i++) {
        m->state[i] = m->along_x[i / size] ? ALONG : 0;
        maze_renew_open(m, (int32_t)i);
    }
}

/* An entry of the heap: the cell in its upper half, below y from bit `y_at` on, x from bit 1 on, and in bit 0 whether the
 * cost is odd; below 2^30 cells, which router_demand.py sees to, they fit. A step from cell to cell adds the same number to
 * each. */
typedef uint64_t entry;
static inline entry entry_of(int64_t cell, int64_t x, int64_t y, int32_t y_at) {
    return ((uint64_t)cell << 32) + ((uint64_t)y << y_at) + ((uint64_t)x << 1);
}

/* A step costs one, so the cells in the heap cost as much as the first or one more, and what is new stays at its end. Then what
 * a binary heap does is known without moving its entries one by one: those of the least cost form a tree at its top and leave
 * in preorder, and their places are filled in postorder by what stood last. `way` holds those that stand on the way from the
 * top to place `at`, the next to be filled. */
typedef struct {
    entry *heap, way[64];
    int32_t size, least, at; /* entries; places from `least` on hold none of the least cost */
    uint32_t first, end;     /* of `way`, which is a ring */
} frontier;

static inline entry *on_way(frontier *q, uint32_t i) { return q->way + i % 64; }

static inline void descend(frontier *q, int32_t i) {
    for (; i < q->least; i = 2 * i + 1) *on_way(q, q->end++) = q->heap[q->at = i];
}

static inline entry pop(frontier *q) {
    entry first = *on_way(q, q->first++);
    int32_t n = --q->size;
    if (!n) return first;
    entry last = q->heap[n];
    if (n < q->least) q->least = n;
    if (!((last ^ first) & 1)) { /* as cheap, so it goes to the top and stays there */
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
    if (!is_target) ((entry *)m->heap)[m->heap_size++] = entry_of(cell, x, y, m->y_at);
}

typedef struct { /* wires one way */
    entry step;        /* what a step on adds */
    int32_t by;        /* to the cell */
    int32_t shift;     /* of x or y in an entry */
    uint32_t mask, low, high;
} lane;

/* The first target that the search comes to, -1 where it comes to none. */
int32_t planes_search(maze *m, const window *w, int64_t *searched) {
    int32_t nx = (int32_t)m->nx, size = nx * (int32_t)m->ny, top = size * ((int32_t)m->planes - 1), found = -1;
    const lane lanes[2] = {
        {entry_of(nx, 0, 1, m->y_at), nx, m->y_at, UINT32_MAX >> m->y_at, (uint32_t)w->y0, (uint32_t)w->y1},
        {entry_of(1, 1, 0, m->y_at), 1, 1, (1U << (m->y_at - 1)) - 1, (uint32_t)w->x0, (uint32_t)w->x1},
    };
    const entry plane = entry_of(size, 0, 0, m->y_at);
    uint8_t *state = m->state;
    int32_t *touched = m->touched + m->num_touched;
    int64_t count = 0;
    frontier q;
    q.heap = m->heap, q.size = (int32_t)m->heap_size, q.first = q.end = 0;
    for (;; count++) {
        if (q.first == q.end) {
            if (!q.size) break;
            q.least = q.size;
            descend(&q, 0);
        }
        int32_t cell = (int32_t)(*on_way(&q, q.first) >> 32);
        uint8_t *s = state + cell, here = *s;
        if (here & TO) {
            found = cell;
            break;
        }
        entry e = pop(&q);
        const lane *l = lanes + (bool)(here & ALONG);
        uint32_t at = (uint32_t)e >> l->shift & l->mask;
        /* Which of the four are new is hard to foretell, so there are no branches: a step that cannot be leads to the cell. */
        int64_t back = -(int64_t)(at > l->low), on = -(int64_t)((here & OPEN) && at < l->high);
        int64_t down = -(int64_t)(cell >= size), up = -(int64_t)(cell < top);
        const int64_t by[4] = {-l->by & back, l->by & on, -size & down, size & up};
        const entry to[4] = {e - (l->step & (uint64_t)back), e + (l->step & (uint64_t)on), e - (plane & (uint64_t)down),
                             e + (plane & (uint64_t)up)};
        static const uint8_t from[4] = {HIGHER, LOWER, OVER, UNDER};
        uint8_t was[4];
        for (int32_t i = 0; i < 4; i++) was[i] = s[by[i]];
        for (int32_t i = 0; i < 4; i++) {
            bool is_new = i ? !(was[i] & FROM) : (was[i] & (OPEN | FROM)) == OPEN;
            s[by[i]] = (uint8_t)(was[i] | (is_new ? from[i] : 0));
            q.heap[q.size] = to[i] ^ 1, q.size += is_new;
            *touched = cell + (int32_t)by[i], touched += is_new;
        }
    }
    *searched += count;
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
