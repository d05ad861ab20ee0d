/* Layers for the nets of the embedded router, and the lengths of nets that follow. */
#include "route_maze.h"

#include <stdlib.h>

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
    int32_t *path = maze_again(m, NULL, sizeof(int32_t) * (size_t)(n + 1 + vias)), count = 0;
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
    maze_link(m, t);
    for (int32_t e = 0; e < t->edges; e++) longest = t->edge[e].size > longest ? t->edge[e].size : longest;
    size_t columns = (size_t)longest + 1, nodes = (size_t)t->nodes;
    shelf s = {malloc(columns * sizeof *s.cost), malloc(columns * sizeof *s.link), malloc(columns), malloc(nodes * sizeof(int32_t)),
               malloc(nodes * sizeof(int32_t)), malloc(nodes), calloc((size_t)t->edges + 1, 1)};
    m->failed = m->failed || !s.cost || !s.link || !s.layer || !s.low || !s.high || !s.is_set || !s.is_queued;
    for (int32_t n = 0; !m->failed && n < t->nodes; n++)
        s.low[n] = t->node[n].low, s.high[n] = t->node[n].high, s.is_set[n] = maze_is_pin(t->node + n);
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
        maze_count(m, e, 1);
    }
    free(s.cost), free(s.link), free(s.layer), free(s.low), free(s.high), free(s.is_set), free(s.is_queued);
}

/* Lays all nets on layers, the shortest a pin first, then routes the edges of nine tenths of them anew there, twice: those
 * shorter than 40 gcells, then than 12. The cells searched, or -1: no memory. */
SCAN_API int64_t maze_layers(maze *m, int64_t planes, int64_t lowest, const uint8_t *along_x, const int32_t *room, int32_t *use,
                             const int64_t *points, int64_t reach) {
    int64_t size = m->nx * m->ny, searched = 0, nx = m->nx;
    rank *order = maze_again(m, NULL, sizeof(rank) * (size_t)(m->nets + 1));
    if (m->failed || planes > MOST_LAYERS || !maze_make_room(m, size * planes)) {
        free(order);
        return -1;
    }
    m->planes = planes, m->lowest = lowest, m->along_x = along_x, m->room = room, m->use = use;
    planes_open(m);
    for (int64_t n = 0; n < m->nets; n++) {
        const tree *t = m->trees + n;
        int64_t length = 0, least = INT16_MAX;
        for (int32_t e = 0; e < t->edges; e++) {
            if (t->edge[e].a < 0) continue;
            int32_t p = t->node[t->edge[e].a].at, q = t->node[t->edge[e].b].at;
            length += maze_length(m, t, t->edge + e);
            int32_t x = (int32_t)(p % nx < q % nx ? p % nx : q % nx);
            least = x < least ? x : least;
        }
        order[n] = (rank){(length << 24) / (points[n] ? points[n] : 1) << 16 | least, n};
    }
    qsort(order, (size_t)m->nets, sizeof *order, maze_by_rank);
    for (int64_t i = 0; i < m->nets && !m->failed; i++) lay_net(m, m->trees + order[i].number);
    for (int32_t below = 40; below && !m->failed; below = below == 40 ? 12 : 0) {
        for (int64_t i = 0; i < m->nets * 9 / 10 && !m->failed; i++) {
            tree *t = m->trees + order[i].number;
            if (!t->edges || t->edges > MOST_EDGES) continue;
            maze_link(m, t);
            for (int32_t e = 0, count = t->edges; e < count && e < t->edges && !m->failed; e++) {
                if (t->edge[e].a < 0) continue;
                int64_t length = maze_length(m, t, t->edge + e);
                if (length <= 0 || length >= below) continue;
                int64_t far = t->edge[e].size - 1;
                searched += maze_route_anew(m, t, e, (int32_t)(far < reach ? far : reach));
            }
        }
    }
    free(order);
    memset(m->h, 0, sizeof(int32_t) * (size_t)size), memset(m->v, 0, sizeof(int32_t) * (size_t)size);
    for (int64_t l = 0; l < planes; l++)
        for (int64_t i = 0; i < size; i++) (along_x[l] ? m->h : m->v)[i] += use[l * size + i];
    return m->failed ? -1 : searched;
}

enum { ALONG_X = 1, ALONG_Y = 2, BY_VIA = 4 };

/* What a step from cell to cell is, as a bit of `mark`. */
static uint8_t kind_of(const maze *m, int32_t p, int32_t q) {
    int64_t size = m->nx * m->ny;
    return p / size != q / size ? BY_VIA : abs(p - q) == 1 && m->nx > 1 ? ALONG_X : ALONG_Y;
}

/* Of each net its wires in gcells, and the straight segments that OpenROAD makes of them: two wires on end are joined where
 * they follow each other in the routes and nothing else is at the point between. What its routes share counts once. */
SCAN_API void maze_lengths(maze *m, int64_t *wires, int64_t *segments) {
    uint8_t *mark = m->state;
    int32_t *ends = m->owner; /* of wires and vias at a cell */
    memset(mark, 0, (size_t)(m->nx * m->ny * m->planes));
    for (int64_t n = 0; n < m->nets; n++) {
        const tree *t = m->trees + n;
        wires[n] = segments[n] = 0;
        for (int32_t pass = 0; pass < 3; pass++) { /* clear, count what is at each point, join */
            for (int32_t k = 0; k < t->edges; k++) {
                const edge *e = t->edge + k;
                uint8_t before = 0;
                for (int32_t i = 0; e->a >= 0 && i + 1 < e->size; i++) {
                    int32_t from = e->path[i], to = e->path[i + 1];
                    uint8_t kind = kind_of(m, from, to);
                    uint8_t *s = mark + (from < to ? from : to);
                    if (!pass) ends[from] = ends[to] = 0;
                    if (!pass || (bool)(*s & kind) != (pass == 2)) continue; /* the first time that it comes */
                    *s ^= kind;
                    if (pass == 1) {
                        ends[from]++, ends[to]++;
                        continue;
                    }
                    bool is_wire = kind != BY_VIA;
                    wires[n] += is_wire;
                    segments[n] += is_wire && !(kind == before && ends[from] == 2);
                    before = kind;
                }
            }
        }
    }
}
