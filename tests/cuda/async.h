// Barriers in shared memory (mbarrier) and the copies that finish later (cp.async), as translated kernels call them.
// async.cpp does the work.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct Thread;
struct Async {
    void (*init)(Thread &, char *barrier, uint32_t count);
    void (*invalidate)(Thread &, char *barrier);
    void (*expect)(Thread &, char *barrier, uint32_t bytes);
    void (*complete)(Thread &, char *barrier, uint32_t bytes);
    // All return the barrier's state from before. `drop`: later phases expect so many fewer.
    uint64_t (*arrive)(Thread &, char *barrier, uint32_t count, bool drop, bool may_complete);
    uint64_t (*arrive_expecting)(Thread &, char *barrier, uint32_t bytes, bool drop);
    // Whether the phase of a state, or of a parity, is over. `block`: waits until it is.
    bool (*over)(Thread &, char *barrier, uint64_t state, bool block);
    bool (*parity_over)(Thread &, char *barrier, uint32_t parity, bool block);
    uint32_t (*pending)(Thread &, uint64_t state);

    void (*copy)(Thread &, char *to, const char *from, uint32_t size, uint32_t got);  // zeros behind the `got` first bytes
    void (*commit)(Thread &);
    void (*wait)(Thread &, uint32_t groups);  // for all but the last so many groups
    void (*wait_all)(Thread &);
    void (*arrive_copied)(Thread &, char *barrier, bool increments);
    void (*bulk)(Thread &, char *to, const char *from, uint32_t size, char *barrier);
    void (*tensor)(Thread &, char *to, const char *map, bool im2col, uint32_t rank, const int32_t *at,
                   const uint16_t *offsets, char *barrier);
};

// What execute.cpp gives: the next thread's turn, that a thread got further, and the end of the program with a message
// about the running kernel.
void turn(Thread &);
void went_on(Thread &);
__attribute__((noreturn, format(printf, 1, 2))) void stop(const char *format, ...);
// What async.cpp gives. `async_finish` does all copies that are under way, and returns whether there was one.
extern const Async async_table;
bool async_finish();
// What a thread waits for, where it waits at an mbarrier.
bool async_waits(const Thread &, char *text, size_t size);
