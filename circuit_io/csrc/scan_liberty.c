/* Liberty text as a flat list of statements; the rules are those of the patterns in liberty_text.py.
 *
 * Comments are blanked first, in a copy of the same length, so positions are those of the file. Then one statement is
 * taken after the other; a group that no column is made from is passed over. Anything that is no clean statement, and
 * every fault, is left to Python.
 */
#include "scan.h"

#include <stdlib.h>

/* Columns of the result; liberty_native.py knows the same order. */
enum {
    KIND,            /* int8 per statement, see below */
    NAME,            /* int32: which name */
    TEXT,            /* int32: which value, which arguments, or which table */
    AT,              /* int64: where the statement starts; of a closing brace, where it ends */
    NAMES,           /* names of groups and attributes, with their offsets */
    NAME_OFFSETS,
    VALUES,          /* what stands after a colon */
    VALUE_OFFSETS,
    ARGUMENTS,       /* what stands in parentheses */
    ARGUMENT_OFFSETS,
    TABLES,          /* int32 per table: its arguments, its indices */
    INDICES,         /* int32 per indices: the arguments of index_1, index_2 and index_3, -1 if absent */
    NUMBERS,         /* float64: the values of all tables */
    NUMBER_ENDS      /* int64 per table, with a leading 0 */
};
enum { CLOSE, OPEN, VALUE, COMPLEX, TABLE };
enum { MAX_DEPTH = 60, MAX_PASSED_DEPTH = 5 };
static const double MAX_NUMBER = 1e30; /* as in liberty_units.py */

typedef struct {
    scan_result *r;
    const char *end;
    bool has_escape; /* a backslash anywhere: then strings are searched byte by byte */
    int64_t depth;
    uint64_t timings; /* bit d: the group at depth d is a timing group */
    scan_names names, values, arguments, indices;
} state;

/* Past the closing quote of the string whose opening quote is at p; NULL: never closed. */
static const char *past_string(const state *s, const char *p) {
    if (!s->has_escape) {
        const char *quote = memchr(p + 1, '"', (size_t)(s->end - p - 1));
        return quote ? quote + 1 : NULL;
    }
    for (p++; p < s->end; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\' && ++p == s->end) break;
    }
    return NULL;
}

/* ---- comments and continued lines --------------------------------------------------------------------------------- */

static void blank_continuations(char *text, int64_t size) {
    char *end = text + size, *p = text;
    while ((p = memchr(p, '\\', (size_t)(end - p)))) {
        char *q = p + 1;
        while (q < end && (*q == ' ' || *q == '\t')) q++;
        if (q < end && *q == '\r') q++;
        if (q < end && *q == '\n') *p = ' ';
        p++;
    }
}

static bool has_comment(const char *p, const char *end) {
    while ((p = memchr(p, '/', (size_t)(end - p)))) {
        if (++p < end && (*p == '/' || *p == '*')) return true;
    }
    return false;
}

/* False: a comment or a string never closes. */
static bool blank_comments(const state *s, char *text) {
    char *end = text + (s->end - text), *p = text;
    while (p < end) {
        if (*p == '"') {
            const char *next = past_string(s, p);
            if (!next) return false;
            p = text + (next - text);
        } else if (*p != '/' || p + 1 == end || (p[1] != '/' && p[1] != '*')) {
            p++;
        } else {
            bool to_line_end = p[1] == '/';
            char *stop = p + 2;
            if (to_line_end) {
                stop = memchr(stop, '\n', (size_t)(end - stop));
                if (!stop) stop = end;
            } else {
                do {
                    stop = memchr(stop, '*', (size_t)(end - stop));
                    if (!stop || ++stop == end) return false;
                } while (*stop != '/');
                stop++;
            }
            for (; p < stop; p++)
                if (*p != '\n') *p = ' ';
        }
    }
    return true;
}

/* ---- groups that no column is made from --------------------------------------------------------------------------- */

static bool starts(const char **word, const char *end, const char *const *choices) { /* and moves past the choice */
    for (; *choices; choices++) {
        int64_t size = (int64_t)strlen(*choices);
        if (end - *word >= size && memcmp(*word, *choices, (size_t)size) == 0) {
            *word += size;
            return true;
        }
    }
    return false;
}

/* The pattern _PASSED_OVER of liberty_text.py; a test asks both for the same words. */
static bool is_passed_over(const char *word, int64_t size) {
    static const char *const exact[] = {
        "internal_power", "electromigration", "rise_capacitance_range", "fall_capacitance_range",
        "normalized_driver_waveform", "power_lut_template", "power_supply", "sensitization", "user_parameters",
        "char_config", "min_pulse_width", "max_pulse_width", "fall_net_delay", "rise_net_delay", "pin_based_variation",
        "operating_conditions", NULL};
    static const char *const prefix[] = {
        "ccsn_", "ocv_", "em_", "hyperbolic_noise", "noise_", "steady_state_", "propagated_noise", "input_voltage",
        "input_ccb", "output_voltage", "output_ccb", "wire_load", "base_curve", "curve", "dc_current", NULL};
    static const char *const model[] = {"output", "receiver", "leakage", "gate", "pg", "dynamic", "switching",
                                        "intrinsic", "compact", NULL};
    static const char *const kind[] = {"_current", "_capacitance", "_parasitic", "_ccs", NULL};
    const char *end = word + size, *p = word;
    for (int i = 0; exact[i]; i++)
        if (scan_equal(word, size, exact[i])) return true;
    if (!starts(&p, end, prefix) && !(starts(&p, end, model) && starts(&p, end, kind))) return false;
    return scan_skip(p, end, SCAN_WORD) == end;
}

/* Past the brace that closes the group whose inside starts at p; NULL: never closed, or nested too deep. */
static const char *past_group(const state *s, const char *p) {
    for (int depth = 0; p < s->end; p++) {
        if (*p == '"') {
            p = past_string(s, p);
            if (!p) return NULL;
            p--;
        } else if (*p == '{') {
            if (++depth > MAX_PASSED_DEPTH) return NULL;
        } else if (*p == '}' && depth-- == 0) {
            return p + 1;
        }
    }
    return NULL;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

/* Adds the numbers of `values (...)`; false: something else is among them. */
static bool add_numbers(state *s, const char *p, const char *end) {
    scan_vec *numbers = &s->r->column[NUMBERS];
    double number;
    while (true) {
        while (p < end && (*p == ',' || *p == '"' || scan_is(*p, SCAN_SPACE))) p++;
        if (p == end) return true;
        const char *word = p;
        while (p < end && (scan_is(*p, SCAN_DIGIT) || *p == '.' || *p == '-' || *p == '+' || *p == 'e' || *p == 'E')) p++;
        if (!scan_decimal(word, p - word, &number) || !(number > -MAX_NUMBER && number < MAX_NUMBER)) break;
        scan_push_f64(numbers, number);
    }
    return false;
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

static void add(state *s, int kind, int32_t name, int32_t text, int64_t at) {
    scan_vec *column = s->r->column;
    scan_push_i8(&column[KIND], (int8_t)kind);
    scan_push_i32(&column[NAME], name);
    scan_push_i32(&column[TEXT], text);
    scan_push_i64(&column[AT], at);
}

/* Past the parenthesis that closes the arguments starting at p; NULL: they are no arguments. */
static const char *past_arguments(const state *s, const char *p) {
    bool inner = false; /* within the one level of parentheses that arguments may hold, which holds no string */
    while (p < s->end) {
        if (*p == '"') {
            p = inner ? NULL : past_string(s, p);
            if (!p) return NULL;
            continue;
        }
        if (*p == '(' && inner) return NULL;
        if (*p == ')' && !inner) return p + 1;
        if (*p == '(' || *p == ')') inner = !inner;
        p++;
    }
    return NULL;
}

/* A table that holds its indices and numbers and nothing else, from inside its brace; NULL: read it as a group. */
static const char *table(state *s, const char *p, int32_t name, int32_t arguments, int64_t at) {
    static const char *const known[] = {"index_1", "index_2", "index_3", "values"};
    scan_vec *column = s->r->column;
    int64_t before = column[NUMBERS].size;
    int32_t index[3] = {-1, -1, -1};
    bool has[4] = {false};
    while (true) {
        while (p < s->end && (scan_is(*p, SCAN_SPACE) || *p == ';')) p++;
        const char *word = p;
        while (p < s->end && (scan_is(*p, SCAN_WORD) || *p == '.')) p++;
        int i = 0;
        while (i < 4 && !scan_equal(word, p - word, known[i])) i++;
        if (i == 4) {
            if (p > word) p = NULL; /* a word of another kind */
            break;
        }
        p = scan_skip(p, s->end, SCAN_SPACE);
        const char *from = p + 1;
        p = has[i] || p == s->end || *p != '(' ? NULL : past_arguments(s, from);
        if (!p) break;
        has[i] = true;
        if (i < 3) {
            index[i] = scan_intern(&s->arguments, from, p - 1 - from, NULL);
        } else if (!add_numbers(s, from, p - 1)) {
            p = NULL;
            break;
        }
    }
    if (!has[3] || !p || p == s->end || *p != '}') {
        column[NUMBERS].size = before;
        return NULL;
    }
    add(s, TABLE, name, (int32_t)(column[TABLES].size / (int64_t)(2 * sizeof(int32_t))), at);
    scan_push_i32(&column[TABLES], arguments);
    scan_push_i32(&column[TABLES], scan_intern(&s->indices, (const char *)index, sizeof index, NULL));
    scan_push_i64(&column[NUMBER_ENDS], column[NUMBERS].size / (int64_t)sizeof(double));
    return p + 1;
}

static const char *value(state *s, int32_t name, const char *p, int64_t at) {
    p = scan_skip(p, s->end, SCAN_SPACE);
    const char *from = p;
    if (p < s->end && *p == '"') {
        p = past_string(s, p);
        if (!p) return NULL;
    } else {
        while (p < s->end && *p != ';' && *p != '{' && *p != '}' && *p != '\n' && *p != '"') p++;
    }
    add(s, VALUE, name, scan_intern(&s->values, from, p - from, NULL), at);
    return p;
}

/* The statement at p, which starts with a name; NULL: not ours. */
static const char *statement(state *s, const char *p, const char *text) {
    const char *word = p, *end = s->end;
    while (p < end && (scan_is(*p, SCAN_WORD) || *p == '.')) p++;
    int64_t size = p - word, at = word - text;
    int32_t name = scan_intern(&s->names, word, size, NULL);
    p = scan_skip(p, end, SCAN_SPACE);
    if (p == end) return NULL;
    if (*p == ':') return s->depth ? value(s, name, p + 1, at) : NULL;
    if (*p != '(') return NULL;
    const char *from = p + 1, *to;
    p = past_arguments(s, from);
    if (!p) return NULL;
    to = p - 1;
    p = scan_skip(p, end, SCAN_SPACE);
    bool opens = p < end && *p == '{';
    if (opens && s->depth && is_passed_over(word, size)) return past_group(s, p + 1);
    if (!s->depth && !(opens && scan_equal(word, size, "library"))) return NULL;
    if (!opens && scan_equal(word, size, "include_file")) return NULL;
    int32_t arguments = scan_intern(&s->arguments, from, to - from, NULL);
    if (opens && s->depth && s->timings >> s->depth & 1) {
        const char *next = table(s, p + 1, name, arguments, at);
        if (next) return next;
    }
    add(s, opens ? OPEN : COMPLEX, name, arguments, at);
    if (!opens) return p;
    if (++s->depth > MAX_DEPTH) return NULL;
    s->timings &= ~(UINT64_C(1) << s->depth);
    s->timings |= (uint64_t)scan_equal(word, size, "timing") << s->depth;
    return p + 1;
}

static bool statements(state *s, const char *text) {
    const char *p = text;
    while (true) {
        while (p < s->end && (scan_is(*p, SCAN_SPACE) || *p == ';')) p++;
        if (p == s->end) return s->depth == 0;
        if (*p == '}') {
            if (s->depth-- == 0) return false;
            add(s, CLOSE, -1, -1, ++p - text);
        } else if (scan_is(*p, SCAN_WORD) && !scan_is(*p, SCAN_DIGIT)) {
            p = statement(s, p, text);
            if (!p) return false;
        } else {
            return false;
        }
        if (s->r->column[KIND].failed) return false;
    }
}

SCAN_API scan_result *scan_liberty(const char *text, int64_t size, const int64_t *where, int64_t count) {
    (void)where, (void)count;
    state s = {.r = scan_new(), .end = text + size};
    if (!s.r) return NULL;
    s.r->status = SCAN_NOT_MINE;
    char *copy = NULL;
    s.has_escape = size > 0 && memchr(text, '\\', (size_t)size);
    if (s.has_escape || has_comment(text, s.end)) {
        copy = malloc((size_t)size);
        if (!copy) return scan_seal(s.r);
        memcpy(copy, text, (size_t)size);
        if (s.has_escape) blank_continuations(copy, size);
        text = copy;
        s.end = text + size;
        s.has_escape = size > 0 && memchr(text, '\\', (size_t)size);
    }
    if (!copy || blank_comments(&s, copy)) {
        bool ok = scan_names_open(&s.names) & scan_names_open(&s.values) & scan_names_open(&s.arguments) & scan_names_open(&s.indices);
        scan_push_i64(&s.r->column[NUMBER_ENDS], 0);
        if (ok && statements(&s, text)) s.r->status = SCAN_DONE;
        scan_names_move(&s.names, &s.r->column[NAMES], &s.r->column[NAME_OFFSETS]);
        scan_names_move(&s.values, &s.r->column[VALUES], &s.r->column[VALUE_OFFSETS]);
        scan_names_move(&s.arguments, &s.r->column[ARGUMENTS], &s.r->column[ARGUMENT_OFFSETS]);
        scan_vec offsets = {0};
        scan_names_move(&s.indices, &s.r->column[INDICES], &offsets);
        scan_release(&offsets);
        scan_names_close(&s.names);
        scan_names_close(&s.values);
        scan_names_close(&s.arguments);
        scan_names_close(&s.indices);
    }
    free(copy);
    return scan_seal(s.r);
}
