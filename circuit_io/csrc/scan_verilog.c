/* Structural Verilog: what stands beside code, the instances of a module, the bits of expressions.
 *
 * Same grammar as `verilog_text.py`, `verilog_rows.py` and `verilog_expr.py`, whose patterns say what is plain. Whatever
 * is not plain, faults above all, is SCAN_NOT_MINE: of the whole module, since order numbers names and bits.
 */
#include "scan.h"

#include <stdlib.h>

/* ---- comments, attributes, strings ------------------------------------------------------------------------------ */

static const char *string_end(const char *p, const char *end) { /* after the quote that closes; NULL: none in its line */
    for (p++; p < end && *p != '\n'; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\' && ++p == end) return NULL;
    }
    return NULL;
}

static const char *find_pair(const char *p, const char *end, char a, char b) { /* after the pair, or NULL */
    for (; (p = memchr(p, a, (size_t)(end - p))) != NULL; p++)
        if (p + 1 < end && p[1] == b) return p + 2;
    return NULL;
}

static const char *attribute_end(const char *p, const char *end) { /* p is after its opener */
    while (p < end) {
        if (*p == '*' && p + 1 < end && p[1] == ')') return p + 2;
        p = *p == '"' ? string_end(p, end) : p + 1;
        if (!p) return NULL;
    }
    return NULL;
}

static const char *quiet_end(const char *p, const char *end) { /* p itself: code starts here; NULL: it is not closed */
    if (*p == '"') return string_end(p, end);
    if (p + 1 == end) return p;
    if (*p == '/' && p[1] == '/') {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        return line ? line : end;
    }
    if (*p == '/' && p[1] == '*') return find_pair(p + 2, end, '*', '/');
    if (*p == '(' && p[1] == '*') {
        const char *after = scan_skip(p + 2, end, SCAN_SPACE);
        return after < end && *after == ')' ? p : attribute_end(p + 2, end);
    }
    return p;
}

static const char *word_end(const char *p, const char *end) { /* up to the next space */
    while (p < end && !scan_is(*p, SCAN_SPACE)) p++;
    return p;
}

/* Column 0: start and end (int64) of every comment, attribute and string. */
SCAN_API scan_result *scan_verilog_quiet(const char *text, int64_t size, const int64_t *where, int64_t count) {
    (void)where, (void)count;
    scan_result *r = scan_new();
    if (!r) return NULL;
    const char *end = text + size;
    for (const char *p = text; p < end;) {
        if (*p == '\\') {
            p = word_end(p + 1, end); /* an escaped name is code */
        } else if (*p == '"' || *p == '/' || *p == '(') {
            const char *after = quiet_end(p, end);
            if (!after) {
                r->status = SCAN_NOT_MINE;
                break;
            }
            if (after > p) {
                scan_push_i64(&r->column[0], p - text);
                scan_push_i64(&r->column[0], after - text);
            }
            p = after > p ? after : p + 1;
        } else {
            p++;
        }
    }
    return scan_seal(r);
}

/* ---- instances of a module -------------------------------------------------------------------------------------- */

/* The words that are no names, by their first letter, which `where` tells; as KEYWORDS in verilog_words.py. */
static const char *const KEYWORDS[] = {
    "always", "always_comb", "always_ff", "always_latch", "and", "assert", "assign", "begin", "bind", "bit", "buf",
    "bufif0", "bufif1", "byte", "case", "casex", "casez", "class", "cmos", "deassign", "defparam", "else", "end",
    "endmodule", "enum", "event", "final", "for", "force", "forever", "fork", "function", "generate", "genvar", "if",
    "import", "initial", "inout", "input", "integer", "interface", "localparam", "logic", "macromodule", "module",
    "nand", "nmos", "nor", "not", "notif0", "notif1", "or", "output", "package", "parameter", "pmos", "primitive",
    "program", "property", "pulldown", "pullup", "rcmos", "real", "realtime", "reg", "release", "repeat", "rnmos",
    "rpmos", "rtran", "rtranif0", "rtranif1", "sequence", "specify", "specparam", "struct", "supply0", "supply1",
    "table", "task", "time", "tran", "tranif0", "tranif1", "tri", "tri0", "tri1", "triand", "trior", "trireg",
    "typedef", "union", "wand", "while", "wire", "wor", "xnor", "xor"};
static const char *const PASSED_OVER[] = {"defparam", "localparam", "parameter", "specparam"};
static const char *const OTHER_WORDS[] = {"assign", "inout", "input", "output", "supply0", "supply1", "tri", "wire"};
static const char *const KINDS[] = {"scalared", "signed", "tri", "unsigned", "vectored", "wire"};
enum { NUM_KEYWORDS = sizeof KEYWORDS / sizeof *KEYWORDS, NUM_PASSED = 4, NUM_OTHER = 8, NUM_KINDS = 6 };
enum { LONGEST_KEYWORD = 12, MAX_BITS = 1 << 20 }; /* of a vector or an expression, as in verilog_expr.py */

typedef struct { /* the text and a place in it; `first` .. `first + size` is the last name, with its backslash */
    const char *p, *end, *first;
    int64_t size;
} cursor;

static int place(const cursor *c, const char *const *words, int count) { /* of the name among sorted words, or -1 */
    if (c->size < 2 || c->size > LONGEST_KEYWORD || *c->first < 'a' || *c->first > 'z') return -1;
    for (int i = 0; i < count && *words[i] <= *c->first; i++)
        if (*words[i] == *c->first && scan_equal(c->first, c->size, words[i])) return i;
    return -1;
}

static bool is_keyword(const cursor *c) { return place(c, KEYWORDS, NUM_KEYWORDS) >= 0; }

static void skip_space(cursor *c) { c->p = scan_skip(c->p, c->end, SCAN_SPACE); }

static bool take(cursor *c, char wanted) { /* blanks, then this sign */
    skip_space(c);
    if (c->p == c->end || *c->p != wanted) return false;
    c->p++;
    return true;
}

static bool starts_name(char c) { return scan_is(c, SCAN_WORD) && !scan_is(c, SCAN_DIGIT); }

static bool take_name(cursor *c) { /* blanks, then [A-Za-z_][\w$]* or \\\S+ */
    skip_space(c);
    const char *p = c->first = c->p;
    if (p == c->end) return false;
    if (*p == '\\') {
        p = word_end(p + 1, c->end);
    } else if (starts_name(*p)) {
        while (++p < c->end && (scan_is(*p, SCAN_WORD) || *p == '$')) continue;
    }
    c->size = p - c->first;
    c->p = p;
    return c->size > (*c->first == '\\');
}

static bool take_index(cursor *c, int64_t *value) {
    skip_space(c);
    const char *first = c->p;
    return scan_int(&c->p, c->end, value) && c->p - first - (*first == '-') <= 9;
}

static bool skip_statement(cursor *c) { /* past its semicolon */
    while (c->p < c->end) {
        if (*c->p == ';') return c->p++, true;
        if (*c->p != '\\') {
            c->p++;
        } else {
            const char *after = word_end(c->p + 1, c->end);
            if (after == c->p + 1) return false;
            c->p = after;
        }
    }
    return false;
}

enum { MASTERS, MASTERS_END, PINS, PINS_END, CONN_PIN, INSTS, INSTS_END, INST_MASTER, INST_AT, PIN_PTR, CONN_EXPR,
       EXPRS, EXPRS_END, OTHERS, WORDS, WORDS_END };

enum { BATCH = 32 };

typedef struct {
    scan_names masters, pins, insts, exprs, words;
    scan_vec *column;
    const char *text;
    scan_word pending[BATCH]; /* expressions of the last connections */
    int num_pending;
} body;

static bool take_expr(cursor *c) { /* up to the closing parenthesis: (?:[^()\\;]|\\\S+)* */
    c->first = c->p;
    for (; c->p < c->end; c->p++) {
        if (*c->p == ')') {
            c->size = c->p - c->first;
            return c->p++, true;
        }
        if (*c->p == '(' || *c->p == ';') return false;
        if (*c->p == '\\') {
            const char *after = word_end(c->p + 1, c->end);
            if (after == c->p + 1 || after == c->end) return false;
            c->p = after;
        }
    }
    return false;
}

static bool intern_pending(body *b) {
    int32_t ids[BATCH];
    scan_find_all(&b->exprs, b->pending, b->num_pending, ids);
    for (int i = 0; i < b->num_pending; i++) {
        const scan_word *w = &b->pending[i];
        if (ids[i] < 0) ids[i] = scan_intern_hashed(&b->exprs, w->at, w->size, w->hash, NULL);
        if (ids[i] < 0) return false;
    }
    scan_push(&b->column[CONN_EXPR], ids, b->num_pending * (int64_t)sizeof *ids);
    b->num_pending = 0;
    return true;
}

static bool take_pin(cursor *c, body *b) {
    if (!take(c, '.') || !take_name(c)) return false;
    int32_t pin = scan_intern(&b->pins, c->first, c->size, NULL);
    if (pin < 0 || !take(c, '(') || !take_expr(c)) return false;
    scan_push_i32(&b->column[CONN_PIN], pin);
    uint32_t hash = scan_hash(c->first, c->size);
    scan_prefetch(&b->exprs, hash);
    b->pending[b->num_pending++] = (scan_word){c->first, c->size, hash};
    return b->num_pending < BATCH || intern_pending(b);
}

static bool take_instance(cursor *c, body *b, int64_t at) { /* the master is c's name */
    bool fresh = false;
    int32_t master = scan_intern(&b->masters, c->first, c->size, NULL);
    if (master < 0 || c->p == c->end || !scan_is(*c->p, SCAN_SPACE)) return false;
    if (!take_name(c) || is_keyword(c)) return false;
    int64_t skip = *c->first == '\\';
    scan_word name = {c->first + skip, c->size - skip, 0};
    name.hash = scan_hash(name.at, name.size);
    scan_prefetch(&b->insts, name.hash);
    if (!take(c, '(')) return false;
    skip_space(c);
    if (c->p < c->end && *c->p == '.')
        do {
            if (!take_pin(c, b)) return false;
        } while (take(c, ','));
    if (!take(c, ')') || !take(c, ';')) return false;
    if (scan_intern_hashed(&b->insts, name.at, name.size, name.hash, &fresh) < 0 || !fresh) return false;
    scan_push_i32(&b->column[INST_MASTER], master);
    scan_push_i64(&b->column[INST_AT], at);
    scan_push_i64(&b->column[PIN_PTR], b->column[CONN_PIN].size / (int64_t)sizeof(int32_t));
    return true;
}

/* A row of OTHERS: where a statement stands; the word it begins with, below 0 where Python reads it; how many WORDS it
 * has: names without their backslash, or the sides of an assign; whether they have a range, and its ends. */
typedef struct {
    int64_t at, word, num_words, has_range, left, right;
} other;
enum { INPUT, OUTPUT, INOUT, WIRE, SUPPLY0, SUPPLY1, ASSIGN, NOT_PLAIN = -1 }; /* as _WORDS in verilog_rows.py */

static bool push_word(body *b, other *o, const char *first, const char *end) {
    o->num_words++;
    return scan_append(&b->words, first, end - first) >= 0;
}

static bool take_range(cursor *c, other *o) { /* after its bracket */
    skip_space(c);
    if (!take_index(c, &o->left) || !take(c, ':') || !take_index(c, &o->right) || !take(c, ']')) return false;
    o->has_range = true;
    return o->right - o->left < MAX_BITS && o->left - o->right < MAX_BITS;
}

static bool take_declaration(cursor *c, body *b, other *o) {
    bool named;
    do named = take_name(c);
    while (named && place(c, KINDS, NUM_KINDS) >= 0);
    if (!named && (!take(c, '[') || !take_range(c, o) || !take_name(c))) return false;
    bool is_kept = o->word != WIRE || o->has_range; /* scalars need no declaration */
    for (;;) {
        if (is_keyword(c)) return false;
        if (is_kept && !push_word(b, o, c->first + (*c->first == '\\'), c->p)) return false;
        if (!take(c, ',')) return take(c, ';');
        if (!take_name(c)) return false;
    }
}

static bool take_side(cursor *c, body *b, other *o) { /* of an assign: what names, selects, numbers and braces are made of */
    skip_space(c);
    const char *first = c->p;
    for (int depth = 0; c->p < c->end; c->p++) {
        if (*c->p == '\\') {
            const char *after = word_end(c->p + 1, c->end);
            if (after == c->p + 1 || after == c->end) return false;
            c->p = after;
        }
        depth += (*c->p == '{') - (*c->p == '}');
        if (depth < 0) return false;
        if (*c->p == '=' || *c->p == ';' || (*c->p == ',' && depth == 0))
            return c->p > first && depth == 0 && push_word(b, o, first, c->p);
        if (!scan_is(*c->p, SCAN_WORD | SCAN_SPACE) && !strchr("{},[]:'$?-", *c->p)) return false;
    }
    return false;
}

static bool take_assign(cursor *c, body *b, other *o) {
    do {
        if (!take_side(c, b, o) || !take(c, '=') || !take_side(c, b, o)) return false;
    } while (take(c, ','));
    return take(c, ';');
}

static bool take_other(cursor *c, body *b, int64_t at, int place) { /* what begins with one of OTHER_WORDS */
    static const int WORD[NUM_OTHER] = {ASSIGN, INOUT, INPUT, OUTPUT, SUPPLY0, SUPPLY1, WIRE, WIRE};
    other o = {.at = at, .word = WORD[place]};
    cursor ahead = *c;
    int64_t words = b->words.count;
    if (o.word == ASSIGN ? take_assign(&ahead, b, &o) : take_declaration(&ahead, b, &o)) {
        c->p = ahead.p;
        if (o.num_words == 0) return true;
    } else {
        o = (other){.at = at, .word = NOT_PLAIN, .num_words = b->words.count - words};
        if (!skip_statement(c)) return false;
    }
    scan_push(&b->column[OTHERS], &o, sizeof o);
    return true;
}

static bool take_body(cursor *c, body *b, int64_t *stop) {
    for (;;) {
        skip_space(c);
        int64_t at = c->p - b->text;
        if (take(c, ';')) continue;
        if (!take_name(c)) return false;
        int other = place(c, OTHER_WORDS, NUM_OTHER);
        if (other < 0 && scan_equal(c->first, c->size, "endmodule")) {
            *stop = at;
            return intern_pending(b);
        }
        bool good = other >= 0                              ? take_other(c, b, at, other)
                    : place(c, PASSED_OVER, NUM_PASSED) >= 0 ? skip_statement(c)
                                                             : !is_keyword(c) && take_instance(c, b, at);
        if (!good) return false;
    }
}

/* The instances of the module whose body starts at where[0]. number[0]: where its `endmodule` stands; OTHERS: a row
 * for each declaration and assign. */
SCAN_API scan_result *scan_verilog_body(const char *text, int64_t size, const int64_t *where, int64_t count) {
    scan_result *r = scan_new();
    if (!r) return NULL;
    body b = {.column = r->column, .text = text};
    bool opened = scan_names_open(&b.masters) & scan_names_open(&b.pins) & scan_names_open(&b.insts);
    opened &= scan_names_open(&b.exprs) & scan_names_open(&b.words);
    scan_push_i64(&r->column[PIN_PTR], 0);
    r->status = SCAN_NOT_MINE;
    if (opened && count == 1 && where[0] >= 0 && where[0] <= size) {
        cursor c = {.p = text + where[0], .end = text + size};
        if (take_body(&c, &b, &r->number[0])) r->status = SCAN_DONE;
    }
    scan_names_move(&b.masters, &r->column[MASTERS], &r->column[MASTERS_END]);
    scan_names_move(&b.pins, &r->column[PINS], &r->column[PINS_END]);
    scan_names_move(&b.insts, &r->column[INSTS], &r->column[INSTS_END]);
    scan_names_move(&b.exprs, &r->column[EXPRS], &r->column[EXPRS_END]);
    scan_names_move(&b.words, &r->column[WORDS], &r->column[WORDS_END]);
    scan_names_close(&b.masters);
    scan_names_close(&b.pins);
    scan_names_close(&b.insts);
    scan_names_close(&b.exprs);
    scan_names_close(&b.words);
    return scan_seal(r);
}

/* ---- bits of expressions ---------------------------------------------------------------------------------------- */

enum { CONST_0 = -1, CONST_1 = -2, NOTHING = -3 }; /* as in verilog_words.py */
enum { MAX_MODULE_BITS = 1 << 27, MAX_DEPTH = 30, MAX_DECIMAL = 18 };
enum { SCALARS, SCALARS_END, SCALAR_BIT, BIT_PTR, BITS, SIZED };

typedef struct {
    scan_names scalars, vectors;
    scan_vec *scalar_bit, *bits;
    const int64_t *range; /* left, right and first bit of each vector */
    int64_t num_bits, most; /* as `most_bits` of verilog_text.py, of less text: Python decides beyond it */
    bool all_entered;       /* every scalar can be found */
} names;

static int64_t num_out(const names *n) { return n->bits->size / (int64_t)sizeof(int32_t); }

static bool push_bits(names *n, int64_t first, int64_t count) {
    if (num_out(n) + n->num_bits + count > n->most) return false;
    for (int64_t i = 0; i < count; i++) scan_push_i32(n->bits, (int32_t)(first + i));
    return !n->bits->failed;
}

static bool push_code(names *n, int code, int64_t count) {
    if (num_out(n) + n->num_bits + count > n->most) return false;
    for (int64_t i = 0; i < count; i++) scan_push_i32(n->bits, code);
    return !n->bits->failed;
}

/* Expressions differ, so that a name which is all of one, written as tools do, is met in no other; while all names are
 * of this kind or ports, none has to be found again, and none enters the slots. */
static bool is_alone(const char *p, const char *end) { /* a simple name, or one with its backslash and blank that is not */
    bool escaped = p < end && *p == '\\';
    if (escaped && *--end != ' ') return false;
    const char *first = p += escaped;
    while (p < end && (scan_is(*p, SCAN_WORD) || *p == '$')) p++;
    bool is_simple = p == end && p > first && starts_name(*first);
    return escaped ? !is_simple && p < end && word_end(p, end) == end : is_simple;
}

static bool enter_all(names *n) { /* the names that stand alone so far */
    scan_names all = {0};
    const int64_t *ends = (const int64_t *)(const void *)n->scalars.offsets.data;
    bool good = scan_names_open(&all);
    for (int64_t i = 0; i < n->scalars.count && good; i++)
        good = scan_intern(&all, n->scalars.blob.data + ends[i], ends[i + 1] - ends[i], NULL) == i;
    scan_names_close(&n->scalars);
    n->scalars = all;
    n->all_entered = true;
    return good;
}

static bool push_scalar(names *n, const char *word, int64_t size, bool alone) {
    bool fresh = false;
    uint32_t hash = scan_hash(word, size);
    int32_t id = alone && !n->all_entered ? scan_find(&n->scalars, word, size, hash) : -1;
    if (id < 0) {
        if (!alone && !n->all_entered && !enter_all(n)) return false;
        fresh = !n->all_entered;
        id = n->all_entered ? scan_intern_hashed(&n->scalars, word, size, hash, &fresh)
                            : scan_append(&n->scalars, word, size);
    }
    if (id < 0 || n->num_bits >= n->most) return false;
    if (fresh) scan_push_i32(n->scalar_bit, (int32_t)n->num_bits++);
    if (n->scalar_bit->failed) return false;
    return push_bits(n, ((const int32_t *)(const void *)n->scalar_bit->data)[id], 1);
}

static bool take_selected(cursor *c, names *n, bool alone) { /* a name, a bit or a part of a vector */
    if (!take_name(c)) return false;
    int64_t skip = *c->first == '\\', size = c->size - skip;
    const char *word = c->first + skip;
    int64_t ends[2] = {0, 0};
    bool selects = take(c, '[');
    if (selects) {
        if (!take_index(c, &ends[0])) return false;
        ends[1] = ends[0];
        if (take(c, ':') && !take_index(c, &ends[1])) return false;
        if (!take(c, ']')) return false;
    }
    int32_t vector = n->vectors.count ? scan_find(&n->vectors, word, size, scan_hash(word, size)) : -1;
    if (vector < 0) return !selects && push_scalar(n, word, size, alone);
    const int64_t *range = n->range + 3 * (int64_t)vector;
    int64_t step = range[1] >= range[0] ? 1 : -1, last = (range[1] - range[0]) * step;
    int64_t a = selects ? (ends[0] - range[0]) * step : 0, b = selects ? (ends[1] - range[0]) * step : last;
    return 0 <= a && a <= b && b <= last && push_bits(n, range[2] + a, b - a + 1);
}

static int digit_value(char c) { /* 16: x, z or ?; -1: no digit */
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c == 'x' || c == 'z' || c == ('?' | 32) ? 16 : -1;
}

static bool push_number(names *n, int64_t value, int64_t width) {
    for (int64_t i = width - 1; i >= 0; i--)
        if (!push_code(n, i < 63 && (value >> i & 1) ? CONST_1 : CONST_0, 1)) return false;
    return true;
}

static bool push_based(names *n, const char *p, const char *end, int size, int64_t width) {
    int64_t digits = 0;
    for (const char *q = p; q < end; q++) digits += *q != '_';
    for (; digits > width; p++) digits -= *p != '_';
    while (p < end && *p == '_') p++;
    bool blank = digit_value(*p) == 16;
    int64_t surplus = digits * size - width, start = num_out(n); /* bits that fall off the left */
    if (surplus < 0 && !push_code(n, blank ? NOTHING : CONST_0, -surplus)) return false;
    for (; p < end; p++) {
        if (*p == '_') continue;
        int value = digit_value(*p);
        if (value < 16 && value >> size) return false;
        for (int i = size - 1; i >= 0; i--) {
            if (surplus > 0) {
                surplus--;
            } else if (!push_code(n, value == 16 ? NOTHING : value >> i & 1 ? CONST_1 : CONST_0, 1)) {
                return false;
            }
        }
    }
    return num_out(n) - start == width;
}

static bool push_decimal(names *n, const char *p, const char *end, int64_t width) {
    int64_t value = 0, digits = 0;
    for (; p < end; p++) {
        if (*p == '_') continue;
        if (!scan_is(*p, SCAN_DIGIT)) return push_code(n, NOTHING, width);
        if (++digits > MAX_DECIMAL) return false;
        value = value * 10 + (*p - '0');
    }
    return push_number(n, value, width);
}

static bool take_constant(cursor *c, names *n, bool *sized) { /* 4'b01x0, 'h3, 7 */
    int64_t width = 32;
    const char *first = c->p;
    *sized = c->p < c->end && *c->p != '\'';
    if (*sized && (!scan_int(&c->p, c->end, &width) || c->p - first > 9)) return false;
    if (c->p == c->end || *c->p != '\'') { /* a number alone; blanks before the sign are left to Python */
        skip_space(c);
        if (c->p < c->end && *c->p == '\'') return false;
        *sized = false;
        return push_number(n, width, 32);
    }
    c->p++;
    if (c->p < c->end && (*c->p | 32) == 's') c->p++;
    if (c->p == c->end || width < 1 || width > MAX_BITS) return false;
    char base = *c->p++ | 32;
    const char *digits = c->p;
    for (; c->p < c->end && (scan_is(*c->p, SCAN_WORD) || *c->p == '?'); c->p++)
        if (*c->p != '_' && digit_value(*c->p) < 0) return false;
    if (c->p == digits || *digits == '_') return false;
    if (base == 'd') return push_decimal(n, digits, c->p, width);
    int size = base == 'b' ? 1 : base == 'o' ? 3 : base == 'h' ? 4 : 0;
    return size && push_based(n, digits, c->p, size, width);
}

static bool repeat_bits(names *n, int64_t start, int64_t times) {
    int64_t count = num_out(n) - start;
    if (count * times > MAX_BITS) return false;
    if (times == 0) n->bits->size = start * (int64_t)sizeof(int32_t);
    for (int64_t i = 1; i < times; i++)
        for (int64_t k = 0; k < count; k++) {
            int32_t bit = ((const int32_t *)(const void *)n->bits->data)[start + k];
            scan_push_i32(n->bits, bit);
        }
    return !n->bits->failed && num_out(n) + n->num_bits <= n->most;
}

typedef struct {
    int64_t start, times; /* times < 0: braces that only join */
} brace;

static int open_braces(cursor *c, const names *n, brace *open, int depth) { /* the new depth, 0: too deep */
    for (;;) {
        skip_space(c);
        const char *before = c->p;
        int64_t times = 0;
        bool repeats = c->p < c->end && scan_is(*c->p, SCAN_DIGIT) && scan_int(&c->p, c->end, &times) &&
                       c->p - before <= 9 && take(c, '{');
        if (!repeats) c->p = before;
        if (depth == MAX_DEPTH) return 0;
        open[depth++] = (brace){num_out(n), repeats ? times : -1};
        if (!repeats) return depth;
    }
}

static bool take_concatenation(cursor *c, names *n) { /* after its first brace */
    brace open[MAX_DEPTH];
    int64_t begin = num_out(n);
    int depth = open_braces(c, n, open, 0);
    bool sized = true;
    while (depth > 0) {
        skip_space(c);
        if (c->p == c->end) return false;
        if (*c->p == '{') {
            c->p++;
            depth = open_braces(c, n, open, depth);
            if (!depth) return false;
            continue;
        }
        bool is_number = scan_is(*c->p, SCAN_DIGIT) || *c->p == '\'';
        if (!(is_number ? take_constant(c, n, &sized) && sized : take_selected(c, n, false))) return false;
        if (num_out(n) - begin > MAX_BITS) return false;
        while (depth > 0 && !take(c, ',')) { /* what is open ends here */
            if (!take(c, '}')) return false;
            for (depth--; depth > 0 && open[depth - 1].times >= 0; depth--)
                if (!repeat_bits(n, open[depth - 1].start, open[depth - 1].times) || !take(c, '}')) return false;
        }
    }
    return depth == 0 && open[0].start == begin;
}

static bool take_bits(cursor *c, names *n, bool differs, bool *sized) { /* a whole expression; blanks have no bits */
    bool alone = differs && is_alone(c->p, c->end);
    *sized = true;
    skip_space(c);
    if (c->p == c->end) return true;
    bool is_number = scan_is(*c->p, SCAN_DIGIT) || *c->p == '\'';
    bool good = take(c, '{') ? take_concatenation(c, n) : is_number ? take_constant(c, n, sized) : take_selected(c, n, alone);
    skip_space(c);
    return good && c->p == c->end;
}

typedef struct { /* where[]: bits so far, number of scalars, vectors, expressions and those of them, the first ones, that
                  * differ; ends of all in the text; their bits */
    int64_t num_bits, num_scalars, num_vectors, num_exprs, num_different;
    const int64_t *ends, *scalar_bit, *range;
} layout;

static bool lay_out(layout *l, int64_t size, const int64_t *where, int64_t count) {
    if (count < 5) return false;
    *l = (layout){where[0], where[1], where[2], where[3], where[4], where + 5, NULL, NULL};
    for (int i = 0; i < 5; i++)
        if (where[i] < 0 || where[i] > INT32_MAX) return false;
    int64_t total = l->num_scalars + l->num_vectors + l->num_exprs;
    if (count != 5 + total + 1 + l->num_scalars + 3 * l->num_vectors) return false;
    if (l->ends[0] != 0 || l->ends[total] > size) return false;
    for (int64_t i = 0; i < total; i++)
        if (l->ends[i + 1] < l->ends[i]) return false;
    l->scalar_bit = l->ends + total + 1;
    l->range = l->scalar_bit + l->num_scalars;
    return l->num_bits <= MAX_MODULE_BITS;
}

static bool resolve(const char *text, const layout *l, names *n, scan_result *r) {
    const int64_t *end = l->ends;
    for (int64_t i = 0; i < l->num_scalars; i++, end++) {
        if (scan_intern(&n->scalars, text + end[0], end[1] - end[0], NULL) != i) return false;
        scan_push_i32(n->scalar_bit, (int32_t)l->scalar_bit[i]);
    }
    for (int64_t i = 0; i < l->num_vectors; i++, end++)
        if (scan_intern(&n->vectors, text + end[0], end[1] - end[0], NULL) != i) return false;
    for (int64_t i = 0; i < l->num_exprs; i++, end++) {
        cursor c = {.p = text + end[0], .end = text + end[1]};
        bool sized = true;
        if (!take_bits(&c, n, i < l->num_different, &sized)) return false;
        scan_push_i64(&r->column[BIT_PTR], num_out(n));
        scan_push_i8(&r->column[SIZED], sized);
    }
    return !n->scalars.failed && !n->scalar_bit->failed;
}

/* The bits of expressions, new scalars numbered as they come. `text`: scalars that have bits, vectors, expressions. */
SCAN_API scan_result *scan_verilog_bits(const char *text, int64_t size, const int64_t *where, int64_t count) {
    scan_result *r = scan_new();
    if (!r) return NULL;
    layout l;
    r->status = SCAN_NOT_MINE;
    if (!lay_out(&l, size, where, count)) return r;
    names n = {.scalar_bit = &r->column[SCALAR_BIT], .bits = &r->column[BITS], .range = l.range};
    n.num_bits = l.num_bits;
    n.most = size < (MAX_MODULE_BITS >> 10) ? (1 << 18) + (size << 10) : MAX_MODULE_BITS;
    scan_push_i64(&r->column[BIT_PTR], 0);
    if (scan_names_open(&n.scalars) & scan_names_open(&n.vectors))
        if (resolve(text, &l, &n, r)) r->status = SCAN_DONE;
    r->number[0] = n.num_bits;
    scan_names_move(&n.scalars, &r->column[SCALARS], &r->column[SCALARS_END]);
    scan_names_close(&n.scalars);
    scan_names_close(&n.vectors);
    return scan_seal(r);
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

/* Names of where[0] slices of the text each: from where[1] on the start and end of every slice. Columns as of names. */
SCAN_API scan_result *scan_verilog_join(const char *text, int64_t size, const int64_t *where, int64_t count) {
    scan_result *r = scan_new();
    if (!r) return NULL;
    scan_vec *blob = &r->column[0], *ends = &r->column[1];
    int64_t each = count > 0 ? where[0] : 0, total = 0;
    r->status = SCAN_NOT_MINE;
    if (each < 1 || count % 2 == 0 || count / 2 % each) return r;
    for (int64_t i = 1; i < count; i += 2) {
        if (where[i] < 0 || where[i] > where[i + 1] || where[i + 1] > size) return r;
        total += where[i + 1] - where[i];
    }
    scan_push_i64(ends, 0);
    if (scan_grow(blob, total))
        for (int64_t i = 1; i < count; i += 2 * each) {
            for (const int64_t *slice = where + i; slice < where + i + 2 * each; slice += 2)
                scan_push(blob, text + slice[0], slice[1] - slice[0]);
            scan_push_i64(ends, blob->size);
        }
    r->status = SCAN_DONE;
    return scan_seal(r);
}
