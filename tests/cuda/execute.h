// What translated kernels use. A `Thread` is one thread of a block. No header of the C++ library is included: reading
// those would take longer than compiling the kernel.
#pragma once
#include "async.h"
#include <cfenv>
#include <stdint.h>
#include <string.h>

struct Block;
struct Thread {
    uint32_t tid[3], ntid[3], ctaid[3], nctaid[3];
    uint32_t lane, warp;
    char *shared;            // of the block
    uint32_t shared_size;
    uint32_t groups;         // of copies that this thread has closed
    char *waits_at;          // an mbarrier, or nothing
    char side;               // whether it stored or loaded in shared memory last
    const Async *async;
    char **params;           // the bytes of each parameter
    char *local;             // this thread's local memory
    uint64_t *slots;         // of the warp: 32 lanes x 32 slots
    const uint32_t *alive;   // the lanes of the warp that have not returned
    uint64_t *poisoned;      // counts what ldg finds
    Block *block;
    void (*bar)(Thread &, uint32_t id, uint32_t count);  // meets `count` threads; 0: all of the block
    void (*meet)(Thread &, uint32_t mask);               // meets these lanes
    void (*pass)(Thread &);                              // lets all others go on first
};
typedef Thread T;

// Bits and numbers

template <class X> static inline X ld(const char *p) { X x; memcpy(&x, p, sizeof x); return x; }
// From the memory of the device. With $STAND_IN_POISON, what nothing has written yet is counted: all bits of it are set.
#ifdef POISON
template <class X> static inline X ldg(T &t, const char *p) {
    X x = ld<X>(p);
    if (sizeof x >= 4 && x == (X)~(X)0) ++*t.poisoned;
    return x;
}
#else
template <class X> static inline X ldg(T &, const char *p) { return ld<X>(p); }
#endif
// Before a load or store in shared memory. With $STAND_IN_ORDER=together a thread that changes from one to the other lets
// all others go on first, so that lanes stay together as those of a GPU mostly do.
#ifdef TOGETHER
static inline void side(T &t, char now) {
    if (t.side && t.side != now) t.pass(t);
    t.side = now;
}
#else
static inline void side(T &, char) {}
#endif
template <class X> static inline void st(char *p, X x) { memcpy(p, &x, sizeof x); }
static inline float F(uint32_t x) { float f; memcpy(&f, &x, 4); return f; }
static inline double D(uint64_t x) { double f; memcpy(&f, &x, 8); return f; }
static inline uint32_t B(float f) { uint32_t x; memcpy(&x, &f, 4); return x; }
static inline uint64_t B(double f) { uint64_t x; memcpy(&x, &f, 8); return x; }
static inline float H(uint16_t x) { _Float16 h; memcpy(&h, &x, 2); return (float)h; }
static inline float BF(uint16_t x) { return F((uint32_t)x << 16); }
static inline uint16_t toH(float f) {
    if (f != f) return 0x7fff;
    _Float16 h = (_Float16)f; uint16_t x; memcpy(&x, &h, 2); return x;
}
static inline uint16_t toBF(float f) {
    uint32_t x = B(f);
    if (f != f) return 0x7fff;
    return (uint16_t)((x + 0x7fff + ((x >> 16) & 1)) >> 16);
}
static inline uint16_t toBFz(float f) { return f != f ? 0x7fff : (uint16_t)(B(f) >> 16); }
static inline uint16_t toHz(float f) {  // towards zero
    uint16_t h = toH(f);
    return f == f && (H(h) > f) == (f > 0) && H(h) != f ? h - 1 : h;
}
static inline float tf32(uint32_t x) { return F(x & 0xffffe000u); }
static inline uint32_t toTF32(float f) {
    uint32_t x = B(f);
    return (x & 0x7f800000) == 0x7f800000 ? x & 0xffffe000u : (x + 0x1000) & 0xffffe000u;
}
// To single precision, rounded to odd: rounding that to 16 bits then gives what rounding `d` once would.
static inline float odd(double d) {
    float f = (float)d;
    if (d != d || (double)f == d || (B(f) & 0x7fffffff) == 0x7f800000) return f;
    uint32_t x = B(f);
    if (((double)f > d) == (d > 0)) x--;
    return F(x | 1);
}

// Arithmetic

namespace m {
#define ONE(name) \
    static inline float name(float x) { return __builtin_##name##f(x); } \
    static inline double name(double x) { return __builtin_##name(x); }
#define TWO(name) \
    static inline float name(float x, float y) { return __builtin_##name##f(x, y); } \
    static inline double name(double x, double y) { return __builtin_##name(x, y); }
ONE(sqrt) ONE(exp2) ONE(log2) ONE(sin) ONE(cos) ONE(tanh) ONE(fabs) ONE(nearbyint) ONE(trunc) ONE(floor) ONE(ceil)
TWO(fmin) TWO(fmax) TWO(copysign)
static inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
// Rounded down, as exp's steps are. The values are volatile so that nothing is computed before the mode is set.
static __attribute__((noinline)) float fma_down(float x, float y, float z) {
    int was = fegetround();
    fesetround(FE_DOWNWARD);
    volatile float a = x, b = y, c = z;
    volatile float result = __builtin_fmaf(a, b, c);
    fesetround(was);
    return result;
}
// With "NaN": not a number if one of them is not.
template <class X> static inline X nanmin(X x, X y) { return x != x || y != y ? (X)__builtin_nanf("") : fmin(x, y); }
template <class X> static inline X nanmax(X x, X y) { return x != x || y != y ? (X)__builtin_nanf("") : fmax(x, y); }
}
static inline float sat(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
// A float as an integer: the nearest one that there is; not-a-number gives 0.
template <class I> static inline I fti(double x) {
    const bool with_sign = I(-1) < 0;
    const int bits = sizeof(I) * 8;
    const I low = with_sign ? (I)((uint64_t)1 << (bits - 1)) : 0, high = (I)~low;
    if (x != x) return 0;
    if (x <= (double)low) return low;
    if (x >= (double)high) return high;
    return (I)x;
}
static inline uint64_t mulhi(uint64_t a, uint64_t b) { return (uint64_t)((unsigned __int128)a * b >> 64); }
static inline int64_t mulhis(int64_t a, int64_t b) { return (int64_t)((__int128)a * b >> 64); }

// Bit patterns

static inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t c) {
    uint64_t ab = (uint64_t)b << 32 | a;
    uint32_t d = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t s = c >> (4 * i);
        uint8_t v = (uint8_t)(ab >> (8 * (s & 7)));
        if (s & 8) v = (v & 0x80) ? 0xff : 0;
        d |= (uint32_t)v << (8 * i);
    }
    return d;
}
static inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
    uint32_t d = 0;
    for (int i = 0; i < 8; i++)
        if (table >> i & 1) d |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return d;
}
static inline uint32_t brev(uint32_t x) {
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) r |= ((x >> i) & 1) << (31 - i);
    return r;
}
static inline uint32_t bfe_u(uint32_t a, uint32_t at, uint32_t n) {
    at &= 255; n &= 255;
    if (!n || at > 31) return 0;
    return n > 31 ? a >> at : a >> at & ((1u << n) - 1);
}
static inline uint32_t bfe_s(uint32_t a, uint32_t at, uint32_t n) {
    at &= 255; n &= 255;
    if (!n) return 0;
    uint32_t top = at + n - 1 > 31 ? 31 : at + n - 1, sign = a >> top & 1, v = 0;
    for (uint32_t i = 0; i < 32; i++) v |= (i < n && at + i < 32 ? a >> (at + i) & 1 : sign) << i;
    return v;
}
static inline uint32_t bfi(uint32_t a, uint32_t b, uint32_t at, uint32_t n) {
    at &= 255; n &= 255;
    for (uint32_t i = 0; i < n && at + i < 32; i++) b = (b & ~(1u << (at + i))) | (a >> i & 1) << (at + i);
    return b;
}
static inline uint32_t shf_l(uint32_t a, uint32_t b, uint32_t n) {
    return n == 0 ? b : n >= 32 ? a : b << n | a >> (32 - n);
}
static inline uint32_t shf_r(uint32_t a, uint32_t b, uint32_t n) {
    return n == 0 ? a : n >= 32 ? b : b << (32 - n) | a >> n;
}

// What the lanes of a warp do together. Every lane of `mask` leaves what it has in its slots, meets the others, reads
// theirs, and meets them again before a slot is written anew.

static inline uint64_t &slot(T &t, uint32_t lane, uint32_t at) { return t.slots[lane * 32 + at]; }
static inline bool has(T &t, uint32_t mask, int lane) { return (mask & *t.alive) >> lane & 1; }
static inline void shfl(T &t, int mode, uint32_t a, uint32_t b, uint32_t c, uint32_t mask, uint32_t &d, bool &p) {
    slot(t, t.lane, 0) = a;
    t.meet(t, mask);
    uint32_t segment = c >> 8 & 31, clamp = c & 31;
    int last = (int)((t.lane & segment) | (clamp & ~segment)), first = (int)(t.lane & segment), from;
    b &= 31;
    switch (mode) {
        case 0: from = (int)t.lane - (int)b; p = from >= last; break;          // up
        case 1: from = (int)t.lane + (int)b; p = from <= last; break;          // down
        case 2: from = (int)(t.lane ^ b); p = from <= last; break;             // bfly
        default: from = first | (int)(b & ~segment); p = from <= last; break;  // idx
    }
    d = (uint32_t)slot(t, p ? (uint32_t)from : t.lane, 0);
    t.meet(t, mask);
}
static inline uint32_t ballot(T &t, bool a, uint32_t mask) {
    slot(t, t.lane, 0) = a;
    t.meet(t, mask);
    uint32_t v = 0;
    for (int i = 0; i < 32; i++)
        if (has(t, mask, i) && slot(t, i, 0)) v |= 1u << i;
    t.meet(t, mask);
    return v;
}
template <class Op> static inline uint32_t redux(T &t, uint32_t a, uint32_t mask, Op op) {
    slot(t, t.lane, 0) = a;
    t.meet(t, mask);
    bool first = true;
    uint32_t v = 0;
    for (int i = 0; i < 32; i++)
        if (has(t, mask, i)) {
            uint32_t x = (uint32_t)slot(t, i, 0);
            v = first ? x : op(v, x);
            first = false;
        }
    t.meet(t, mask);
    return v;
}

// Matrices. A kind is 0 for f16, 1 for bf16, 2 for tf32, 3 for f32. Sums are taken in single precision, in order; a
// tensor core adds in an order and with a precision of its own.

static inline float element(int kind, uint32_t reg, int half) {
    if (kind == 3) return F(reg);
    if (kind == 2) return tf32(reg);
    uint16_t h = (uint16_t)(half ? reg >> 16 : reg);
    return kind == 0 ? H(h) : BF(h);
}
// mma.sync.m16n8k*: slots 0..7 hold a, 8.. hold b. Each lane computes its own four numbers.
static inline void mma_16x8(T &t, int kind, int K, const uint32_t *a, int na, const uint32_t *b, int nb, const float *c,
                            float *d) {
    for (int i = 0; i < na; i++) slot(t, t.lane, i) = a[i];
    for (int i = 0; i < nb; i++) slot(t, t.lane, 8 + i) = b[i];
    t.meet(t, 0xffffffffu);
    for (int o = 0; o < 4; o++) {
        int row = (int)(t.lane >> 2) + (o >= 2 ? 8 : 0), col = (int)(t.lane & 3) * 2 + (o & 1), low = row >= 8;
        float sum = 0;
        for (int k = 0; k < K; k++) {
            int in = kind == 2 ? k & 3 : (k & 7) >> 1, high = kind == 2 ? k >= 4 : k >= 8;
            uint32_t x = (uint32_t)slot(t, (row & 7) * 4 + in, low + 2 * high), y = (uint32_t)slot(t, col * 4 + in, 8 + high);
            sum += element(kind, x, k & 1) * element(kind, y, k & 1);
        }
        d[o] = c[o] + sum;
    }
    t.meet(t, 0xffffffffu);
}
// Lane 8 i + r gives the address of row r of matrix i.
static inline char *matrix_at(T &t, int matrix, bool trans, int half) {
    int a = (int)(t.lane >> 2), b = (int)(t.lane & 3) * 2 + half;
    return (char *)slot(t, matrix * 8 + (trans ? b : a), 0) + 2 * (trans ? a : b);
}
static inline void ldmatrix(T &t, int count, bool trans, char *address, uint32_t *d) {
    slot(t, t.lane, 0) = (uint64_t)address;
    t.meet(t, 0xffffffffu);
    for (int i = 0; i < count; i++)
        d[i] = ld<uint16_t>(matrix_at(t, i, trans, 0)) | (uint32_t)ld<uint16_t>(matrix_at(t, i, trans, 1)) << 16;
    t.meet(t, 0xffffffffu);
}
static inline void stmatrix(T &t, int count, bool trans, char *address, const uint32_t *s) {
    slot(t, t.lane, 0) = (uint64_t)address;
    t.meet(t, 0xffffffffu);
    for (int i = 0; i < count; i++)
        for (int half = 0; half < 2; half++) st<uint16_t>(matrix_at(t, i, trans, half), (uint16_t)(s[i] >> (16 * half)));
    t.meet(t, 0xffffffffu);
}
// wmma leaves open which lane holds what. Here lane L holds the elements from L * count * per on, in row-major order,
// modulo the size of the matrix.
static inline size_t wmma_at(bool row_major, uint32_t stride, int row, int col) {
    return row_major ? (size_t)row * stride + col : (size_t)col * stride + row;
}
static inline void wmma_load(T &t, int kind, int rows, int cols, bool row_major, const char *p, uint32_t stride, uint32_t *d,
                             int count) {
    int per = kind < 2 ? 2 : 1;
    t.meet(t, 0xffffffffu);
    for (int i = 0; i < count; i++) {
        d[i] = 0;
        for (int h = 0; h < per; h++) {
            int e = (((int)t.lane * count + i) * per + h) % (rows * cols);
            size_t at = wmma_at(row_major, stride, e / cols, e % cols);
            d[i] |= per == 2 ? (uint32_t)ld<uint16_t>(p + 2 * at) << (16 * h) : ld<uint32_t>(p + 4 * at);
        }
    }
}
static inline void wmma_store(T &t, int kind, int rows, int cols, bool row_major, char *p, uint32_t stride,
                              const uint32_t *s, int count) {
    int per = kind < 2 ? 2 : 1;
    t.meet(t, 0xffffffffu);  // Lanes may still read what was there.
    for (int i = 0; i < count; i++)
        for (int h = 0; h < per; h++) {
            int e = (((int)t.lane * count + i) * per + h) % (rows * cols);
            size_t at = wmma_at(row_major, stride, e / cols, e % cols);
            if (per == 2) st<uint16_t>(p + 2 * at, (uint16_t)(s[i] >> (16 * h))); else st<uint32_t>(p + 4 * at, s[i]);
        }
    t.meet(t, 0xffffffffu);
}
static inline float wmma_get(T &t, int kind, int count, int base, int e) {
    int per = kind < 2 ? 2 : 1, lane = e / (count * per), i = e % (count * per);
    return element(kind, (uint32_t)slot(t, lane, base + i / per), i % per);
}
static inline void wmma_mma(T &t, int N, int K, int kind_ab, int kind_c, int kind_d, const uint32_t *a, int na,
                            const uint32_t *b, int nb, const uint32_t *c, uint32_t *d, int nd) {
    for (int i = 0; i < na; i++) slot(t, t.lane, i) = a[i];
    for (int i = 0; i < nb; i++) slot(t, t.lane, 8 + i) = b[i];
    t.meet(t, 0xffffffffu);
    int per_c = kind_c < 2 ? 2 : 1, per_d = kind_d < 2 ? 2 : 1;
    float out[16];
    for (int i = 0; i < nd * per_d; i++) {
        int e = (int)t.lane * nd * per_d + i, row = e / N, col = e % N;
        float sum = 0;
        for (int k = 0; k < K; k++)
            sum += wmma_get(t, kind_ab, na, 0, row * K + k) * wmma_get(t, kind_ab, nb, 8, k * N + col);
        out[i] = element(kind_c, c[i / per_c], i % per_c) + sum;
    }
    for (int i = 0; i < nd; i++)
        d[i] = kind_d == 3 ? B(out[i]) : (uint32_t)toH(out[2 * i]) | (uint32_t)toH(out[2 * i + 1]) << 16;
    t.meet(t, 0xffffffffu);
}
