/* The trees of the nets in the mazes of the embedded router, and their wires on the grid. */
#include "route_maze.h"

#include <stdlib.h>

void *maze_again(maze *m, void *old, size_t size) {
    void *new = realloc(old, size ? size : 1);
    if (!new) m->failed = true;
    return new ? new : old;
}

int32_t maze_new_node(maze *m, tree *t, int32_t at) {
    if (t->nodes == t->node_room) {
        int32_t room = 2 * t->node_room + 2;
        t->node = maze_again(m, t->node, sizeof(node) * (size_t)room);
        if (m->failed) return 0;
        t->node_room = room;
    }
    t->node[t->nodes] = (node){at, -1, INT16_MAX, -1};
    return t->nodes++;
}
int32_t maze_new_edge(maze *m, tree *t, edge e) {
    if (t->edges == t->edge_room) {
        int32_t room = 2 * t->edge_room + 2;
        t->edge = maze_again(m, t->edge, sizeof(edge) * (size_t)room);
        if (m->failed) return 0;
        t->edge_room = room;
    }
    t->edge[t->edges] = e;
    return t->edges++;
}

/* Lists of the half edges of every node, by edge. */
void maze_link(maze *m, tree *t) {
    int64_t need = 2 * (int64_t)t->edges + t->nodes + 8;
    if (need > m->scratch) {
        m->queue = maze_again(m, m->queue, sizeof(int32_t) * 2 * (size_t)need);
        m->next_half = maze_again(m, m->next_half, sizeof(int32_t) * 2 * (size_t)need);
        m->seen = maze_again(m, m->seen, 2 * (size_t)need);
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
void maze_layers_at(const maze *m, const tree *t, int32_t n, int32_t skip, int32_t *low, int32_t *high) {
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
    out.path = maze_again(m, NULL, sizeof(int32_t) * (size_t)(p->size + q->size + m->planes));
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
    int32_t n = maze_new_node(m, t, at);
    edge one = {old.a, n, i + 1, NULL}, two = {n, old.b, old.size - j, NULL};
    one.path = maze_again(m, NULL, sizeof(int32_t) * (size_t)one.size), two.path = maze_again(m, NULL, sizeof(int32_t) * (size_t)two.size);
    if (m->failed) return -1;
    memcpy(one.path, old.path, sizeof(int32_t) * (size_t)one.size);
    memcpy(two.path, old.path + j, sizeof(int32_t) * (size_t)two.size);
    free(old.path);
    t->edge[c] = one;
    maze_new_edge(m, t, two);
    return n;
}

/* Lets one end of edge e, at node n, end in gcell `at` of edge c. A node that has lost its use goes: the edges that it joined
 * become one. Edges keep their numbers as FastRoute's do, since they are routed in this order. */
bool maze_move_end(maze *m, tree *t, int32_t e, bool at_b, int32_t at, int32_t c) {
    int32_t n = at_b ? t->edge[e].b : t->edge[e].a, to = -1;
    if (t->node[n].at == at || c < 0) return false;
    if (t->node[t->edge[c].a].at == at) to = t->edge[c].a;
    if (to < 0 && t->node[t->edge[c].b].at == at) to = t->edge[c].b;
    bool is_new = to < 0;
    if (is_new && (to = split(m, t, c, at)) < 0) return true;
    if (m->failed) return true;
    if (at_b) t->edge[e].b = to;
    else t->edge[e].a = to;
    if (maze_is_pin(t->node + n)) return true;
    int32_t left[3], count = 0;
    for (int32_t i = 0; i < t->edges && count < 3; i++)
        if (i != e && t->edge[i].a >= 0 && (t->edge[i].a == n || t->edge[i].b == n)) left[count++] = i;
    if (count != 2) return true;
    int32_t half = t->edges - 1, first = left[0], second = left[1];
    edge one = joined(m, t, n, first, second);
    if (!is_new) {
        t->edge[first] = one, t->edge[second] = (edge){-1, -1, 0, NULL};
        return true;
    }
    if (first == c || second == c || second == half) {
        int32_t other = first == c ? second : first, far = second == half ? c : half;
        edge rest = t->edge[far];
        t->edge[other] = one, t->edge[c] = rest;
    } else {
        t->edge[first] = t->edge[c], t->edge[second] = t->edge[half], t->edge[c] = one;
    }
    t->edges--;
    return true;
}

/* ---- wires ---- */

void maze_count(const maze *m, const edge *e, int32_t by) {
    int32_t size = (int32_t)(m->nx * m->ny);
    const toll *p = m->toll;
    for (int32_t i = 0; i + 1 < e->size; i++) {
        int32_t low = e->path[i], high = e->path[i + 1];
        if (low > high) low = high, high = e->path[i];
        if (m->use) {
            if (high - low == size) continue; /* a via */
            m->use[low] += by;
            maze_renew_open(m, low);
        } else if (high - low == 1 && m->nx > 1) {
            m->h[low] += by;
            if (p) m->fares[low].h = maze_fare(p, m->level_h[low], m->h[low], p->past_h[low]);
        } else {
            m->v[low] += by;
            if (p) m->fares[low].v = maze_fare(p, m->level_v[low], m->v[low], p->past_v[low]);
        }
    }
}
bool maze_is_full(const maze *m, const edge *e) {
    for (int32_t i = 0; i + 1 < e->size; i++) {
        int32_t low = e->path[i] < e->path[i + 1] ? e->path[i] : e->path[i + 1];
        bool x = e->path[i] + e->path[i + 1] == 2 * low + 1 && m->nx > 1;
        if ((x ? m->h : m->v)[low] > (x ? m->level_h : m->level_v)[low]) return true;
    }
    return false;
}
