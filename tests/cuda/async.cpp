// mbarrier and cp.async, after NVIDIA's PTX ISA.
//
// A copy is done as late as it may be: when its thread waits for its group, or when no thread of the block can go on
// without it. What reads it too early then reads what was there before. With STAND_IN_COPIES=early it is done at once,
// which shows what is written over while others still read it.
#include "async.h"
#include "execute.h"
#include "tensor_map.h"
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

// Barriers

// The 64 bits in shared memory: phase 1, pending 20, expected 20, bytes 21 with a sign, and 2 bits that neither zeros nor
// unwritten memory have.
struct Barrier { uint32_t phase, pending, expected; int32_t bytes; };
static const uint32_t most = (1u << 20) - 1;
static const uint64_t mark = 2;

static uint64_t encode(const Barrier &b) {
    return mark << 62 | (uint64_t)((uint32_t)b.bytes & 0x1fffff) << 41 | (uint64_t)b.expected << 21 | (uint64_t)b.pending << 1 | b.phase;
}
static Barrier decode(uint64_t x) {
    return {(uint32_t)x & 1, (uint32_t)(x >> 1) & most, (uint32_t)(x >> 21) & most, (int32_t)((uint32_t)(x >> 41) << 11) >> 11};
}
static unsigned offset(const Thread &t, const char *p) { return (unsigned)(p - t.shared); }
// Ends the program unless `size` bytes of shared memory start there, aligned.
static void check_shared(const Thread &t, const char *what, const char *p, size_t size, unsigned align) {
    if (p < t.shared || p + size > t.shared + t.shared_size)
        stop("%s of %zu bytes at %p is not in the shared memory of %u bytes", what, size, (const void *)(p - t.shared), t.shared_size);
    if (offset(t, p) % align) stop("%s at %u of shared memory is not aligned to %u bytes", what, offset(t, p), align);
}
static Barrier get(const Thread &t, char *at) {
    check_shared(t, "an mbarrier", at, 8, 8);
    uint64_t x = ld<uint64_t>(at);
    if (x >> 62 != mark) stop("no mbarrier was initialised at %u of shared memory", offset(t, at));
    return decode(x);
}
static void put(char *at, const Barrier &b) { st<uint64_t>(at, encode(b)); }
// Stores what was changed, in the next phase where this one is complete.
static void settle(Thread &t, char *at, Barrier b, bool may_complete = true) {
    if (b.bytes > (int32_t)most || b.bytes < -(int32_t)most)
        stop("the mbarrier at %u of shared memory counts %d bytes, which is more than it can", offset(t, at), b.bytes);
    if (!b.pending && !b.bytes) {
        if (!may_complete) stop("an arrival with noComplete completes the phase of the mbarrier at %u of shared memory", offset(t, at));
        b.phase ^= 1;
        b.pending = b.expected;
    }
    put(at, b);
    went_on(t);
}
static void init(Thread &t, char *at, uint32_t count) {
    check_shared(t, "an mbarrier", at, 8, 8);
    if (!count || count > most) stop("an mbarrier cannot expect %u arrivals", count);
    put(at, {0, count, count, 0});
}
static void invalidate(Thread &t, char *at) {
    get(t, at);
    st<uint64_t>(at, ~(uint64_t)0);
}
static void expect(Thread &t, char *at, uint32_t bytes) {
    Barrier b = get(t, at);
    if (bytes > most) stop("an mbarrier cannot expect %u bytes", bytes);
    b.bytes += (int32_t)bytes;
    settle(t, at, b);
}
static void complete(Thread &t, char *at, uint32_t bytes) {
    Barrier b = get(t, at);
    if (bytes > most) stop("an mbarrier cannot count %u bytes", bytes);
    b.bytes -= (int32_t)bytes;
    settle(t, at, b);
}
static uint64_t arrive_with(Thread &t, char *at, uint32_t count, uint32_t bytes, bool drop, bool may_complete) {
    Barrier b = get(t, at);
    const uint64_t before = encode(b);
    if (bytes > most) stop("an mbarrier cannot expect %u bytes", bytes);
    if (!count || count > b.pending)
        stop("%u arrive at the mbarrier at %u of shared memory, which waits for %u more", count, offset(t, at), b.pending);
    b.bytes += (int32_t)bytes;
    b.pending -= count;
    if (drop) b.expected -= count;
    settle(t, at, b, may_complete);
    return before;
}
static uint64_t arrive(Thread &t, char *at, uint32_t count, bool drop, bool may_complete) {
    return arrive_with(t, at, count, 0, drop, may_complete);
}
static uint64_t arrive_expecting(Thread &t, char *at, uint32_t bytes, bool drop) {
    return arrive_with(t, at, 1, bytes, drop, true);
}
static bool parity_over(Thread &t, char *at, uint32_t parity, bool block) {
    if (parity > 1) stop("a wait for an mbarrier's phase of parity %u", parity);
    for (bool again = true; get(t, at).phase == parity; again = block) {
        if (!again) return false;
        t.waits_at = at;
        turn(t);
        t.waits_at = nullptr;
    }
    went_on(t);
    return true;
}
static bool over(Thread &t, char *at, uint64_t state, bool block) {
    if (state >> 62 != mark) stop("a wait for an mbarrier with a state that no arrival gave");
    return parity_over(t, at, decode(state).phase, block);
}
static uint32_t pending(Thread &, uint64_t state) {
    if (state >> 62 != mark) stop("mbarrier.pending_count of a state that no arrival gave");
    return decode(state).pending;
}

// Copies

// `group`: how many groups its thread had closed before. Copies that no group waits for have the last number.
struct Copy { const Thread *thread; uint32_t group; std::function<void()> finish; };
static const uint32_t no_group = ~0u;
static std::vector<Copy> under_way;

static void start(const Thread &t, uint32_t group, std::function<void()> finish) {
    static const bool early = [] {
        const char *wish = getenv("STAND_IN_COPIES");
        return wish && !strcmp(wish, "early");
    }();
    if (early) finish(); else under_way.push_back({&t, group, std::move(finish)});
}
bool async_finish() {
    std::vector<Copy> all;
    all.swap(under_way);
    for (Copy &copy : all) copy.finish();
    return !all.empty();
}
// Does the copies of a thread in the groups before `group`.
static void finish_groups(const Thread &t, uint32_t group) {
    std::vector<Copy> others;
    for (Copy &copy : under_way)
        if (copy.thread == &t && copy.group < group) copy.finish(); else others.push_back(std::move(copy));
    under_way.swap(others);
}
// Copies from the memory of the device. What nothing has written yet is counted, as ldg does.
static void take(Thread &t, char *to, const char *from, size_t size) {
    static const bool poison = getenv("STAND_IN_POISON");
    memcpy(to, from, size);
    for (size_t i = 0; poison && i + 4 <= size; i += 4) *t.poisoned += ld<uint32_t>(to + i) == 0xffffffffu;
}
static void copy(Thread &t, char *to, const char *from, uint32_t size, uint32_t got) {
    check_shared(t, "the target of cp.async", to, size, size);
    if (got > size) stop("cp.async takes %u of %u bytes", got, size);
    if ((uint64_t)from % size) stop("cp.async takes %u bytes from %p, which is not aligned to them", size, (const void *)from);
    start(t, t.groups, [=, &t] {
        take(t, to, from, got);
        memset(to + got, 0, size - got);
    });
}
static void commit(Thread &t) { t.groups++; }
static void wait(Thread &t, uint32_t groups) { finish_groups(t, t.groups > groups ? t.groups - groups : 0); }
static void wait_all(Thread &t) { finish_groups(t, ++t.groups); }
static void arrive_copied(Thread &t, char *at, bool increments) {
    Barrier b = get(t, at);
    if (increments) {  // The phase does not end before the copies do.
        if (b.pending == most) stop("the mbarrier at %u of shared memory cannot wait for more than %u", offset(t, at), most);
        b.pending++;
        put(at, b);
    }
    start(t, t.groups, [=, &t] { arrive(t, at, 1, false, true); });
}
static void bulk(Thread &t, char *to, const char *from, uint32_t size, char *barrier) {
    check_shared(t, "the target of cp.async.bulk", to, size, 16);
    if (size % 16 || (uint64_t)from % 16) stop("cp.async.bulk takes %u bytes from %p; both must be multiples of 16", size, (const void *)from);
    get(t, barrier);
    start(t, no_group, [=, &t] {
        take(t, to, from, size);
        complete(t, barrier, size);
    });
}

// Tensors

// Where a row of 16 bytes really lies: the bits of the address from 16 on are exchanged by those from 128 on.
static size_t swizzled(size_t at, unsigned swizzle) {
    static const size_t bits[] = {0, 0x10, 0x30, 0x70};
    return at ^ (at >> 3 & bits[swizzle]);
}
struct Box {
    Thread &t;
    TensorMap map;
    size_t to, row_bytes, rows;  // `to`: from the start of shared memory

    // One row of the innermost dimension, from element `first` on. `at`: the other coordinates, or nothing outside.
    void row(size_t number, int64_t first, const int64_t *at) {
        const char *from = (const char *)map.address;
        bool inside = true;
        for (int i = 1; i < map.rank; i++) {
            inside = inside && at[i] >= 0 && (uint64_t)at[i] < map.dim[i];
            from += at[i] * (int64_t)map.stride[i - 1];
        }
        for (size_t chunk = 0; chunk < row_bytes; chunk += 16) {
            char *target = t.shared + swizzled(to + number * row_bytes + chunk, map.swizzle);
            int64_t x = first + (int64_t)(chunk / map.size);
            const int64_t count = 16 / map.size, most = (int64_t)map.dim[0];
            if (inside && x >= 0 && x + count <= most) {
                take(t, target, from + x * map.size, 16);
                continue;
            }
            memset(target, 0, 16);
            for (int64_t end = x + count; x < end; x++, target += map.size)
                if (inside && x >= 0 && x < most) take(t, target, from + x * map.size, map.size);
        }
    }
    void tile(const int32_t *start) {
        size_t count[5];
        for (int i = 1; i < map.rank; i++) count[i] = ((size_t)map.box[i] + map.element[i] - 1) / map.element[i];
        for (size_t number = 0; number < rows; number++) {
            int64_t at[5];
            size_t rest = number;
            for (int i = 1; i < map.rank; i++) {
                at[i] = start[i] + (int64_t)(rest % count[i] * map.element[i]);
                rest /= count[i];
            }
            row(number, start[0], at);
        }
    }
    // Pixels follow each other along W, H, D and then N, within the box in which the first tap of the filter moves. The
    // offsets lead from there to the tap that is wanted.
    void pixels(const int32_t *start, const uint16_t *offsets) {
        const int last = map.rank - 1;
        int64_t base[5], at[5];
        for (int i = 0; i <= last; i++) base[i] = start[i];
        for (size_t number = 0; number < rows; number++) {
            for (int i = 1; i < last; i++) at[i] = base[i] + offsets[i - 1];
            at[last] = base[last];
            row(number, base[0], at);
            int i = 1;
            for (; i < last; i++) {
                base[i] += map.element[i];
                if (base[i] < (int64_t)map.dim[i] + map.upper[i - 1]) break;
                base[i] = map.lower[i - 1];
            }
            if (i == last) base[last]++;
        }
    }
};
static void tensor(Thread &t, char *to, const char *map_at, bool im2col, uint32_t rank, const int32_t *at,
                   const uint16_t *offsets, char *barrier) {
    Box box{t, ld<TensorMap>(map_at), offset(t, to), 0, 1};
    const TensorMap &map = box.map;
    if ((uint64_t)map_at % 64) stop("a tensor map at %p is not aligned to 64 bytes", (const void *)map_at);
    if (memcmp(map.mark, tensor_map_mark, sizeof map.mark)) stop("there is no tensor map at %p", (const void *)map_at);
    if (map.rank != rank || map.im2col != im2col)
        stop("cp.async.bulk.tensor of %u dimensions%s with a tensor map of %u%s", rank, im2col ? " and im2col" : "", map.rank,
             map.im2col ? " and im2col" : "");
    // Types from 10 on are changed as they are copied.
    if (map.interleave || map.swizzle > 3 || map.fill || map.type > 9)
        stop("unknown: a tensor map of type %u with interleave %u, swizzle %u, fill %u", map.type, map.interleave, map.swizzle, map.fill);
    if (im2col && map.element[rank - 1] != 1) stop("unknown: an im2col tensor map that skips images");
    box.row_bytes = (size_t)(im2col ? map.channels : map.box[0]) * map.size;
    if (im2col) box.rows = map.pixels;
    else
        for (uint32_t i = 1; i < rank; i++) box.rows *= ((size_t)map.box[i] + map.element[i] - 1) / map.element[i];
    if (box.row_bytes % 16 || (map.swizzle && box.row_bytes != (size_t)16 << map.swizzle))
        stop("unknown: a tensor map with swizzle %u and rows of %zu bytes", map.swizzle, box.row_bytes);
    const size_t size = box.row_bytes * box.rows;
    check_shared(t, "the target of cp.async.bulk.tensor", to, size, 128);
    get(t, barrier);
    int32_t start_at[5] = {};
    uint16_t offset_by[3] = {};
    memcpy(start_at, at, rank * sizeof *at);
    if (im2col) memcpy(offset_by, offsets, (rank - 2) * sizeof *offsets);
    start(t, no_group, [=, &t]() mutable {
        if (im2col) box.pixels(start_at, offset_by); else box.tile(start_at);
        complete(t, barrier, (uint32_t)size);
    });
}

bool async_waits(const Thread &t, char *text, size_t size) {
    if (!t.waits_at) return false;
    Barrier b = get(t, t.waits_at);
    snprintf(text, size, "the mbarrier at %u of shared memory lacks %u arrivals and %d bytes", offset(t, t.waits_at), b.pending, b.bytes);
    return true;
}

const Async async_table = {init, invalidate, expect, complete, arrive, arrive_expecting, over, parity_over, pending,
                           copy, commit, wait, wait_all, arrive_copied, bulk, tensor};
