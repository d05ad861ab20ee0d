/* The kernels for one instruction set: included once for each, with ISA (a suffix) and VEC (floats of an fma vector,
 * 0 where products are left to the caller). */

typedef float FN(vf) __attribute__((vector_size(4 * LANES)));
typedef int32_t FN(vi) __attribute__((vector_size(4 * LANES)));
#define vf FN(vf)
#define vi FN(vi)
#define PICK_LANES(mask, a, b) ((vf)(((vi)(a) & (mask)) | ((vi)(b) & ~(mask))))
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t FN(column_of)(const void *index, int64_t at, int64_t h) {
    return h <= 256 ? ((const uint8_t *)index)[at] : ((const int16_t *)index)[at];
}

/* The nearest bfloat16, ties to even. (AVX-512's own conversion takes denormal numbers for 0.) */
INLINE uint16_t FN(to_bf16)(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return value != value ? 0x7fc0 : (uint16_t)bits;
}

INLINE float FN(of_bf16)(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE float FN(value_of)(const void *values, int64_t at, int64_t bf16) {
    return bf16 ? FN(of_bf16)(((const uint16_t *)values)[at]) : ((const float *)values)[at];
}

/* Rows of task `task`: never across two runs. */
INLINE int64_t FN(task_rows)(const int64_t *bounds, int64_t runs, int64_t task, int64_t *from, int64_t *to) {
    int64_t run = 0;
    for (; run < runs; run++) {
        int64_t tasks = (bounds[run + 1] - bounds[run] + TASK_ROWS - 1) / TASK_ROWS;
        if (task < tasks) break;
        task -= tasks;
    }
    *from = bounds[run] + task * TASK_ROWS;
    *to = *from + TASK_ROWS < bounds[run + 1] ? *from + TASK_ROWS : bounds[run + 1];
    return run;
}

INLINE int64_t FN(half)(int64_t h) { /* largest power of two below h */
    int64_t m = 1;
    while (2 * m < h) m *= 2;
    return m;
}

/* ---- selection: LANES rows side by side, xt[column][lane] --------------------------------------------------------- */

INLINE vf FN(lane_sums)(vf *t, int64_t h) { /* by halves, as ops/topk/norm.py adds; destroys t */
    while (h > 1) {
        int64_t m = FN(half)(h);
        for (int64_t c = 0; c < h - m; c++) t[c] += t[m + c];
        h = m;
    }
    return t[0];
}

INLINE void FN(lane_norm)(vf *xt, vf *t, int64_t h, const float *gamma, const float *beta, vf *mean, vf *rstd) {
    float part = (float)(1.0 / (double)h);
    for (int64_t c = 0; c < h; c++) t[c] = xt[c];
    vf m = FN(lane_sums)(t, h) * part;
    for (int64_t c = 0; c < h; c++) {
        xt[c] -= m;
        t[c] = xt[c] * xt[c];
    }
    vf var = FN(lane_sums)(t, h) * part + EPS, r;
    for (int l = 0; l < LANES; l++) r[l] = 1.0f / sqrtf(var[l]);
    for (int64_t c = 0; c < h; c++) xt[c] = (xt[c] * r) * gamma[c] + beta[c];
    *mean = m;
    *rstd = r;
}

INLINE int FN(any)(vi mask) {
    int64_t bits[LANES / 2], all = 0;
    memcpy(bits, &mask, sizeof bits);
    for (int i = 0; i < LANES / 2; i++) all |= bits[i];
    return all != 0;
}

/* A threshold per lane: fewer than k + 1 scores above it, and with those equal to it at least k. */
INLINE vf FN(thresholds)(const vf *s, int64_t h, int k) {
    const float huge = 3.402823466e38f;
    vf lo = s[0], hi = s[0], found;
    vi count = (vi){0}, done;
    for (int64_t c = 1; c < h; c++) {
        lo = PICK_LANES(s[c] < lo, s[c], lo);
        hi = PICK_LANES(s[c] > hi, s[c], hi);
    }
    for (int64_t c = 0; c < h; c++) count -= s[c] > lo;
    done = count <= k;
    found = lo;
    while (FN(any)(~done)) { /* more than k above lo, fewer above hi */
        vf mid = lo * 0.5f + hi * 0.5f;
        mid = PICK_LANES(mid == mid, mid, (vf){0}); /* -inf + inf */
        mid = PICK_LANES(mid > huge, (vf){0} + huge, mid);
        mid = PICK_LANES(mid < -huge, (vf){0} - huge, mid);
        count = (vi){0};
        for (int64_t c = 0; c < h; c++) count -= s[c] > mid;
        vi exact = count == k, stuck = (mid <= lo) | (mid >= hi), above = count > k;
        vi now = ~done & (exact | stuck);
        found = PICK_LANES(now, PICK_LANES(exact, mid, hi), found);
        done |= now;
        lo = PICK_LANES(above, mid, lo);
        hi = PICK_LANES(above, hi, mid);
    }
    return found;
}

/* The nearest bfloat16 in the upper half of every number, for `put`; what lies below it is left over.
   A NaN may come out as a zero: a forward refuses its row, and `repack` takes rows that a forward has passed. */
INLINE void FN(round_lanes)(vf *xt, int64_t h) {
    for (int64_t c = 0; c < h; c++) {
        vi bits = (vi)xt[c];
        xt[c] = (vf)(bits + 0x7fff + ((bits >> 16) & 1));
    }
}

struct FN(place) { /* local copies: a store of bytes might alias the arguments */
    uint8_t *narrow;
    int16_t *wide;
    float *values;
    uint16_t *rounded;
    int relu;
};

INLINE struct FN(place) FN(place_of)(const struct select_args *a, int64_t row) {
    struct FN(place) to = {NULL, NULL, NULL, NULL, (a->flags & RELU) != 0};
    if (a->flags & BF16)
        to.rounded = (uint16_t *)a->values + row * a->k;
    else
        to.values = (float *)a->values + row * a->k;
    if (a->h <= 256)
        to.narrow = (uint8_t *)a->index + row * a->k;
    else
        to.wide = (int16_t *)a->index + row * a->k;
    return to;
}

INLINE void FN(put)(struct FN(place) to, int64_t at, int64_t column, float value) {
    if (to.narrow)
        to.narrow[at] = (uint8_t)column;
    else
        to.wide[at] = (int16_t)column;
    value = to.relu && !(value > 0.0f) ? 0.0f : value;
    if (to.rounded) {
        uint32_t bits;
        memcpy(&bits, &value, 4);
        to.rounded[at] = (uint16_t)(bits >> 16);
    } else {
        to.values[at] = value;
    }
}

INLINE void FN(compact)(const struct select_args *a, int64_t row, int rows, vf *xt, const vf *s, vi *words) {
    int64_t h = a->h, k = a->k, num = (h + 31) / 32;
    vf threshold = FN(thresholds)(s, h, (int)a->k);
    for (int64_t w = 0; w < num; w++) {
        vi above = (vi){0}, equal = (vi){0};
        for (int64_t c = 32 * w; c < h && c < 32 * w + 32; c++) {
            int32_t bit = (int32_t)(1u << (c - 32 * w));
            above |= (s[c] > threshold) & bit;
            equal |= (s[c] == threshold) & bit;
        }
        words[2 * w] = above;
        words[2 * w + 1] = equal;
    }
    if (a->flags & BF16) FN(round_lanes)(xt, h);
    for (int l = 0; l < rows; l++) {
        struct FN(place) to = FN(place_of)(a, row + l);
        const float *lane = (const float *)xt + l;
        int64_t left = k, at = 0;
        for (int64_t w = 0; w < num; w++) left -= __builtin_popcount((uint32_t)words[2 * w][l]);
        for (int64_t w = 0; w < num; w++) {
            uint32_t take = (uint32_t)words[2 * w][l], equal = (uint32_t)words[2 * w + 1][l];
            for (; left > 0 && equal; left--) {
                take |= equal & (0 - equal);
                equal &= equal - 1;
            }
            for (; take && at < k; take &= take - 1) {
                int64_t c = 32 * w + __builtin_ctz(take);
                FN(put)(to, at++, c, lane[c * LANES]);
            }
        }
    }
}

static void FN(select_task)(void *p, int64_t task) {
    struct select_args *a = p;
    int64_t from, to, h = a->h, k = a->k, run = FN(task_rows)(a->bounds, a->runs, task, &from, &to);
    vf *xt = scratch((size_t)LANES * (3 * h + 2 * ((h + 31) / 32))), *t = xt + h, *s = t + h;
    vi *words = (vi *)(s + h);
    for (int64_t row = from; row < to; row += LANES) {
        int rows = to - row < LANES ? (int)(to - row) : LANES;
        float *lanes = (float *)xt;
        for (int l = 0; l < LANES; l++) {
            const float *x = a->x + (row + (l < rows ? l : rows - 1)) * h;
            for (int64_t c = 0; c < h; c++) lanes[c * LANES + l] = x[c];
        }
        if (a->gamma) {
            vf mean, rstd;
            FN(lane_norm)(xt, t, h, a->gamma + run * h, a->beta + run * h, &mean, &rstd);
            memcpy(a->mean + row, &mean, rows * sizeof(float));
            memcpy(a->rstd + row, &rstd, rows * sizeof(float));
        }
        if (a->flags & CHOSEN) {
            if (a->flags & BF16) FN(round_lanes)(xt, h);
            for (int l = 0; l < rows; l++) {
                struct FN(place) to = FN(place_of)(a, row + l);
                for (int64_t i = 0; i < k; i++) {
                    int64_t c = FN(column_of)(a->index, (row + l) * k + i, h);
                    FN(put)(to, i, c, lanes[c * LANES + l]);
                }
            }
            continue;
        }
        vi bad = (vi){0};
        for (int64_t c = 0; c < h; c++) bad |= xt[c] != xt[c];
        if (FN(any)(bad)) {
            __atomic_store_n(&a->bad, row, __ATOMIC_RELAXED);
            continue;
        }
        if (a->flags & MAGNITUDE)
            for (int64_t c = 0; c < h; c++) s[c] = (vf)((vi)xt[c] & 0x7fffffff);
        FN(compact)(a, row, rows, xt, a->flags & MAGNITUDE ? s : xt, words);
    }
    free(xt);
}

/* ---- adjoint of the norm ------------------------------------------------------------------------------------------ */

INLINE float FN(row_sum)(float *t, int64_t h) { /* by halves; destroys t */
    while (h > LANES) {
        int64_t m = FN(half)(h);
        for (int64_t c = 0; c < h - m; c++) t[c] += t[m + c];
        h = m;
    }
    if (h == LANES) {
        for (int c = 0; c < 8; c++) t[c] += t[8 + c];
        for (int c = 0; c < 4; c++) t[c] += t[4 + c];
        return (t[0] + t[2]) + (t[1] + t[3]);
    }
    while (h > 1) {
        int64_t m = FN(half)(h);
        for (int64_t c = 0; c < h - m; c++) t[c] += t[m + c];
        h = m;
    }
    return t[0];
}

static void FN(norm_adjoint_task)(void *p, int64_t task) {
    const struct norm_adjoint_args *a = p;
    int64_t from, to, h = a->h, k = a->k, run = FN(task_rows)(a->bounds, a->runs, task, &from, &to);
    const float *gamma = a->gamma + run * h;
    float *dgamma = a->dgamma + task * h, *dbeta = a->dbeta + task * h, part = (float)(1.0 / (double)h);
    int64_t wide = (h + 15) / 16 * 16;
    float *d = scratch((size_t)(4 * wide)), *xhat = d + wide, *t1 = xhat + wide, *t2 = t1 + wide;
    for (int64_t c = 0; c < h; c++) d[c] = dgamma[c] = dbeta[c] = 0.0f;
    for (int64_t row = from; row < to; row++) {
        const float *x = a->x + row * h;
        float *e = a->e + row * h, mean = a->mean[row], rstd = a->rstd[row];
        for (int64_t c = 0; c < h; c++) xhat[c] = (x[c] - mean) * rstd;
        for (int64_t i = 0; i < k; i++) {
            int64_t c = FN(column_of)(a->index, row * k + i, h);
            float du = a->dvalues[row * k + i];
            dgamma[c] += du * xhat[c];
            dbeta[c] += du;
            d[c] = du * gamma[c];
        }
        for (int64_t c = 0; c < h; c++) {
            t1[c] = d[c];
            t2[c] = d[c] * xhat[c];
        }
        float c1 = FN(row_sum)(t1, h) * part, c2 = FN(row_sum)(t2, h) * part;
        for (int64_t c = 0; c < h; c++) {
            e[c] += ((d[c] - c1) - xhat[c] * c2) * rstd;
            d[c] = 0.0f;
        }
    }
    free(d);
}

/* ---- sums and updates --------------------------------------------------------------------------------------------- */

static void FN(column_sums_task)(void *p, int64_t task) {
    const struct sum_args *a = p;
    int64_t from = task * TASK_ROWS, to = from + TASK_ROWS < a->n ? from + TASK_ROWS : a->n, h = a->h;
    float *restrict out = a->out + task * h;
    for (int64_t c = 0; c < h; c++) out[c] = 0.0f;
    for (int64_t row = from; row < to; row++) {
        const float *restrict x = a->x + row * h;
        for (int64_t c = 0; c < h; c++) out[c] += x[c];
    }
}

static void FN(sum_rows_task)(void *p, int64_t task) {
    const struct grid_args *a = p;
    int64_t width = a->nx * a->h, from = task * a->strip, to = from + a->strip < width ? from + a->strip : width;
    for (int64_t y = 1; y < a->ny; y++) {
        float *restrict row = a->grid + y * width;
        const float *restrict below = row - width;
        for (int64_t i = from; i < to; i++) row[i] += below[i];
    }
}

static void FN(sum_columns_task)(void *p, int64_t y) {
    const struct grid_args *a = p;
    float *row = a->grid + y * a->nx * a->h;
    for (int64_t x = 1; x < a->nx; x++) {
        float *restrict here = row + x * a->h;
        const float *restrict left = here - a->h;
        for (int64_t c = 0; c < a->h; c++) here[c] += left[c];
    }
}

static void FN(round_task)(void *p, int64_t task) {
    const struct sum_args *a = p;
    int64_t from = task * 65536, to = from + 65536 < a->n ? from + 65536 : a->n;
    const float *restrict x = a->x;
    float *restrict out = a->out;
    for (int64_t i = from; i < to; i++) out[i] = FN(of_bf16)(FN(to_bf16)(x[i]));
}

static void FN(update_task)(void *p, int64_t task) {
    struct update_args *a = p;
    int64_t from = task * 65536, to = from + 65536 < a->n ? from + 65536 : a->n;
    float *restrict x = a->x;
    const float *restrict f = a->f;
    float up = a->up, down = a->down;
    int32_t most = 0;
    if (up != 0.0f) {
        for (int64_t i = from; i < to; i++) {
            x[i] += __builtin_rintf(f[i] * up) * down;
            int32_t bits;
            memcpy(&bits, x + i, 4);
            bits &= 0x7fffffff;
            most = bits > most ? bits : most;
        }
    } else {
        for (int64_t i = from; i < to; i++) {
            x[i] += f[i] * down;
            int32_t bits;
            memcpy(&bits, x + i, 4);
            bits &= 0x7fffffff;
            most = bits > most ? bits : most;
        }
    }
    int32_t seen = __atomic_load_n(&a->amax, __ATOMIC_RELAXED);
    while (most > seen && !__atomic_compare_exchange_n(&a->amax, &seen, most, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* ---- products ------------------------------------------------------------------------------------------------------ */

#if VEC
#if VEC == 16
#define vec __m512
#define ZERO _mm512_setzero_ps()
#define ALL _mm512_set1_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define ADD _mm512_add_ps
#define FMA _mm512_fmadd_ps
#define ivec __m512i
#define ALL_INTS _mm512_set1_epi32
#define AND _mm512_and_si512
#define SHIFT _mm512_slli_epi32
#define AS_FLOATS _mm512_castsi512_ps
#else
#define vec __m256
#define ZERO _mm256_setzero_ps()
#define ALL _mm256_set1_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define ADD _mm256_add_ps
#define FMA _mm256_fmadd_ps
#define ivec __m256i
#define ALL_INTS _mm256_set1_epi32
#define AND _mm256_and_si256
#define SHIFT _mm256_slli_epi32
#define AS_FLOATS _mm256_castsi256_ps
#endif

/* B vectors of the sums of lists from .. to, at column col: in order, fused where weighted, as FBGEMM adds them */
INLINE void FN(segment_columns)(const struct segment_args *a, int64_t from, int64_t to, int64_t col, int B, int weighted) {
    const int32_t *ptr = a->ptr, *idx = a->idx;
    const float *table = a->table + col, *weight = a->weight;
    int64_t h = a->h;
    int32_t last = ptr[to] - 1;
    for (int64_t row = from; row < to; row++) {
        vec sum[8];
        for (int b = 0; b < B; b++) sum[b] = ZERO;
        for (int32_t e = ptr[row]; e < ptr[row + 1]; e++) {
            const float *x = table + idx[e] * h;
            const float *next = table + idx[e + AHEAD < last ? e + AHEAD : last] * h;
            for (int b = 0; b < B; b += 64 / (4 * VEC)) __builtin_prefetch(next + b * VEC);
            if (weighted) {
                vec w = ALL(weight[e]);
                for (int b = 0; b < B; b++) sum[b] = FMA(w, LOAD(x + b * VEC), sum[b]);
            } else {
                for (int b = 0; b < B; b++) sum[b] = ADD(sum[b], LOAD(x + b * VEC));
            }
        }
        for (int b = 0; b < B; b++) STORE(a->out + row * h + col + b * VEC, sum[b]);
    }
}

#define SEGMENT(B, weighted)                                                                                          \
    static __attribute__((noinline)) void FN(segment_##B##_##weighted)(const struct segment_args *a, int64_t from,    \
                                                                       int64_t to, int64_t col) {                     \
        FN(segment_columns)(a, from, to, col, B, weighted);                                                           \
    }
SEGMENT(1, 0) SEGMENT(2, 0) SEGMENT(4, 0) SEGMENT(6, 0) SEGMENT(8, 0)
SEGMENT(1, 1) SEGMENT(2, 1) SEGMENT(4, 1) SEGMENT(6, 1) SEGMENT(8, 1)
#undef SEGMENT

static void FN(segment_task)(void *p, int64_t task) {
    const struct segment_args *a = p;
    int64_t from = task * TASK_ROWS, to = from + TASK_ROWS < a->n ? from + TASK_ROWS : a->n, h = a->h, col = 0;
    int weighted = a->weight != NULL;
    for (; col + 8 * VEC <= h; col += 8 * VEC) (weighted ? FN(segment_8_1) : FN(segment_8_0))(a, from, to, col);
    for (; col + 6 * VEC <= h; col += 6 * VEC) (weighted ? FN(segment_6_1) : FN(segment_6_0))(a, from, to, col);
    for (; col + 4 * VEC <= h; col += 4 * VEC) (weighted ? FN(segment_4_1) : FN(segment_4_0))(a, from, to, col);
    for (; col + 2 * VEC <= h; col += 2 * VEC) (weighted ? FN(segment_2_1) : FN(segment_2_0))(a, from, to, col);
    for (; col + VEC <= h; col += VEC) (weighted ? FN(segment_1_1) : FN(segment_1_0))(a, from, to, col);
    for (; col < h; col++)
        for (int64_t row = from; row < to; row++) {
            float sum = 0.0f;
            for (int32_t e = a->ptr[row]; e < a->ptr[row + 1]; e++) {
                float x = a->table[a->idx[e] * h + col];
                sum = weighted ? __builtin_fmaf(a->weight[e], x, sum) : sum + x;
            }
            a->out[row * h + col] = sum;
        }
}

/* t += value W[column of the entry, B vectors] */
INLINE void FN(add_product)(vec *t, int B, vec value, const void *index, int64_t entry, int wide, const float *w,
                            int64_t ld) {
    int64_t c = wide ? ((const int16_t *)index)[entry] : ((const uint8_t *)index)[entry];
    const float *from = w + c * ld;
    for (int b = 0; b < B; b++) t[b] = FMA(value, LOAD(from + b * VEC), t[b]);
}

/* t = (S W)[row, B vectors] of the row whose kept entries are, from `at` on, values and index */
INLINE void FN(row_product)(vec *t, int B, const void *values, const void *index, int64_t at, int wide, int bf16,
                            int64_t k, const float *w, int64_t ld) {
    for (int b = 0; b < B; b++) t[b] = ZERO;
    if (bf16) {
        const uint16_t *v = (const uint16_t *)values + at;
        int64_t i = 0;
#pragma GCC unroll 2
        for (; i + 2 <= k; i += 2) { /* two values in one load */
            int32_t both;
            memcpy(&both, v + i, 4);
            ivec all = ALL_INTS(both);
            FN(add_product)(t, B, AS_FLOATS(SHIFT(all, 16)), index, at + i, wide, w, ld);
            FN(add_product)(t, B, AS_FLOATS(AND(all, ALL_INTS(-65536))), index, at + i + 1, wide, w, ld);
        }
        if (i < k) FN(add_product)(t, B, ALL(FN(of_bf16)(v[i])), index, at + i, wide, w, ld);
    } else {
        const float *v = (const float *)values + at;
#pragma GCC unroll 4
        for (int64_t i = 0; i < k; i++) FN(add_product)(t, B, ALL(v[i]), index, at + i, wide, w, ld);
    }
}

/* B vectors of the rows from .. to, at column col */
INLINE void FN(mix_columns)(const struct mix_args *a, int64_t from, int64_t to, int64_t col, int B, int wide, int bf16) {
    const int32_t *ptr = a->ptr, *node = a->node;
    const uint8_t *block = a->block;
    const float *weight = a->weight;
    const void *values = a->values, *index = a->index;
    int64_t k = a->k, h = a->h;
    const float *bias_of[256], *weight_of[256];
    for (int64_t i = 0; i < a->blocks; i++) {
        weight_of[i] = a->block_weight[i] + col;
        bias_of[i] = a->block_bias[i] ? a->block_bias[i] + col : NULL;
    }
    int32_t last = ptr[to] - 1;
    for (int64_t row = from; row < to; row++) {
        vec sum[4], t[4];
        for (int b = 0; b < B; b++) sum[b] = ZERO;
        for (int32_t e = ptr[row]; e < ptr[row + 1]; e++) {
            int64_t at = node[e] * k, ahead = node[e + AHEAD < last ? e + AHEAD : last] * k;
            int which = block[e];
            __builtin_prefetch((const char *)values + (bf16 ? 2 * ahead : 4 * ahead));
            __builtin_prefetch((const char *)index + (wide ? 2 * ahead : ahead));
            FN(row_product)(t, B, values, index, at, wide, bf16, k, weight_of[which], a->block_ld[which]);
            if (bias_of[which])
                for (int b = 0; b < B; b++) t[b] = ADD(t[b], LOAD(bias_of[which] + b * VEC));
            vec w = ALL(weight[e]);
            for (int b = 0; b < B; b++) sum[b] = FMA(w, t[b], sum[b]);
        }
        for (int b = 0; b < B; b++) STORE(a->out + row * h + col + b * VEC, sum[b]);
    }
}

/* one function for each number of vectors, size of index and kind of value: the compiler keeps each in registers */
#define MIX(B, wide, bf16)                                                                                            \
    static __attribute__((noinline)) void FN(mix_##B##_##wide##_##bf16)(const struct mix_args *a, int64_t from,       \
                                                                        int64_t to, int64_t col) {                    \
        FN(mix_columns)(a, from, to, col, B, wide, bf16);                                                             \
    }
MIX(1, 0, 0) MIX(2, 0, 0) MIX(4, 0, 0) MIX(1, 1, 0) MIX(2, 1, 0) MIX(4, 1, 0)
MIX(1, 0, 1) MIX(2, 0, 1) MIX(4, 0, 1) MIX(1, 1, 1) MIX(2, 1, 1) MIX(4, 1, 1)
#undef MIX
#define MIX(B)                                                                                                        \
    (a->bf16 ? (wide ? FN(mix_##B##_1_1) : FN(mix_##B##_0_1)) : (wide ? FN(mix_##B##_1_0) : FN(mix_##B##_0_0)))

INLINE void FN(mix_rest)(const struct mix_args *a, int64_t row, int64_t col) {
    for (; col < a->h; col++) {
        float sum = 0.0f;
        for (int32_t e = a->ptr[row]; e < a->ptr[row + 1]; e++) {
            int64_t node = a->node[e], block = a->block[e];
            float t = 0.0f;
            for (int64_t i = 0; i < a->k; i++) {
                int64_t c = FN(column_of)(a->index, node * a->k + i, a->h);
                float v = FN(value_of)(a->values, node * a->k + i, a->bf16);
                t = __builtin_fmaf(v, a->block_weight[block][c * a->block_ld[block] + col], t);
            }
            if (a->block_bias[block]) t += a->block_bias[block][col];
            sum = __builtin_fmaf(a->weight[e], t, sum);
        }
        a->out[row * a->h + col] = sum;
    }
}

static void FN(mix_task)(void *p, int64_t task) {
    const struct mix_args *a = p;
    int64_t from = task * TASK_ROWS, to = from + TASK_ROWS < a->n ? from + TASK_ROWS : a->n, h = a->h, col = 0;
    int wide = h > 256;
    for (; col + 4 * VEC <= h; col += 4 * VEC) MIX(4)(a, from, to, col);
    for (; col + 2 * VEC <= h; col += 2 * VEC) MIX(2)(a, from, to, col);
    for (; col + VEC <= h; col += VEC) MIX(1)(a, from, to, col);
    if (col < h)
        for (int64_t row = from; row < to; row++) FN(mix_rest)(a, row, col);
}

#undef MIX

INLINE void FN(product_rows)(const struct product_args *a, int64_t task, int bf16) {
    int64_t from = task * TASK_ROWS, to = from + TASK_ROWS < a->n ? from + TASK_ROWS : a->n, h = a->h, k = a->k;
    int wide = h > 256;
    vec t[4];
    for (int64_t row = from; row < to; row++) {
        float *out = a->out + row * h;
        int64_t col = 0;
        for (; col + 4 * VEC <= h; col += 4 * VEC) {
            FN(row_product)(t, 4, a->values, a->index, row * k, wide, bf16, k, a->weight + col, a->ld);
            for (int b = 0; b < 4; b++) STORE(out + col + b * VEC, t[b]);
        }
        for (; col + VEC <= h; col += VEC) {
            FN(row_product)(t, 1, a->values, a->index, row * k, wide, bf16, k, a->weight + col, a->ld);
            STORE(out + col, t[0]);
        }
        for (; col < h; col++) {
            out[col] = 0.0f;
            for (int64_t i = 0; i < k; i++) {
                float v = FN(value_of)(a->values, row * k + i, bf16);
                out[col] = __builtin_fmaf(v, a->weight[FN(column_of)(a->index, row * k + i, h) * a->ld + col], out[col]);
            }
        }
    }
}

static void FN(product_task)(void *p, int64_t task) {
    const struct product_args *a = p;
    if (a->bf16)
        FN(product_rows)(a, task, 1);
    else
        FN(product_rows)(a, task, 0);
}

/* B vectors of the gradient of one product, at column col */
INLINE void FN(gather)(const struct mix_adjoint_args *a, float *t, int32_t from, int32_t to, int64_t col, int B) {
    const float *grad = a->grad + col, *weight = a->entry_weight;
    const int32_t *target = a->target;
    int64_t h = a->h;
    vec sum[4];
    for (int b = 0; b < B; b++) sum[b] = ZERO;
    for (int32_t e = from; e < to; e++) {
        const float *row = grad + target[e] * h;
        vec w = ALL(weight[e]);
        for (int b = 0; b < B; b++) sum[b] = FMA(w, LOAD(row + b * VEC), sum[b]);
    }
    for (int b = 0; b < B; b++) STORE(t + col + b * VEC, sum[b]);
}

/* Gradient of the products of one node, [blocks, h]. */
INLINE void FN(node_grad)(const struct mix_adjoint_args *a, float *t, int64_t node, int64_t table_row, int64_t blocks,
                          const float *const *given, int32_t last) {
    int64_t h = a->h;
    for (int32_t e = a->ptr[table_row]; e < a->ptr[table_row + blocks]; e++) { /* those of a later node */
        const float *ahead = a->grad + a->target[e + AHEAD < last ? e + AHEAD : last] * h;
        for (int64_t c = 0; c < h; c += 16) __builtin_prefetch(ahead + c);
    }
    for (int64_t r = 0; r < blocks; r++, t += h) {
        if (given[r]) {
            memcpy(t, given[r] + node * h, h * sizeof(float));
            continue;
        }
        int32_t from = a->ptr[table_row + r], to = a->ptr[table_row + r + 1];
        int64_t col = 0;
        for (; col + 4 * VEC <= h; col += 4 * VEC) FN(gather)(a, t, from, to, col, 4);
        for (; col + 2 * VEC <= h; col += 2 * VEC) FN(gather)(a, t, from, to, col, 2);
        for (; col + VEC <= h; col += VEC) FN(gather)(a, t, from, to, col, 1);
        for (; col < h; col++) {
            float sum = 0.0f;
            for (int32_t e = from; e < to; e++)
                sum = __builtin_fmaf(a->entry_weight[e], a->grad[(int64_t)a->target[e] * h + col], sum);
            t[col] = sum;
        }
    }
}

INLINE __m128 FN(quarter)(vec v) {
#if VEC == 16
    __m256 u = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#else
    __m256 u = v;
#endif
    return _mm_add_ps(_mm256_castps256_ps128(u), _mm256_extractf128_ps(u, 1));
}

INLINE __m128 FN(lanes_sums)(const vec *v) { /* of four vectors */
    __m128 a = FN(quarter)(v[0]), b = FN(quarter)(v[1]), c = FN(quarter)(v[2]), d = FN(quarter)(v[3]);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    return _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d));
}

/* For `num` (1 to 4) rows c[s] of W: dvalues[s] = W[c[s]] . t and dW[c[s]] += values[s] t */
INLINE void FN(dots_and_adds)(const float *w, float *dw, const int64_t *c, const float *t, const float *values,
                              float *dvalues, int64_t size, int num) {
    vec sum[4] = {ZERO, ZERO, ZERO, ZERO}, v[4];
    float rest[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    int64_t i = 0;
    for (int s = 0; s < num; s++) v[s] = ALL(values[s]);
    for (; i + VEC <= size; i += VEC) {
        vec here = LOAD(t + i);
        for (int s = 0; s < num; s++) {
            sum[s] = FMA(LOAD(w + c[s] + i), here, sum[s]);
            STORE(dw + c[s] + i, FMA(v[s], here, LOAD(dw + c[s] + i)));
        }
    }
    for (; i < size; i++)
        for (int s = 0; s < num; s++) {
            rest[s] = __builtin_fmaf(w[c[s] + i], t[i], rest[s]);
            dw[c[s] + i] = __builtin_fmaf(values[s], t[i], dw[c[s] + i]);
        }
    __m128 all = _mm_add_ps(FN(lanes_sums)(sum), _mm_loadu_ps(rest));
    if (num == 4) {
        _mm_storeu_ps(dvalues, all);
    } else {
        _mm_storeu_ps(rest, all);
        memcpy(dvalues, rest, num * sizeof(float));
    }
}

INLINE void FN(mix_adjoint_chunk)(const struct mix_adjoint_args *a, int64_t chunk, int bf16) {
    int64_t h = a->h, k = a->k, size = 0, table = 0, block = 0, most = 0, rows = 0;
    for (int64_t t = 0; t < a->types; t++) {
        size += h * a->width[t] * h;
        most = a->width[t] > most ? a->width[t] : most;
    }
    for (int64_t t = 0; t < a->types; t++) rows += (a->bounds[t + 1] - a->bounds[t]) * a->width[t];
    int32_t last = a->ptr[rows] - 1;
    float *part = a->parts + chunk * size, *grad = scratch((size_t)(most * h));
    memset(part, 0, size * sizeof(float));
    for (int64_t t = 0; t < a->types; t++) {
        int64_t n = a->bounds[t + 1] - a->bounds[t], blocks = a->width[t], wide = blocks * h;
        for (int64_t i = n * chunk / CHUNKS; i < n * (chunk + 1) / CHUNKS; i++) {
            int64_t row = (a->bounds[t] + i) * k;
            FN(node_grad)(a, grad, i, table + i * blocks, blocks, a->given + block, last);
            const float *w = a->weight[t];
            float *dvalues = a->dvalues + row;
            int64_t c[4], s = 0;
            for (; s < k; s += 4) {
                int num = k - s < 4 ? (int)(k - s) : 4;
                float exact[4];
                const float *values = bf16 ? exact : (const float *)a->values + row + s;
                for (int j = 0; j < num; j++) c[j] = FN(column_of)(a->index, row + s + j, h) * wide;
                for (int j = 0; bf16 && j < num; j++) exact[j] = FN(value_of)(a->values, row + s + j, 1);
                if (num == 4)
                    FN(dots_and_adds)(w, part, c, grad, values, dvalues + s, wide, 4);
                else
                    FN(dots_and_adds)(w, part, c, grad, values, dvalues + s, wide, num);
            }
        }
        part += h * wide;
        table += n * blocks;
        block += blocks;
    }
    free(grad);
}

static void FN(mix_adjoint_task)(void *p, int64_t chunk) {
    const struct mix_adjoint_args *a = p;
    if (a->bf16)
        FN(mix_adjoint_chunk)(a, chunk, 1);
    else
        FN(mix_adjoint_chunk)(a, chunk, 0);
}
#undef vec
#undef ZERO
#undef ALL
#undef LOAD
#undef STORE
#undef ADD
#undef FMA
#undef ivec
#undef ALL_INTS
#undef AND
#undef SHIFT
#undef AS_FLOATS
#endif

#undef vf
#undef vi
#undef PICK_LANES
#undef INLINE
