// Runs PTX on the CPU: ptx_to_cpp.py translates a module to C++, g++ compiles it, and every thread of a launch is a call;
// where threads meet at barriers, a fiber. The driver calls this under its lock. README.md lists the variables.
#include "execute.h"
#include "hash.h"
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <spawn.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char **environ;

// Fibers: the threads of one block take turns on one thread of the CPU.

struct Fiber { void *sp; bool done; Thread thread; };
struct Block {
    struct Bar { unsigned arrived; uint64_t generation; };
    struct Warp { uint32_t arrived, alive; uint64_t generation[32], slots[32 * 32]; };
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    Bar bars[16];
    void (*kernel)(Thread &);
    void *main_sp;
    size_t current, step;  // `step` leads to the next fiber: 1, or all but one to go backward
    unsigned live, idle;   // `idle`: turns since a thread last arrived somewhere, went on or returned
};
static Block block;
static const char *kernel_running;

void stop(const char *format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "stand-in: the kernel %s: %s\n", kernel_running, text);
    _exit(99);
}

extern "C" void switch_to(void **from, void *to);
asm(R"(
.text
.globl switch_to
.hidden switch_to
switch_to:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

// Goes on with the next fiber that is not done, or leaves the block where there is none.
static void next(Block &b) {
    Fiber &from = b.fibers[b.current];
    size_t count = b.fibers.size(), at = b.current;
    // Copies that are under way end when nobody can go on without them.
    if (++b.idle > count && async_finish()) b.idle = 0;
    if (b.idle > 2 * count) {
        char text[200];
        for (const Fiber &fiber : b.fibers)
            if (!fiber.done && async_waits(fiber.thread, text, sizeof text)) stop("its threads wait for ever: %s", text);
        stop("its threads wait for each other");
    }
    for (size_t i = 1; i <= count; i++) {
        at = (at + b.step) % count;
        if (b.fibers[at].done) continue;
        if (at != b.current) {
            b.current = at;
            switch_to(&from.sp, b.fibers[at].sp);
        }
        return;
    }
    switch_to(&from.sp, b.main_sp);
}
void turn(Thread &t) { next(*t.block); }
void went_on(Thread &t) { t.block->idle = 0; }
static void pass(Thread &t) {
    went_on(t);
    turn(t);
    went_on(t);
}
static void meet_block(Thread &t, uint32_t id, uint32_t count) {
    Block &b = *t.block;
    Block::Bar &bar = b.bars[id & 15];
    uint64_t generation = bar.generation;
    bar.arrived++;
    b.idle = 0;
    // Threads that return count as arrived.
    while (bar.generation == generation) {
        if (bar.arrived >= (count ? count : b.live)) {
            bar.arrived = 0;
            bar.generation++;
            b.idle = 0;
            return;
        }
        next(b);
    }
}
static void meet_lanes(Thread &t, uint32_t mask) {
    Block &b = *t.block;
    Block::Warp &warp = b.warps[t.warp];
    uint64_t generation = warp.generation[t.lane];
    warp.arrived |= 1u << t.lane;
    b.idle = 0;
    while (warp.generation[t.lane] == generation) {
        uint32_t wanted = mask & warp.alive;
        if ((warp.arrived & wanted) == wanted) {
            warp.arrived &= ~wanted;
            b.idle = 0;
            for (int i = 0; i < 32; i++)
                if (wanted >> i & 1) warp.generation[i]++;
            return;
        }
        next(b);
    }
}
static void fiber_entry() {
    Fiber &fiber = block.fibers[block.current];
    block.kernel(fiber.thread);
    fiber.done = true;
    block.live--;
    block.idle = 0;
    block.warps[fiber.thread.warp].alive &= ~(1u << fiber.thread.lane);
    next(block);
    abort();
}

// Modules

struct Code { void *library; std::string error; };

static std::string setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}
static std::string contents(const std::string &path) {
    std::string text;
    char part[65536];
    if (FILE *file = fopen(path.c_str(), "r")) {
        for (size_t n; (n = fread(part, 1, sizeof part, file));) text.append(part, n);
        fclose(file);
    }
    return text;
}
// Runs a command of the shell. system(3) would ignore SIGINT meanwhile, which the program may wait for.
static bool shell(const std::string &command) {
    const char *arguments[] = {"sh", "-c", command.c_str(), nullptr};
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t child;
    int status = 1;
    bool started = !posix_spawn(&child, "/bin/sh", nullptr, &attributes, (char **)arguments, environ);
    posix_spawnattr_destroy(&attributes);
    return started && waitpid(child, &status, 0) == child && status == 0;
}
static std::string options() {
    std::string wish = setting("STAND_IN_OPTIMISE");
    return "-std=gnu++17 -w " + (wish.empty() ? "-O2" : wish) +
           " -ffp-contract=off -fwrapv -fno-strict-aliasing -fno-exceptions -march=native -fPIC -shared" +
           (getenv("STAND_IN_POISON") ? " -DPOISON" : "") +
           (setting("STAND_IN_ORDER") == "together" ? " -DTOGETHER" : "");
}
// What the library depends on beside the PTX: the translator, the options, and the CPU.
static const std::string &environment_key() {
    static const std::string key = [] {
        std::string here = setting("STAND_IN_HERE"), cpu = contents("/proc/cpuinfo"), all = options();
        for (const char *name : {"/execute.h", "/async.h", "/ptx_to_cpp.py", "/ptx_instructions.py", "/ptx_async.py", "/ptx_matrix.py"})
            all += contents(here + name);
        size_t flags = cpu.find("flags");
        if (flags != std::string::npos) all += cpu.substr(flags, cpu.find('\n', flags) - flags);
        return hash(all);
    }();
    return key;
}

extern "C" int execute_load(const char *ptx, void **code) {
    const std::string here = setting("STAND_IN_HERE");
    const std::string base = setting("STAND_IN_KERNELS") + "/" + hash(ptx + environment_key()), library = base + ".so",
                      failed = base + ".failed";
    Code *made = new Code{};
    *code = made;
    if (access(library.c_str(), F_OK) && access(failed.c_str(), F_OK)) {
        // Everything is written under a name of this process and then renamed: another may be at the same kernel.
        const std::string part = base + "." + std::to_string(getpid());
        if (FILE *file = fopen((part + ".ptx").c_str(), "w")) {
            fputs(ptx, file);
            fclose(file);
        }
        // The compiler must not see the stand-in's libraries.
        const std::string command =
            "unset LD_PRELOAD LD_LIBRARY_PATH; export PYTHONPYCACHEPREFIX='" + setting("STAND_IN_KERNELS") +
            "'; exec 2> '" + part + ".error'; '" + setting("STAND_IN_PYTHON") + "' '" + here + "/ptx_to_cpp.py' < '" +
            part + ".ptx' > '" + part + ".cpp' && g++ " + options() + " -I'" + here + "' -o '" + part + ".so' '" + part +
            ".cpp' && mv '" + part + ".so' '" + library + "'";
        if (shell(command)) {
            unlink((part + ".error").c_str());
            unlink((part + ".ptx").c_str());
            unlink((part + ".cpp").c_str());
        } else {
            rename((part + ".ptx").c_str(), (base + ".ptx").c_str());
            rename((part + ".cpp").c_str(), (base + ".cpp").c_str());
            rename((part + ".error").c_str(), failed.c_str());
        }
    }
    if (access(library.c_str(), F_OK) == 0) {
        made->library = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!made->library) made->error = dlerror();
    } else {
        std::string error = contents(failed);
        while (!error.empty() && error.back() == '\n') error.pop_back();
        made->error = error + "\n(" + base + ".ptx)";
    }
    return !made->library;
}

// Launches

// A guard page lies at both ends of an allocation.
static void on_segfault(int, siginfo_t *info, void *) {
    char text[512];
    if (kernel_running)
        dprintf(2, "stand-in: the kernel %s touches memory at %p that is not its own\n", kernel_running, info->si_addr);
    else
        (void)!write(2, text, (size_t)snprintf(text, sizeof text, "stand-in: segmentation fault at %p\n", info->si_addr));
    _exit(99);
}
static void watch_memory() {
    struct sigaction action = {};
    action.sa_sigaction = on_segfault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
}

template <class X> static X *symbol(void *library, const char *prefix, const char *name) {
    std::string full = prefix;
    for (const char *p = name; *p; p++) full += *p == '$' ? '_' : *p;
    return (X *)dlsym(library, full.c_str());
}
static char *aligned(std::vector<char> &bytes, size_t size, size_t to) {
    bytes.resize(size + to);
    return (char *)(((uint64_t)bytes.data() + to - 1) / to * to);
}
static char *stack_of(unsigned thread) {
    static std::vector<char *> stacks;
    const size_t size = 256 << 10;
    while (stacks.size() <= thread) {
        void *made = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mprotect(made, 4096, PROT_NONE);
        stacks.push_back((char *)made + size);
    }
    return stacks[thread];
}

extern "C" int execute_run(void *handle, const char *name, const unsigned grid[3], const unsigned size[3],
                           unsigned dynamic, void **params) {
    Code *code = (Code *)handle;
    auto fail = [&](const std::string &why) {
        fprintf(stderr, "stand-in: cannot run %s: %s\n", name, why.c_str());
        _exit(99);
    };
    if (!code->library) fail(code->error);
    auto kernel = symbol<void(Thread &)>(code->library, "kernel_", name);
    // The sizes of: local memory, shared memory, then each parameter. `fibers`: whether threads meet.
    auto sizes = symbol<const uint32_t>(code->library, "sizes_", name);
    auto count = symbol<const uint32_t>(code->library, "count_", name);
    auto fibers = symbol<const uint32_t>(code->library, "fibers_", name);
    if (!kernel || !sizes || !count || !fibers) fail("its translation has no such kernel");
    static const bool backward = setting("STAND_IN_ORDER") == "backward";
    static bool watched = (watch_memory(), true);
    (void)watched;

    std::vector<std::vector<char>> bytes(*count);
    std::vector<char *> pointers(*count + 1);
    for (uint32_t i = 0; i < *count; i++) {
        pointers[i] = aligned(bytes[i], sizes[2 + i], 64);
        memcpy(pointers[i], params[i], sizes[2 + i]);
    }
    const unsigned threads = size[0] * size[1] * size[2];
    const size_t local_size = (sizes[0] + 63) / 64 * 64, shared_size = sizes[1] + dynamic;
    std::vector<char> local_bytes, shared_bytes;
    char *locals = aligned(local_bytes, (*fibers ? threads : 1) * local_size, 64);
    char *shared = aligned(shared_bytes, shared_size, 1024);
    block.warps.resize((threads + 31) / 32);
    block.fibers.resize(*fibers ? threads : 0);
    block.kernel = kernel;
    block.step = backward && threads > 1 ? threads - 1 : 1;

    uint64_t poisoned = 0;
    auto prepare = [&](Thread &t, unsigned i, const uint64_t at[3]) {
        t.tid[0] = i % size[0];
        t.tid[1] = i / size[0] % size[1];
        t.tid[2] = i / size[0] / size[1];
        for (int k = 0; k < 3; k++) {
            t.ntid[k] = size[k];
            t.nctaid[k] = grid[k];
            t.ctaid[k] = (uint32_t)at[k];
        }
        t.lane = i % 32;
        t.warp = i / 32;
        t.shared = shared;
        t.shared_size = (uint32_t)shared_size;
        t.groups = 0;
        t.waits_at = nullptr;
        t.side = 0;
        t.async = &async_table;
        t.params = pointers.data();
        t.local = locals + (*fibers ? i * local_size : 0);
        t.slots = block.warps[t.warp].slots;
        t.alive = &block.warps[t.warp].alive;
        t.poisoned = &poisoned;
        t.block = &block;
        t.bar = meet_block;
        t.meet = meet_lanes;
        t.pass = pass;
    };
    kernel_running = name;
    const uint64_t blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    for (uint64_t number = 0; number < blocks; number++) {
        uint64_t n = backward ? blocks - 1 - number : number;
        const uint64_t at[3] = {n % grid[0], n / grid[0] % grid[1], n / grid[0] / grid[1]};
        for (size_t w = 0; w < block.warps.size(); w++) {
            unsigned lanes = threads - 32 * (unsigned)w;
            block.warps[w].alive = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
            block.warps[w].arrived = 0;
        }
        memset(shared, 0xff, shared_size);  // What is read before it is written shows: it is not a number.
        if (!*fibers) {
            Thread t;
            for (unsigned i = 0; i < threads; i++) {
                prepare(t, backward ? threads - 1 - i : i, at);
                kernel(t);
            }
            continue;
        }
        memset(block.bars, 0, sizeof block.bars);
        block.live = threads;
        block.idle = 0;
        for (unsigned i = 0; i < threads; i++) {
            Fiber &fiber = block.fibers[i];
            fiber.done = false;
            prepare(fiber.thread, i, at);
            uint64_t *sp = (uint64_t *)(stack_of(i) - 64);
            *--sp = 0;  // where fiber_entry would return to; it does not
            *--sp = (uint64_t)fiber_entry;
            for (int k = 0; k < 6; k++) *--sp = 0;
            fiber.sp = sp;
        }
        block.current = backward ? threads - 1 : 0;
        switch_to(&block.main_sp, block.fibers[block.current].sp);
        async_finish();
    }
    kernel_running = nullptr;
    if (poisoned)
        fprintf(stderr, "stand-in: %s reads %llu values that nothing has written, or that are -1\n", name,
                (unsigned long long)poisoned);
    return 0;
}
