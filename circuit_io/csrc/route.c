/* The flat passes of the embedded router as `circuit_io/router_reference.py` makes them: the same routes in whole numbers.
 *
 * A segment joins (x1, y1) and (x2, y2), x1 <= x2. Its route is two L shapes that meet at a gcell `via`; bit 0 of `turn`
 * says that the first runs along x first, bit 1 the second. Maps are [ny][nx] int32: entry (x, y) of `h` is the edge to
 * the right, of `v` the edge above. All numbers are whole, so that no order of sums and no compiler changes a route.
 */
#include "scan.h"

#include <stdlib.h>

typedef struct { /* `router_native.py` holds the same layout */
    int64_t nx, ny, count;
    const int32_t *ends;            /* x1, y1, x2, y2 */
    const int32_t *box;             /* x0, y0, x1, y1 of the segment's net */
    int32_t *via;                   /* x, y */
    uint8_t *turn;
    int32_t *h, *v;                 /* wires on each edge; half wires in `route_l` */
    const int32_t *room_h, *room_v; /* wires that fill it */
    const int32_t *level_h, *level_v; /* wires that fill it to a price, see `Board.level` */
    const int32_t *soft_h, *soft_v; /* tenths of wires from which on it counts as crowded */
} route_board;

static int64_t over(const int32_t *use, const int32_t *soft, int64_t at, int64_t scale) {
    int64_t x = scale * use[at] - soft[at];
    return x > 0 ? x : 0;
}

static void add_h(const route_board *b, int64_t x1, int64_t x2, int64_t y, int32_t by) {
    if (x1 > x2) { int64_t t = x1; x1 = x2, x2 = t; }
    for (int32_t *p = b->h + y * b->nx + x1, *end = p + (x2 - x1); p < end; p++) *p += by;
}
static void add_v(const route_board *b, int64_t y1, int64_t y2, int64_t x, int32_t by) {
    if (y1 > y2) { int64_t t = y1; y1 = y2, y2 = t; }
    for (int64_t y = y1; y < y2; y++) b->v[y * b->nx + x] += by;
}
static void add_leg(const route_board *b, int64_t x1, int64_t y1, int64_t x2, int64_t y2, bool x_first, int32_t by) {
    add_h(b, x1, x2, x_first ? y1 : y2, by);
    add_v(b, y1, y2, x_first ? x2 : x1, by);
}
static void add_route(const route_board *b, int64_t s, int32_t by) {
    const int32_t *e = b->ends + 4 * s, *m = b->via + 2 * s;
    add_leg(b, e[0], e[1], m[0], m[1], b->turn[s] & 1, by);
    add_leg(b, m[0], m[1], e[2], e[3], b->turn[s] & 2, by);
}

/* Whether the L of a bent segment that leaves its left end along y is the less crowded one. */
static bool goes_up(const route_board *b, const int32_t *e, int64_t scale) {
    int64_t x1 = e[0], y1 = e[1], x2 = e[2], y2 = e[3], low = y1 < y2 ? y1 : y2, high = y1 < y2 ? y2 : y1;
    int64_t along_x = 0, along_y = 0;
    for (int64_t y = low; y < high; y++) {
        along_y += over(b->v, b->soft_v, y * b->nx + x1, scale);
        along_x += over(b->v, b->soft_v, y * b->nx + x2, scale);
    }
    for (int64_t x = x1; x < x2; x++) {
        along_y += over(b->h, b->soft_h, y2 * b->nx + x, scale);
        along_x += over(b->h, b->soft_h, y1 * b->nx + x, scale);
    }
    return along_y < along_x;
}
static void bend(const route_board *b, int64_t s, bool up) {
    const int32_t *e = b->ends + 4 * s;
    b->turn[s] = up ? 2 : 1;
    b->via[2 * s] = up ? e[0] : e[2], b->via[2 * s + 1] = up ? e[3] : e[1];
}
static bool is_bent(const int32_t *e) { return e[0] != e[2] && e[1] != e[3]; }

/* An L for each bent segment, from half wires on both: the less crowded one, among equals the one that leaves the left
 * end along x. */
SCAN_API int64_t route_l(const route_board *b) {
    for (int64_t s = 0; s < b->count; s++) {
        const int32_t *e = b->ends + 4 * s;
        if (!is_bent(e)) continue;
        bool up = goes_up(b, e, 5);
        bend(b, s, up);
        add_leg(b, e[0], e[1], e[2], e[3], !up, 1);
        add_leg(b, e[0], e[1], e[2], e[3], up, -1);
    }
    return 0;
}

/* Takes whole nets, or segments alone, off the board one after the other, and puts each segment back on the better L. */
SCAN_API int64_t route_l_again(const route_board *b, const int32_t *net, int64_t whole) {
    for (int64_t s = 0, end; s < b->count; s = end) {
        for (end = s + 1; whole && end < b->count && net[end] == net[s];) end++;
        for (int64_t i = s; i < end; i++) add_route(b, i, -1);
        for (int64_t i = s; i < end; i++) {
            if (is_bent(b->ends + 4 * i)) bend(b, i, goes_up(b, b->ends + 4 * i, 10));
            add_route(b, i, 1);
        }
    }
    return 0;
}

typedef struct {
    int64_t over, test;
} crowd;

enum { FULL = 50000 };

static crowd look(const int32_t *use, const int32_t *soft, int64_t at) {
    int64_t x = 10 * (int64_t)use[at] - soft[at];
    return x > 0 ? (crowd){x, FULL} : (crowd){0, x};
}
static bool better(crowd a, crowd b) { return a.over < b.over || (a.over == b.over && a.test < b.test); }

/* Whether an L crosses an edge with at most `spare` wires to spare; below 0, one above its room. */
static bool is_full(const route_board *b, int64_t x1, int64_t y1, int64_t x2, int64_t y2, bool x_first, int64_t spare) {
    const int32_t *most_h = spare < 0 ? b->room_h : b->level_h, *most_v = spare < 0 ? b->room_v : b->level_v;
    int64_t y = x_first ? y1 : y2, x = x_first ? x2 : x1, from = x1 < x2 ? x1 : x2, to = x1 < x2 ? x2 : x1;
    for (int64_t i = y * b->nx + from, end = y * b->nx + to; i < end; i++)
        if (b->h[i] >= most_h[i] - spare) return true;
    from = y1 < y2 ? y1 : y2, to = y1 < y2 ? y2 : y1;
    for (int64_t i = from * b->nx + x; i < to * b->nx + x; i += b->nx)
        if (b->v[i] >= most_v[i] - spare) return true;
    return false;
}
static bool is_route_full(const route_board *b, int64_t s, int64_t spare) {
    const int32_t *e = b->ends + 4 * s, *m = b->via + 2 * s;
    return is_full(b, e[0], e[1], m[0], m[1], b->turn[s] & 1, spare) ||
           is_full(b, m[0], m[1], e[2], e[3], b->turn[s] & 2, spare);
}

/* The best Z for bent segments longer than `least`: of nets of two gcells, and where the L is over capacity. */
SCAN_API int64_t route_z(const route_board *b, const uint8_t *alone, int64_t least) {
    for (int64_t s = 0; s < b->count; s++) {
        const int32_t *e = b->ends + 4 * s;
        int64_t x1 = e[0], y1 = e[1], x2 = e[2], y2 = e[3], low = y1 < y2 ? y1 : y2, high = y1 < y2 ? y2 : y1;
        if (x1 == x2 || y1 == y2 || x2 - x1 + high - low <= least) continue;
        bool full = is_route_full(b, s, -1);
        if (!full && !alone[s]) continue;
        add_route(b, s, -1);
        int64_t nx = b->nx, at = x1;
        bool hvh = true;
        crowd best = {INT64_MAX, INT64_MAX}, side = {0, 0};
        for (int64_t x = x1; x < x2; x++) {
            crowd c = look(b->h, b->soft_h, y2 * nx + x);
            side.over += c.over, side.test += c.test;
        }
        for (int64_t x = x1; x <= x2 - full; x++) {
            crowd sum = side;
            for (int64_t y = low; y < high; y++) {
                crowd c = look(b->v, b->soft_v, y * nx + x);
                sum.over += c.over, sum.test += c.test;
            }
            if (full ? sum.over < best.over : better(sum, best)) best = sum, at = x;
            if (x == x2) break;
            crowd more = look(b->h, b->soft_h, y1 * nx + x), less = look(b->h, b->soft_h, y2 * nx + x);
            side.over += more.over - less.over, side.test += more.test - less.test;
        }
        if (full) {
            int64_t down = y1 < y2 ? x2 : x1, up = y1 < y2 ? x1 : x2, sides = 0; /* columns above and below the row */
            for (int64_t y = low; y < high; y++) sides += over(b->v, b->soft_v, y * nx + down, 10);
            for (int64_t y = low; y < high; y++) {
                int64_t sum = sides;
                for (int64_t x = x1; x < x2; x++) sum += over(b->h, b->soft_h, y * nx + x, 10);
                if (sum < best.over) best.over = sum, at = y, hvh = false;
                sides += over(b->v, b->soft_v, y * nx + up, 10) - over(b->v, b->soft_v, y * nx + down, 10);
            }
        }
        b->via[2 * s] = (int32_t)(hvh ? at : x1), b->via[2 * s + 1] = (int32_t)(hvh ? y1 : at);
        b->turn[s] = hvh ? 1 : 2;
        add_route(b, s, 1);
    }
    return 0;
}

static int64_t span(int64_t a, int64_t b) { return a < b ? b - a : a - b; }

typedef struct { /* sums of prices over the window of one segment, its ends within it, and the best way so far */
    int64_t *row, *column; /* along each row from its left end, along each column from its lower end */
    int64_t *fall, *rise;  /* from each column to x1 along y1, to x2 along y2 */
    int64_t room, wide, tall, x1, y1, x2, y2;
    int64_t cost;
    int64_t x, y;
    uint8_t turn;
} window;

static void offer(window *w, int64_t cost, int64_t x, int64_t y, uint8_t turn) {
    if (cost < w->cost) w->cost = cost, w->x = x, w->y = y, w->turn = turn;
}

static int64_t price_of(const int64_t *price, int32_t half, int32_t left) {
    return price[(left < -half ? -half : left > half ? half : left) + half];
}

/* Rows from below: straight and Z ways along a row, then those of three bends by way of each of its gcells. */
static void search(window *w) {
    int64_t wide = w->wide, x1 = w->x1, x2 = w->x2;
    const int64_t *row1 = w->row + w->y1 * wide, *row2 = w->row + w->y2 * wide;
    const int64_t *column1 = w->column + w->y1 * wide, *column2 = w->column + w->y2 * wide;
    int64_t *fall = w->fall, *rise = w->rise;
    for (int64_t x = 0; x < wide; x++) fall[x] = span(row1[x], row1[x1]), rise[x] = span(row2[x], row2[x2]);
    w->cost = INT64_MAX;
    for (int64_t y = 0; y < w->tall; y++) {
        const int64_t *r = w->row + y * wide, *c = w->column + y * wide;
        int64_t leave = span(c[x1], column1[x1]), arrive = span(column2[x2], c[x2]), from = r[x1], to = r[x2];
        offer(w, leave + span(from, to) + arrive, x1, y, 2);
        int64_t least = INT64_MAX;
        for (int64_t x = 0; x < wide; x++) {
            int64_t a = leave + span(r[x], from) + span(column2[x], c[x]) + rise[x];
            int64_t b = arrive + span(to, r[x]) + span(c[x], column1[x]) + fall[x];
            a = b < a ? b : a;
            least = a < least ? a : least;
        }
        if (least >= w->cost) continue;
        for (int64_t x = 0; x < wide; x++) {
            offer(w, leave + span(r[x], from) + span(column2[x], c[x]) + rise[x], x, y, 0);
            offer(w, arrive + span(to, r[x]) + span(c[x], column1[x]) + fall[x], x, y, 3);
        }
    }
}

/* Two L shapes by way of the best gcell within `reach` of the box, for segments longer than `least` that cross an edge
 * with at most `spare` wires to spare. `price` holds 2 * half + 1 prices of an edge by what is free on it, `tilt` more of
 * a vertical one. The gcells searched, or -1: no memory. */
SCAN_API int64_t route_via(const route_board *b, const int64_t *price, int64_t half, int64_t tilt, int64_t least,
                           int64_t spare, int64_t reach) {
    int64_t searched = 0, nx = b->nx;
    window w = {0};
    for (int64_t s = 0; s < b->count; s++) {
        const int32_t *e = b->ends + 4 * s, *box = b->box + 4 * s;
        int64_t x1 = e[0], y1 = e[1], x2 = e[2], y2 = e[3], low = y1 < y2 ? y1 : y2, high = y1 < y2 ? y2 : y1;
        int64_t length = x2 - x1 + high - low;
        if (length <= least || !is_route_full(b, s, spare)) continue;
        add_route(b, s, -1);
        int64_t l = box[0] < x1 ? x1 : x1 - reach, r = box[2] > x2 ? x2 : x2 + reach;
        int64_t d = box[1] < low ? low : low - reach, u = box[3] > high ? high : high + reach;
        l = l < 0 ? 0 : l, d = d < 0 ? 0 : d, r = r >= nx ? nx - 1 : r, u = u >= b->ny ? b->ny - 1 : u;
        w.wide = r - l + 1, w.tall = u - d + 1;
        w.x1 = x1 - l, w.y1 = y1 - d, w.x2 = x2 - l, w.y2 = y2 - d;
        if (w.wide * w.tall > w.room) {
            w.room = 2 * w.wide * w.tall;
            free(w.row);
            w.row = malloc((size_t)w.room * 4 * sizeof *w.row);
            if (!w.row) return -1;
            w.column = w.row + w.room, w.fall = w.column + w.room, w.rise = w.fall + w.room;
        }
        for (int64_t y = 0; y < w.tall; y++) {
            int64_t *to = w.row + y * w.wide, sum = 0;
            for (int64_t x = 0, at = (d + y) * nx + l; x < w.wide; x++, at++) {
                to[x] = sum;
                sum += price_of(price, (int32_t)half, b->level_h[at] - b->h[at]);
            }
        }
        memset(w.column, 0, (size_t)w.wide * sizeof *w.column);
        for (int64_t y = 0; y + 1 < w.tall; y++) {
            int64_t *to = w.column + (y + 1) * w.wide;
            for (int64_t x = 0, at = (d + y) * nx + l; x < w.wide; x++, at++)
                to[x] = to[x - w.wide] + price_of(price, (int32_t)half, b->level_v[at] + (int32_t)tilt - b->v[at]);
        }
        search(&w);
        b->via[2 * s] = (int32_t)(w.x + l), b->via[2 * s + 1] = (int32_t)(w.y + d);
        b->turn[s] = w.turn;
        add_route(b, s, 1);
        searched += w.wide * w.tall;
    }
    free(w.row);
    return searched;
}
