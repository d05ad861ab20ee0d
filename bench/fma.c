/* The most FLOPs that a core does: fused multiply-adds on vectors that stay in registers, enough of them to hide their latency. */

#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32 /* twelve of them fill the 16 registers that there are */
#endif
#define FLOATS (BYTES / 4)
typedef float vec __attribute__((vector_size(BYTES), aligned(4)));

/* How many floats one multiply-add works on. */
int fma_width(void) { return FLOATS; }

/* `rounds` times 12 multiply-adds of `fma_width` floats; the result keeps the compiler from leaving them out. */
float fma_rounds(long rounds) {
    vec a[12], m = {0}, c = {0};
    for (int l = 0; l < FLOATS; l++) m[l] = 0.999f, c[l] = 0.001f;
    for (int i = 0; i < 12; i++) a[i] = m * (float)i;
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) a[i] = a[i] * m + c;
    }
    for (int i = 1; i < 12; i++) a[0] += a[i];
    return a[0][0];
}
