/* CPU kernels of the reversible stack: norm + top-k + pack, products with row means, their adjoints, box sums and the
 * grid update. Every sum has one order, whatever the number of threads; no multiply-add is fused unless it says fma
 * (build with -ffp-contract=off).
 *
 * Threads come from the OpenMP runtime that the caller has loaded already (`gsr_set_threads` gets its GOMP_parallel):
 * a second runtime in the process would fight the first one for the cores. Without it the kernels run on one thread.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* vectors are passed between inlined functions only */
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define GSR_X86 1
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define LANES 16          /* rows that the selection treats side by side */
#define TASK_ROWS 256     /* rows of one task; also the chunk of column sums */
#define AHEAD 12          /* entries between a prefetch and its use */
#define CHUNKS 16         /* weight gradients are summed in this many parts, then in order */
#define MAGNITUDE 1
#define RELU 2
#define CHOSEN 4          /* the indices are given */
#define BF16 8            /* the kept values are stored as bfloat16 */
static const float EPS = 1e-5f;

/* ---- threads ---------------------------------------------------------------------------------------------------- */

typedef void (*run_fn)(void *context, int64_t task);
typedef void (*gomp_fn)(void (*)(void *), void *, unsigned, unsigned);
static gomp_fn gomp_parallel;

struct job {
    run_fn run;
    void *context;
    int64_t tasks, next;
};

static void work(void *p) {
    struct job *job = p;
    for (;;) {
        int64_t task = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
        if (task >= job->tasks) return;
        job->run(job->context, task);
    }
}

static void for_each(run_fn run, void *context, int64_t tasks, int64_t threads) {
    struct job job = {run, context, tasks, 0};
    if (threads > tasks) threads = tasks;
    if (threads > 1 && gomp_parallel)
        gomp_parallel(work, &job, (unsigned)threads, 0);
    else
        work(&job);
}

EXPORT void gsr_set_threads(void *gomp) { gomp_parallel = (gomp_fn)gomp; }

static void *scratch(size_t floats) {
    void *p = aligned_alloc(64, (floats * sizeof(float) + 127) / 64 * 64);
    if (p) return p;
    fputs("gsr: out of memory\n", stderr);
    abort();
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

struct select_args {
    const float *x, *gamma, *beta; /* gamma NULL: no norm */
    const int64_t *bounds;         /* rows of run i: bounds[i] .. bounds[i + 1] */
    void *values, *index;
    float *mean, *rstd;
    int64_t n, h, k, runs, flags, bad; /* bad: some row that is not a number, or -1 */
};

struct norm_adjoint_args {
    const float *x, *gamma, *mean, *rstd, *dvalues;
    const int64_t *bounds;
    const void *index;
    float *e, *dgamma, *dbeta; /* sums of every task's rows [tasks, h] */
    int64_t h, k, runs;
};

struct mix_args {
    const void *values, *index;
    const float *const *block_weight; /* first row of each column block [h, ld] */
    const float *const *block_bias;   /* NULL where none */
    const int64_t *block_ld;
    const int32_t *ptr, *node; /* entries by target row: source node, block, weight */
    const uint8_t *block;
    const float *weight;
    float *out;
    int64_t n, h, k, blocks, bf16; /* bf16: the values are */
};

struct product_args {
    const void *values, *index;
    const float *weight;
    float *out;
    int64_t n, h, k, ld, bf16;
};

struct mix_adjoint_args {
    const float *grad;
    const void *values, *index;
    const int32_t *ptr, *target; /* entries by row of the table: target row, weight */
    const float *entry_weight;
    const int64_t *bounds, *width;     /* nodes and blocks of each type */
    const float *const *weight;        /* per type [h, width h] */
    const float *const *given;         /* per block: gradient rows [n_type, h] to take instead of the entries, or NULL */
    float *dvalues, *parts;            /* parts [CHUNKS, all weights] */
    int64_t h, k, types, bf16;
};

struct sum_args {
    const float *x;
    float *out;
    int64_t n, h;
};

struct segment_args {
    const float *table, *weight; /* weight NULL: plain sums */
    const int32_t *ptr, *idx;
    float *out;
    int64_t n, h;
};

struct grid_args {
    float *grid;
    int64_t ny, nx, h, strip;
};

struct update_args {
    float *x;
    const float *f;
    int64_t n;
    float up, down; /* 2^t, sign 2^-t; up 0: no grid */
    int32_t amax;   /* bits of max |x| */
};

#define CAT_(a, b) a##_##b
#define CAT(a, b) CAT_(a, b)
#define FN(name) CAT(name, ISA)

#define ISA base
#define VEC 0
#include "kernels_isa.h"
#undef ISA
#undef VEC

#ifdef GSR_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma,prefer-vector-width=256")
#define ISA avx2
#define VEC 8
#include "kernels_isa.h"
#undef ISA
#undef VEC
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,prefer-vector-width=512")
#define ISA avx512
#define VEC 16
#include "kernels_isa.h"
#undef ISA
#undef VEC
#pragma GCC pop_options
#endif

/* ---- dispatch --------------------------------------------------------------------------------------------------- */

static int level = -1; /* 0 base, 1 avx2 + fma, 2 avx512 */

EXPORT int gsr_level(int most) {
    level = 0;
#ifdef GSR_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = 1;
    if (level && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        level = 2;
#endif
    if (level > most) level = most;
    return level;
}

#ifdef GSR_X86
#define PICK(name) (level == 2 ? CAT(name, avx512) : level == 1 ? CAT(name, avx2) : CAT(name, base))
#define PICK_FMA(name) (level == 2 ? CAT(name, avx512) : CAT(name, avx2))
#else
#define PICK(name) CAT(name, base)
#endif

static int64_t run_tasks(const int64_t *bounds, int64_t runs) {
    int64_t tasks = 0;
    for (int64_t i = 0; i < runs; i++) tasks += (bounds[i + 1] - bounds[i] + TASK_ROWS - 1) / TASK_ROWS;
    return tasks;
}

EXPORT int64_t gsr_select(const float *x, const float *gamma, const float *beta, const int64_t *bounds, int64_t runs,
                          int64_t n, int64_t h, int64_t k, int64_t flags, void *values, void *index, float *mean,
                          float *rstd, int64_t threads) {
    struct select_args a = {x, gamma, beta, bounds, values, index, mean, rstd, n, h, k, runs, flags, -1};
    for_each(PICK(select_task), &a, run_tasks(bounds, runs), threads);
    return a.bad;
}

EXPORT void gsr_norm_adjoint(const float *x, const float *gamma, const float *mean, const float *rstd,
                             const float *dvalues, const void *index, const int64_t *bounds, int64_t runs, int64_t h,
                             int64_t k, float *e, float *dgamma, float *dbeta, int64_t threads) {
    struct norm_adjoint_args a = {x, gamma, mean, rstd, dvalues, bounds, index, e, dgamma, dbeta, h, k, runs};
    for_each(PICK(norm_adjoint_task), &a, run_tasks(bounds, runs), threads);
}

EXPORT void gsr_column_sums(const float *x, int64_t n, int64_t h, float *out, int64_t threads) {
    struct sum_args a = {x, out, n, h};
    for_each(PICK(column_sums_task), &a, (n + TASK_ROWS - 1) / TASK_ROWS, threads);
}

EXPORT void gsr_running_sums(float *grid, int64_t ny, int64_t nx, int64_t h, int64_t threads) {
    int64_t width = nx * h, strip = 1024;
    struct grid_args a = {grid, ny, nx, h, strip};
    for_each(PICK(sum_rows_task), &a, (width + strip - 1) / strip, threads);
    for_each(PICK(sum_columns_task), &a, ny, threads);
}

EXPORT void gsr_round_bf16(const float *x, int64_t n, float *out, int64_t threads) {
    struct sum_args a = {x, out, n, 1};
    for_each(PICK(round_task), &a, (n + 65535) / 65536, threads);
}

EXPORT void gsr_update(float *x, const float *f, int64_t n, float up, float down, float *amax, int64_t threads) {
    struct update_args a = {x, f, n, up, down, 0};
    for_each(PICK(update_task), &a, (n + 65535) / 65536, threads);
    if (amax) memcpy(amax, &a.amax, 4);
}

#ifdef GSR_X86
EXPORT void gsr_segment_sum(const float *table, const int32_t *ptr, const int32_t *idx, const float *weight, int64_t n,
                            int64_t h, float *out, int64_t threads) {
    struct segment_args a = {table, weight, ptr, idx, out, n, h};
    for_each(PICK_FMA(segment_task), &a, (n + TASK_ROWS - 1) / TASK_ROWS, threads);
}

EXPORT void gsr_mix(const void *values, int64_t bf16, const void *index,
                    const float *const *block_weight, const float *const *block_bias, const int64_t *block_ld,
                    const int32_t *ptr, const int32_t *node, const uint8_t *block, const float *weight, int64_t blocks,
                    int64_t n, int64_t h, int64_t k, float *out, int64_t threads) {
    struct mix_args a = {values, index,  block_weight, block_bias, block_ld, ptr, node, block,
                         weight, out, n, h,            k,          blocks,   bf16};
    for_each(PICK_FMA(mix_task), &a, (n + TASK_ROWS - 1) / TASK_ROWS, threads);
}

EXPORT void gsr_product(const void *values, int64_t bf16, const void *index, const float *weight, int64_t ld, int64_t n,
                        int64_t h, int64_t k, float *out, int64_t threads) {
    struct product_args a = {values, index, weight, out, n, h, k, ld, bf16};
    for_each(PICK_FMA(product_task), &a, (n + TASK_ROWS - 1) / TASK_ROWS, threads);
}

EXPORT void gsr_mix_adjoint(const float *grad, const void *values, int64_t bf16, const void *index, const int32_t *ptr,
                            const int32_t *target, const float *entry_weight, const int64_t *bounds,
                            const int64_t *width, int64_t types, const float *const *weight, const float *const *given,
                            int64_t h, int64_t k, float *dvalues, float *parts, float *dweight, int64_t threads) {
    struct mix_adjoint_args a = {grad,  values,  index, ptr, target, entry_weight, bounds, width, weight,
                                 given, dvalues, parts, h,   k,      types,        bf16};
    for_each(PICK_FMA(mix_adjoint_task), &a, CHUNKS, threads);
    int64_t size = 0;
    for (int64_t t = 0; t < types; t++) size += h * width[t] * h;
    struct grid_args sum = {parts, CHUNKS, size, 1, 4096};
    for_each(PICK(sum_rows_task), &sum, (size + 4095) / 4096, threads);
    memcpy(dweight, parts + (CHUNKS - 1) * size, size * sizeof(float));
}
#endif
