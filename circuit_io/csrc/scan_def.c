/* DEF: comments and strings blanked; COMPONENTS, NETS and SPECIALNETS as columns. The patterns of circuit_io/def_text.py
 * and def_nets.py say what is read; the names in quotes below are theirs. */
#include "scan.h"

static const int64_t MAX_DBU = INT32_MAX;

enum { /* columns; those of SPECIALNETS follow NETS in the same order */
    INST_BLOB, INST_OFFSETS, MASTER_BLOB, MASTER_OFFSETS, INST_MASTER, INST_STATUS, INST_XY, INST_ORIENT, INST_LEFT,
    NET_BLOB, NET_OFFSETS, NET_USE, NET_PTR, CONN_INST, CONN_PIN,
    SPECIAL_BLOB, SPECIAL_OFFSETS, SPECIAL_USE, SPECIAL_PTR, SPECIAL_CONN_INST, SPECIAL_CONN_PIN,
    PIN_BLOB, PIN_OFFSETS, PORT_NET_BLOB, PORT_NET_OFFSETS, PORT_NET, PORT_SPECIAL,
    WIRE, WIRE_VIA, WIRE_ODD, WIRE_NET, LAYER_BLOB, LAYER_OFFSETS, VIA_BLOB, VIA_OFFSETS,
};
enum { HAS_ROUTING }; /* numbers */
enum { BTERM = -1, EVERY = -2 };
enum { BATCH = 32, NUM_TABLES = 8 };

typedef scan_word word;

typedef struct {
    const char *text, *p, *end; /* of the whole text; where the reader stands; where the section ends */
    scan_result *r;
    scan_names insts, masters, nets, specials, pins, port_nets, layers, vias;
    int64_t bare, rows; /* lone "-" and statements of the section */
    bool is_routed;
    int num_pending; /* inst words of connections whose numbers are looked up together */
    int64_t pending_at[BATCH];
    word pending[BATCH];
} reader;

/* ---- words -------------------------------------------------------------------------------------------------------- */

static bool is(word w, const char *literal) { return scan_equal(w.at, w.size, literal); }

static int one_of(word w, const char *const *literals, int count) { /* -1: none */
    for (int i = 0; i < count; i++)
        if (is(w, literals[i])) return i;
    return -1;
}

static bool spaces(const char **p, const char *end) { /* \s++ */
    const char *from = *p;
    *p = scan_skip(from, end, SCAN_SPACE);
    return *p > from;
}

static word name_at(const char **p, const char *end) { /* [^\s;]++ */
    const char *q = scan_until(*p, end, ';');
    word w = {*p, q - *p, 0};
    *p = q;
    return w;
}

static word solid_at(const char **p, const char *end) { /* \S++ */
    const char *q = scan_until(*p, end, ' ');
    word w = {*p, q - *p, 0};
    *p = q;
    return w;
}

static word plain_at(const char **p, const char *end) { /* \w++ */
    const char *q = scan_skip(*p, end, SCAN_WORD);
    word w = {*p, q - *p, 0};
    *p = q;
    return w;
}

static bool literal_at(const char **p, const char *end, const char *literal) {
    size_t size = strlen(literal);
    if ((size_t)(end - *p) < size || memcmp(*p, literal, size) != 0) return false;
    *p += size;
    return true;
}

static bool ends_word(const char *p, const char *end) { return p == end || scan_is(*p, SCAN_SPACE); }

/* Whether the sign at p is a word of its own in begin..end. */
static bool is_lone(const char *p, const char *begin, const char *end) {
    return (p == begin || scan_is(p[-1], SCAN_SPACE)) && ends_word(p + 1, end);
}

static int64_t count_lone(char sign, const char *p, const reader *d, const char *stop) {
    int64_t count = 0;
    while (p < stop && (p = memchr(p, sign, (size_t)(stop - p)))) {
        count += is_lone(p, d->text, d->end);
        p++;
    }
    return count;
}

/* ---- COMPONENTS --------------------------------------------------------------------------------------------------- */

static const char *const STATES[] = {"UNPLACED", "PLACED", "FIXED", "COVER"};
static const char *const TURNS[] = {"N", "S", "W", "E", "FN", "FS", "FW", "FE"};
static const char *const PASSED[] = {"SOURCE", "EEQMASTER", "FOREIGN", "HALO", "ROUTEHALO", "WEIGHT", "REGION",
                                     "PROPERTY", "MASKSHIFT", "GENERATE", "POWERDOMAIN"};
enum { NUM_STATES = 4, NUM_TURNS = 8, NUM_PASSED = 11 };

typedef struct {
    int64_t xy[2];
    int status, orient;
} place;

/* `+ PLACED ( x y ) N`. 1: read, *p moved; 0: something else, for Python to judge; -1: numbers or a word out of bounds. */
static int place_at(const char **p, const char *end, place *out) {
    const char *q = *p;
    if (!literal_at(&q, end, "+") || !spaces(&q, end)) return 0;
    int status = one_of(plain_at(&q, end), STATES, NUM_STATES);
    if (status < 1 || !spaces(&q, end) || !literal_at(&q, end, "(")) return 0;
    int64_t xy[2];
    spaces(&q, end);
    for (int i = 0; i < 2; i++) {
        const char *digits = q;
        if (!scan_int(&q, end, &xy[i])) {
            digits += digits < end && *digits == '-';
            return digits < end && scan_is(*digits, SCAN_DIGIT) ? -1 : 0;
        }
        if (xy[i] > MAX_DBU || xy[i] < -MAX_DBU) return -1;
        if (!spaces(&q, end) && i == 0) return 0;
    }
    if (!literal_at(&q, end, ")")) return 0;
    spaces(&q, end);
    word turn = plain_at(&q, end);
    if (!turn.size) return 0;
    spaces(&q, end);
    int orient = one_of(turn, TURNS, NUM_TURNS);
    if (orient < 0) return -1;
    *out = (place){{xy[0], xy[1]}, status, orient};
    *p = q;
    return 1;
}

static const char *source_at(const char *p, const char *end) { /* past `+ SOURCE word`, or p */
    const char *q = p;
    if (!literal_at(&q, end, "+") || !spaces(&q, end) || !literal_at(&q, end, "SOURCE") || !spaces(&q, end)) return p;
    if (!plain_at(&q, end).size) return p;
    spaces(&q, end);
    return q;
}

/* Whether all attributes of begin..end say nothing that is kept. */
static bool says_nothing(const char *begin, const char *end, bool is_placed) {
    for (const char *p = begin; p < end && (p = memchr(p, '+', (size_t)(end - p))); p++) {
        if (!is_lone(p, begin, end)) continue;
        const char *q = scan_skip(p + 1, end, SCAN_SPACE);
        word key = solid_at(&q, end);
        if (one_of(key, PASSED, NUM_PASSED) < 0 && (is_placed || !is(key, STATES[0]))) return false;
    }
    return true;
}

static bool closed(const char *p, const char *end) { return p < end && (*p == ';' || *p == '+'); }

/* The ; at p, or the attributes from the + at p up to the ; that ends the statement. */
static bool rest_at(reader *d, const char *p, word *rest) {
    const char *stop = closed(p, d->end) ? memchr(p, ';', (size_t)(d->end - p)) : NULL;
    if (!stop) return false;
    *rest = (word){p, stop - p, 0};
    d->bare += count_lone('-', p, d, stop);
    d->p = stop + 1;
    return true;
}

static bool head_at(reader *d, const char **p, word *name) { /* `- name` */
    *p = d->p;
    if (!literal_at(p, d->end, "-") || !spaces(p, d->end)) return false;
    d->bare += is_lone(d->p, d->text, d->end);
    d->rows++;
    *name = name_at(p, d->end);
    d->bare += is(*name, "-") && ends_word(*p, d->end);
    return name->size > 0;
}

static bool component(reader *d) {
    const char *p, *end = d->end;
    word name, rest = {0};
    if (!head_at(d, &p, &name) || !spaces(&p, end)) return false;
    name.hash = scan_hash(name.at, name.size);
    scan_prefetch(&d->insts, name.hash);
    word master = name_at(&p, end);
    if (!master.size) return false;
    d->bare += is(master, "-") && ends_word(p, end);
    spaces(&p, end);
    place at = {{0, 0}, 0, 0};
    const char *before = p, *after = source_at(p, end);
    p = after;
    int found = place_at(&p, end, &at);
    if (found < 0) return false;
    if (!closed(p, end)) { /* as the pattern backs up: without the place, then without the source */
        at = (place){{0, 0}, 0, 0};
        found = 0;
        p = closed(after, end) ? after : before;
    }
    if (!rest_at(d, p, &rest)) return false;
    bool fresh;
    int32_t inst = scan_intern_hashed(&d->insts, name.at, name.size, name.hash, &fresh);
    if (inst < 0 || !fresh) return false;
    scan_vec *column = d->r->column;
    scan_push_i32(&column[INST_MASTER], scan_intern(&d->masters, master.at, master.size, NULL));
    scan_push_i8(&column[INST_STATUS], (int8_t)at.status);
    scan_push(&column[INST_XY], at.xy, sizeof at.xy);
    scan_push_i8(&column[INST_ORIENT], (int8_t)at.orient);
    if (rest.size && !says_nothing(rest.at, rest.at + rest.size, found > 0)) {
        int64_t left[] = {inst, rest.at - d->text, rest.at + rest.size - d->text};
        scan_push(&column[INST_LEFT], left, sizeof left);
    }
    return !d->masters.failed;
}

/* ---- NETS and SPECIALNETS ----------------------------------------------------------------------------------------- */

static const char *const USES[] = {"SIGNAL", "POWER", "GROUND", "CLOCK", "ANALOG", "RESET", "SCAN", "TIEOFF"};
static const int8_t USE_CODES[] = {0, 1, 2, 3, 4, 5, 5, 5};
enum { NUM_USES = 8 };

static bool look_up(reader *d, scan_vec *conn_inst) {
    int32_t ids[BATCH];
    scan_find_all(&d->insts, d->pending, d->num_pending, ids);
    for (int i = 0; i < d->num_pending; i++) {
        if (ids[i] < 0 || d->pending_at[i] + (int64_t)sizeof ids[i] > conn_inst->size) return false;
        memcpy(conn_inst->data + d->pending_at[i], &ids[i], sizeof ids[i]);
    }
    d->num_pending = 0;
    return true;
}

/* `( inst pin )` with spaces before it. 1: read, *p moved; 0: none here; -1: not for us. */
static int connection(reader *d, const char **p, bool is_special, scan_vec *column) {
    const char *q = *p, *end = d->end;
    if (!spaces(&q, end) || !literal_at(&q, end, "(") || !spaces(&q, end)) return 0;
    word inst = solid_at(&q, end);
    if (!inst.size || !spaces(&q, end)) return 0;
    word pin = solid_at(&q, end);
    if (!pin.size || !spaces(&q, end)) return 0;
    if (literal_at(&q, end, "+") && (!spaces(&q, end) || !literal_at(&q, end, "SYNTHESIZED") || !spaces(&q, end)))
        return 0;
    if (!literal_at(&q, end, ")")) return 0;
    if (inst.at[inst.size - 1] == '+' && is(pin, "ROUTED")) return -1; /* reads as routing in Python */
    d->bare += is(inst, "-") + is(pin, "-");
    if (is(inst, "PIN")) {
        scan_push_i32(&column[CONN_INST], BTERM);
    } else if (is_special && is(inst, "*")) {
        scan_push_i32(&column[CONN_INST], EVERY);
    } else {
        inst.hash = scan_hash(inst.at, inst.size);
        scan_prefetch(&d->insts, inst.hash);
        d->pending_at[d->num_pending] = column[CONN_INST].size;
        d->pending[d->num_pending++] = inst;
        scan_push_i32(&column[CONN_INST], BTERM);
        if (d->num_pending == BATCH && !look_up(d, &column[CONN_INST])) return -1;
    }
    scan_push_i32(&column[CONN_PIN], scan_intern(&d->pins, pin.at, pin.size, NULL));
    *p = q;
    return 1;
}

static const char *use_at(const char *p, const char *end, word *use) { /* past `+ USE word`, or p */
    const char *q = p;
    if (!literal_at(&q, end, "+") || !spaces(&q, end) || !literal_at(&q, end, "USE") || !spaces(&q, end)) return p;
    *use = plain_at(&q, end);
    if (!use->size) return p;
    spaces(&q, end);
    return q;
}

static void search_use(word rest, word *use) { /* the first `+ USE word` anywhere */
    const char *p = rest.at, *end = rest.at + rest.size;
    for (; p < end && (p = memchr(p, '+', (size_t)(end - p))); p++)
        if (use_at(p, end, use) > p) return;
}

static bool search_routed(word rest) {
    const char *p = rest.at, *end = rest.at + rest.size;
    for (; p < end && (p = memchr(p, '+', (size_t)(end - p))); p++) {
        const char *q = p + 1;
        if (spaces(&q, end) && literal_at(&q, end, "ROUTED") && spaces(&q, end)) return true;
    }
    return false;
}

/* ---- wires of SPECIALNETS: the pattern `_PATH` of def_wires.py ------------------------------------------------------ */

static const char *const STARTS[] = {"ROUTED", "FIXED", "COVER", "SHIELD"};
static const char *const OF_A_PATH[] = {"SHAPE", "STYLE", "MASK"};
enum { NUM_STARTS = 4, SHIELD = 3, NUM_OF_A_PATH = 3 };

static bool starts_path(const char *p, const char *end) { /* NEW\s|\+\s++(?!SHAPE\s|STYLE\s|MASK\s) */
    if (literal_at(&p, end, "NEW")) return p < end && scan_is(*p, SCAN_SPACE);
    if (!literal_at(&p, end, "+") || !spaces(&p, end)) return false;
    word key = solid_at(&p, end);
    return p == end || one_of(key, OF_A_PATH, NUM_OF_A_PATH) < 0;
}

static bool whole_at(const char **p, const char *end, int64_t *value, bool *is_odd) {
    const char *digits = *p + (*p < end && **p == '-');
    if (digits == end || !scan_is(*digits, SCAN_DIGIT)) return false;
    if (!scan_int(p, end, value) || *value > MAX_DBU || *value < -MAX_DBU) return *is_odd = true, false;
    return true;
}

/* `( x y )`; a star, where it may stand, leaves the value as it is. */
static bool point_at(const char **p, const char *end, int64_t xy[2], bool may_repeat, bool *is_odd) {
    if (!literal_at(p, end, "(") || !spaces(p, end)) return false;
    for (int i = 0; i < 2; i++)
        if (!(may_repeat && literal_at(p, end, "*")) && !whole_at(p, end, &xy[i], is_odd)) return false;
        else if (!spaces(p, end)) return false;
    return literal_at(p, end, ")");
}

/* A wire of two points, or a via at a point. *is_odd: a number that is too big. */
static bool plain_path_at(const char **p, const char *end, word *layer, word *via, int64_t row[6], bool *is_odd) {
    const char *q = *p;
    if (!literal_at(&q, end, "NEW")) {
        if (!literal_at(&q, end, "+") || !spaces(&q, end)) return false;
        int start = one_of(plain_at(&q, end), STARTS, NUM_STARTS);
        if (start < 0 || (start == SHIELD && (!spaces(&q, end) || !solid_at(&q, end).size))) return false;
    }
    if (!spaces(&q, end)) return false;
    *layer = solid_at(&q, end);
    if (!layer->size || !spaces(&q, end) || (q < end && *q == '-') || !whole_at(&q, end, &row[1], is_odd)) return false;
    if (!spaces(&q, end)) return false;
    while (q < end && *q == '+') {
        q++;
        if (!spaces(&q, end) || one_of(solid_at(&q, end), OF_A_PATH, 2) < 0) return false;
        if (!spaces(&q, end) || !solid_at(&q, end).size || !spaces(&q, end)) return false;
    }
    if (!point_at(&q, end, row + 2, false, is_odd)) return false;
    spaces(&q, end);
    row[4] = row[2], row[5] = row[3];
    *via = (word){0};
    if (q < end && *q == '(') {
        if (!point_at(&q, end, row + 4, true, is_odd)) return false;
    } else {
        if (q == end || *q == '+') return false;
        *via = solid_at(&q, end);
    }
    spaces(&q, end);
    if (q < end && !starts_path(q, end)) return false;
    *p = q;
    return true;
}

static const char *past_odd_path(const char *p, const char *end) { /* words up to the next path or attribute */
    for (;;) {
        solid_at(&p, end);
        const char *q = p;
        spaces(&q, end);
        if (q == end || starts_path(q, end)) return p;
        p = q;
    }
}

static bool wires(reader *d, const char *head, word rest) {
    scan_vec *column = d->r->column;
    const char *p = rest.at, *end = rest.at + rest.size;
    while (end > p && scan_is(end[-1], SCAN_SPACE)) end--;
    for (;;) {
        p = scan_skip(p, end, SCAN_SPACE);
        if (p == end) break;
        word layer, via;
        int64_t row[6];
        bool is_odd = false;
        if (plain_path_at(&p, end, &layer, &via, row, &is_odd)) {
            row[0] = scan_intern(&d->layers, layer.at, layer.size, NULL);
            scan_push(&column[WIRE], row, sizeof row);
            scan_push_i64(&column[WIRE_VIA], via.size ? scan_intern(&d->vias, via.at, via.size, NULL) : -1);
        } else {
            const char *stop = past_odd_path(p, end);
            int64_t odd[] = {p - d->text, stop - d->text};
            scan_push(&column[WIRE_ODD], odd, sizeof odd);
            p = stop;
        }
        if (is_odd) return false;
    }
    int64_t ends[] = {head - d->text, column[WIRE_VIA].size / 8, column[WIRE_ODD].size / 16};
    scan_push(&column[WIRE_NET], ends, sizeof ends);
    return !d->pins.failed && !d->layers.failed && !d->vias.failed;
}

/* ---- one net ------------------------------------------------------------------------------------------------------ */

static bool net(reader *d, bool is_special) {
    scan_vec *column = d->r->column + (is_special ? SPECIAL_BLOB - NET_BLOB : 0);
    scan_names *names = is_special ? &d->specials : &d->nets;
    const char *p, *end = d->end, *head = d->p;
    word name, use = {0}, rest = {0};
    if (!head_at(d, &p, &name)) return false;
    name.hash = scan_hash(name.at, name.size);
    scan_prefetch(names, name.hash);
    int found;
    while ((found = connection(d, &p, is_special, column)) > 0) continue;
    if (found < 0) return false;
    spaces(&p, end);
    const char *after = use_at(p, end, &use);
    if (closed(after, end)) p = after;
    else use = (word){0}; /* as the pattern backs up */
    if (!rest_at(d, p, &rest)) return false;
    if (!use.size) search_use(rest, &use);
    int code = use.size ? one_of(use, USES, NUM_USES) : 0;
    bool fresh;
    int32_t id = scan_intern_hashed(names, name.at, name.size, name.hash, &fresh);
    if (!fresh) id = is(name, "MUSTJOIN") ? scan_append(names, name.at, name.size) : -1;
    if (code < 0 || id < 0) return false;
    scan_push_i8(&column[NET_USE], USE_CODES[code]);
    scan_push_i64(&column[NET_PTR], column[CONN_PIN].size / (int64_t)sizeof(int32_t));
    if (is_special) {
        return wires(d, head, rest);
    }
    if (!d->is_routed) d->is_routed = search_routed(rest);
    return !d->pins.failed;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

typedef enum { COMPONENTS, NETS, SPECIALNETS } section;

static bool read_section(reader *d, section which, int64_t begin, int64_t stop) {
    d->p = d->text + begin;
    d->end = d->text + stop;
    d->bare = d->rows = 0;
    for (;;) {
        d->p = scan_skip(d->p, d->end, SCAN_SPACE);
        if (d->p == d->end) break;
        if (!(which == COMPONENTS ? component(d) : net(d, which == SPECIALNETS))) return false;
    }
    if (which != COMPONENTS && !look_up(d, &d->r->column[which == NETS ? CONN_INST : SPECIAL_CONN_INST])) return false;
    return d->bare <= d->rows; /* else a statement lacks its ; */
}

/* The nets that PINS names, each word after NET, with their numbers: few of a million names are asked for. */
static bool port_nets(reader *d, int64_t begin, int64_t stop) {
    const char *p = d->text + begin, *end = d->text + stop;
    scan_vec *column = d->r->column;
    for (bool is_net = false; p < end;) {
        p = scan_skip(p, end, SCAN_SPACE);
        word w = name_at(&p, end);
        if (!w.size) p += p < end; /* a ; */
        bool fresh = false;
        if (is_net && w.size && scan_intern(&d->port_nets, w.at, w.size, &fresh) < 0) return false;
        if (fresh) {
            uint32_t hash = scan_hash(w.at, w.size);
            scan_push_i32(&column[PORT_NET], scan_find(&d->nets, w.at, w.size, hash));
            scan_push_i32(&column[PORT_SPECIAL], scan_find(&d->specials, w.at, w.size, hash));
        }
        is_net = is(w, "NET");
    }
    return true;
}

static bool lie_in(const int64_t *where, int64_t count, int64_t size) {
    for (int64_t i = 0; i + 1 < count; i += 2)
        if (where[i] < 0 || where[i] > where[i + 1] || where[i + 1] > size) return false;
    return true;
}

/* where: begin and end of COMPONENTS, NETS, SPECIALNETS and PINS; all of them or none are ours. */
SCAN_API scan_result *scan_def_netlist(const char *text, int64_t size, const int64_t *where, int64_t count) {
    scan_result *r = scan_new();
    if (!r) return NULL;
    reader d = {.text = text, .r = r};
    scan_names *tables[] = {&d.insts, &d.masters, &d.nets, &d.specials, &d.pins, &d.port_nets, &d.layers, &d.vias};
    const int blobs[] = {INST_BLOB, MASTER_BLOB, NET_BLOB, SPECIAL_BLOB, PIN_BLOB, PORT_NET_BLOB,
                         LAYER_BLOB, VIA_BLOB};
    bool is_ours = count == 8 && lie_in(where, count, size);
    for (int i = 0; i < NUM_TABLES; i++) is_ours = scan_names_open(tables[i]) && is_ours;
    scan_push_i64(&r->column[NET_PTR], 0);
    scan_push_i64(&r->column[SPECIAL_PTR], 0);
    is_ours = is_ours && read_section(&d, COMPONENTS, where[0], where[1]);
    is_ours = is_ours && read_section(&d, NETS, where[2], where[3]);
    is_ours = is_ours && read_section(&d, SPECIALNETS, where[4], where[5]);
    is_ours = is_ours && port_nets(&d, where[6], where[7]);
    r->status = is_ours ? SCAN_DONE : SCAN_NOT_MINE;
    r->number[HAS_ROUTING] = d.is_routed;
    for (int i = 0; i < NUM_TABLES; i++) {
        scan_names_move(tables[i], &r->column[blobs[i]], &r->column[blobs[i] + 1]);
        scan_names_close(tables[i]);
    }
    return scan_seal(r);
}

/* The text with comments turned to spaces and the inside of strings to underscores, as `_QUIET` finds them. */
SCAN_API scan_result *scan_def_mask(const char *text, int64_t size, const int64_t *where, int64_t count) {
    (void)where, (void)count;
    scan_result *r = scan_new();
    if (!r) return NULL;
    scan_push(&r->column[0], text, size);
    if (r->column[0].failed || size == 0) return scan_seal(r);
    char *out = r->column[0].data;
    const char *p = text, *end = text + size;
    while (p < end) {
        if ((*p != '"' && *p != '#') || (p > text && p[-1] != ';' && !scan_is(p[-1], SCAN_SPACE))) {
            p++;
            continue;
        }
        bool is_string = *p == '"';
        const char *stop = p + 1 < end ? memchr(p + 1, is_string ? '"' : '\n', (size_t)(end - p - 1)) : NULL;
        if (is_string && !stop) {
            p++;
            continue;
        }
        if (!stop) stop = end;
        memset(out + (p - text) + is_string, is_string ? '_' : ' ', (size_t)(stop - p - is_string));
        p = stop + is_string;
    }
    return scan_seal(r);
}
