/* What the maze passes of the embedded router share: `circuit_io/router_reference_maze.py` makes the same routes.
 *
 * Every net is a tree of nodes, which are gcells, and edges, which are paths. An edge is routed anew by the shortest way
 * between the two parts into which the tree falls without it; where that way ends within another edge, the tree changes.
 * A cell is a gcell on a plane: `plane * nx * ny + y * nx + x`. There is one plane while nets are flat; with layers a plane
 * is a layer, its wires run one way, and vias lead from plane to plane.
 */
#ifndef GSR_ROUTE_MAZE_H
#define GSR_ROUTE_MAZE_H

#include "scan.h"

enum { MOST_LAYERS = 64, MOST_EDGES = 1 << 14 };

typedef struct {
    int32_t at, first;     /* gcell; first half edge, 2 * edge + 1 at its end b */
    int16_t low, high;     /* layers of the pins here, low > high where there is none */
} node;

typedef struct {
    int32_t a, b, size;    /* nodes, -1 where there is no such edge; cells of the path */
    int32_t *path;         /* from a to b */
} edge;

typedef struct {
    int32_t nodes, edges, node_room, edge_room;
    node *node;
    edge *edge;
} tree;

typedef struct { /* prices of an edge of the grid by what is free on it, from -half to half, and of a bend */
    const int32_t *past_h, *past_v;
    const int64_t *price;
    int32_t half;
    int64_t bend;
} toll;

typedef struct { /* prices of the edges to the right and above */
    int64_t h, v;
} fare;

typedef struct { /* what a flat search knows of a cell: side by side, since it looks at all of it */
    int64_t cost;
    int32_t place;         /* in the heap */
    uint8_t from, mark;
} spot;

typedef struct { /* a cell in the heap of a flat search */
    int64_t cost;
    int32_t cell, x;
} flat_entry;

typedef struct {
    int64_t nx, ny, nets;
    int32_t *h, *v;        /* wires on each edge of the grid, as in route.c */
    const int32_t *room_h, *room_v, *level_h, *level_v;
    tree *trees;
    const toll *toll;       /* of this round, NULL between rounds */
    fare *fares;            /* what it makes of each cell */
    int64_t planes;
    const uint8_t *along_x; /* of each layer */
    int64_t lowest;         /* layer of signals; below are pins only */
    int32_t y_at;           /* see route_planes.c */
    const int32_t *room;    /* tracks of each cell to the next along its layer */
    int32_t *use;           /* wires on it; NULL while nets are flat */
    spot *spots;            /* of every cell while nets are flat */
    uint8_t *state;         /* of every cell on layers, see route_planes.c */
    int32_t *owner;         /* of every cell, where a search begins or may end: the edge of the tree there, or -1 */
    void *heap;             /* entries */
    int32_t *touched, *way; /* cells */
    int64_t num_touched, heap_size;
    int32_t *queue, *next_half;
    uint8_t *seen;
    int64_t scratch;
    bool failed;
} maze;

typedef struct { int32_t x0, y0, x1, y1; } window; /* gcells, both ends within */

/* route_nets.c */
void *maze_again(maze *m, void *old, size_t size);
int32_t maze_new_node(maze *m, tree *t, int32_t at);
int32_t maze_new_edge(maze *m, tree *t, edge e);
void maze_link(maze *m, tree *t);
void maze_layers_at(const maze *m, const tree *t, int32_t n, int32_t skip, int32_t *low, int32_t *high);
bool maze_move_end(maze *m, tree *t, int32_t e, bool at_b, int32_t at, int32_t c);
void maze_count(const maze *m, const edge *e, int32_t by);
bool maze_is_full(const maze *m, const edge *e);

/* route_search.c */
bool maze_make_room(maze *m, int64_t cells);
int64_t maze_route_anew(maze *m, tree *t, int32_t e, int32_t reach);

/* route_flat.c */
void flat_open(maze *m, const toll *p);
void flat_give(maze *m, int32_t cell, int32_t x, bool is_target);
int32_t flat_search(maze *m, const window *w, int64_t *searched);
bool flat_is_source(const maze *m, int32_t cell);
int32_t flat_before(const maze *m, int32_t cell, int32_t *last);
void flat_clear(maze *m);

/* route_planes.c */
void planes_open(maze *m);
void planes_give(maze *m, int32_t cell, int32_t x, int32_t y, bool is_target);
int32_t planes_search(maze *m, const window *w, int64_t *searched);
bool planes_is_source(const maze *m, int32_t cell);
int32_t planes_before(const maze *m, int32_t cell);
void planes_clear(maze *m);

static inline bool maze_is_pin(const node *n) { return n->low <= n->high; }

/* Gcells from one end of an edge to the other. */
static inline int64_t maze_length(const maze *m, const tree *t, const edge *e) {
    int32_t nx = (int32_t)m->nx, p = t->node[e->a].at, q = t->node[e->b].at;
    int32_t wide = p % nx - q % nx, tall = p / nx - q / nx;
    return (wide < 0 ? -wide : wide) + (tall < 0 ? -tall : tall);
}

static inline int64_t maze_fare(const toll *p, int32_t level, int32_t wires, int32_t past) {
    int32_t left = level - wires - past;
    return p->price[(left < -p->half ? -p->half : left > p->half ? p->half : left) + p->half];
}

typedef struct {
    int64_t key, number;
} rank;
static inline int maze_by_rank(const void *a, const void *b) {
    const rank *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->number < y->number ? -1 : x->number > y->number;
}

/* Whether a wire of layer room fits on from a cell to the next. */
enum { OPEN = 16 };
static inline void maze_renew_open(const maze *m, int32_t cell) {
    bool open = cell >= m->lowest * m->nx * m->ny && m->use[cell] < m->room[cell];
    m->state[cell] = (uint8_t)(open ? m->state[cell] | OPEN : m->state[cell] & ~OPEN);
}

#endif
