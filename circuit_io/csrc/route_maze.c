/* The maze passes of the embedded router as `circuit_io/router_maze.py` makes them: the same routes in whole numbers. */
#include "route_maze.h"

#include <stdlib.h>

/* The path of a segment: two L shapes, see route.c; at most `most` gcells. */
static edge path_of(maze *m, const int32_t *ends, const int32_t *via, uint8_t turn) {
    int32_t x = ends[0], y = ends[1], nx = (int32_t)m->nx;
    int64_t most = 1 + labs(via[0] - x) + labs(via[1] - y) + labs(ends[2] - via[0]) + labs(ends[3] - via[1]);
    edge e = {-1, -1, 0, maze_again(m, NULL, sizeof(int32_t) * (size_t)most)};
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

SCAN_API void maze_close(maze *m) {
    if (!m) return;
    for (int64_t n = 0; m->trees && n < m->nets; n++) {
        for (int32_t e = 0; e < m->trees[n].edges; e++) free(m->trees[n].edge[e].path);
        free(m->trees[n].edge), free(m->trees[n].node);
    }
    free(m->trees), free(m->fares), free(m->spots), free(m->state), free(m->owner), free(m->heap), free(m->touched), free(m->way);
    free(m->queue), free(m->next_half), free(m->seen), free(m);
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
    if (m->failed || !maze_make_room(m, size)) goto out;
    for (int64_t i = 0; i < size; i++) m->owner[i] = -1;
    for (int64_t net = 0; net < k->nets && !m->failed; net++) {
        tree *t = m->trees + net;
        for (int64_t i = k->first_point[net]; i < k->first_point[net + 1]; i++) {
            int32_t at = k->gcell[i], n = m->owner[at] >= 0 ? m->owner[at] : maze_new_node(m, t, at);
            if (m->failed) goto out;
            m->owner[at] = n;
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
                if (m->owner[at] < 0) m->owner[at] = maze_new_node(m, t, at);
                if (side) e.b = m->owner[at];
                else e.a = m->owner[at];
            }
            maze_new_edge(m, t, e);
        }
        for (int32_t n = 0; n < t->nodes; n++) m->owner[t->node[n].at] = -1;
    }
out:
    if (!m->failed) return m;
    maze_close(m);
    return NULL;
}

static bool wants_way(const maze *m, const tree *t, const edge *e, int64_t least) {
    return e->a >= 0 && maze_length(m, t, e) > least && maze_is_full(m, e);
}

/* Routes anew, the longest of a net first, what is longer than `least` and crosses an edge above its level. `crowded`: nets
 * with the most wires above the room first. The cells searched, or -1: no memory. */
SCAN_API int64_t maze_round(maze *m, const int32_t *past_h, const int32_t *past_v, const int64_t *price, int64_t half,
                            int64_t bend, int64_t least, int64_t reach, int64_t times, int64_t crowded) {
    toll p = {past_h, past_v, price, (int32_t)half, bend};
    rank *nets = maze_again(m, NULL, sizeof(rank) * (size_t)(m->nets + 1)), *order = NULL;
    int64_t searched = 0, room = 0, nx = m->nx;
    if (!m->failed) flat_open(m, &p);
    if (m->failed) {
        free(nets);
        return -1;
    }
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
    if (crowded) qsort(nets, (size_t)m->nets, sizeof *nets, maze_by_rank);
    for (int64_t i = 0; i < m->nets && !m->failed; i++) {
        tree *t = m->trees + nets[i].number;
        int32_t first = 0;
        while (first < t->edges && !wants_way(m, t, t->edge + first, least)) first++;
        if (first == t->edges || t->edges > MOST_EDGES) continue;
        maze_link(m, t);
        if (t->edges > room) {
            room = 2 * t->edges;
            order = maze_again(m, order, sizeof(rank) * (size_t)room);
        }
        if (m->failed) break;
        int32_t count = t->edges;
        for (int32_t e = 0; e < count; e++) order[e] = (rank){-t->edge[e].size, e};
        qsort(order, (size_t)count, sizeof *order, maze_by_rank);
        for (int32_t j = 0; j < count && !m->failed; j++) {
            int32_t e = (int32_t)order[j].number;
            if (e >= t->edges || !wants_way(m, t, t->edge + e, least)) continue;
            int64_t far = times * (t->edge[e].size - 1);
            searched += maze_route_anew(m, t, e, (int32_t)(far < reach ? far : reach));
        }
    }
    free(nets), free(order);
    flat_open(m, NULL);
    return m->failed ? -1 : searched;
}

/* Cuts the loops out of all paths while nets are flat. */
SCAN_API void maze_loops(maze *m) {
    for (int64_t n = 0; n < m->nets; n++)
        for (int32_t k = 0; k < m->trees[n].edges; k++) {
            edge *e = m->trees[n].edge + k;
            if (e->a < 0) continue;
            int32_t kept = 0;
            maze_count(m, e, -1);
            for (int32_t i = 0; i < e->size; i++) m->owner[e->path[i]] = -1; /* where on the path the gcell is */
            for (int32_t i = 0; i < e->size; i++) {
                int32_t cell = e->path[i], before = m->owner[cell];
                if (before < 0) m->owner[cell] = kept, e->path[kept++] = cell;
                else while (kept > before + 1) m->owner[e->path[--kept]] = -1;
            }
            e->size = kept;
            maze_count(m, e, 1);
        }
}
