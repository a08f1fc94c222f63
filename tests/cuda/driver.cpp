// A libcuda.so.1 without a GPU: the driver calls that cudarc and CubeCL make.
//
// Device memory is host memory. Copies are done, launches are logged and, with $STAND_IN_EXECUTE, run on the CPU by
// execute.cpp. Every call finishes before it returns, under one lock. That is one of the orders in which a GPU may run
// what its streams hold, because a stream or a waiting event never depends on what is queued later.
// README.md lists the variables.
#include "tensor_map.h"
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

typedef int CUresult;
typedef uint64_t CUdeviceptr;
enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, UNSUPPORTED_PTX_VERSION = 222, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801
};

// What the program holds handles of.
struct Device { uint64_t live, peak; };
struct Memory { size_t size; Device *device; char *mapped; size_t mapped_size; };
struct Module { int id; std::string ptx; void *code; };
struct Function { std::string name; Module *module; unsigned dynamic_shared; std::vector<unsigned> pointers; };
struct Stream { unsigned id; };
struct Event { unsigned id; };

// The functions of execute.cpp.
typedef int (*Load)(const char *ptx, void **code);
typedef int (*Run)(void *code, const char *name, const unsigned grid[3], const unsigned block[3], unsigned shared,
                   void **params);
static Load execute_load;
static Run execute_run;

// Settings, from the environment.
static int capability = 90, version = 13000, device_count = 1, init_answer = SUCCESS, broken_code;
static uint64_t memory_total = 80ull << 30, memory_limit, broken_after;
static bool poison;
static float scalar;
static std::vector<std::pair<std::string, double>> costs;

// State, under the lock.
static std::recursive_mutex lock;
static FILE *log_file;
static std::string ptx_dir;
static double started, queued_microseconds;
static bool initialised;
static CUresult broken;  // Once a kernel has failed, every later call fails as it did.
static std::vector<Device> devices;
static thread_local Device *current;
static std::map<CUdeviceptr, Memory> device_memory;
static std::map<void *, size_t> pinned_memory;
static uint64_t pinned, pinned_peak, allocations, launches, waits, uploads, upload_bytes, downloads, download_bytes;
static unsigned modules, streams, events;

static double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

// One line a call: its number, the seconds since the start, the name of what was done, its details.
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    static uint64_t line;
    if (!log_file) return;
    fprintf(log_file, "%llu %.6f ", (unsigned long long)line++, now() - started);
    va_list list;
    va_start(list, format);
    vfprintf(log_file, format, list);
    va_end(list);
    fputc('\n', log_file);
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *value = getenv(name);
    return value ? strtoull(value, nullptr, 10) : otherwise;
}

static void summary() {
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (!log_file) return;
    uint64_t peak = 0;
    for (auto &device : devices) peak += device.peak;
    note("summary launches=%llu modules=%u uploads=%llu/%llu downloads=%llu/%llu waits=%llu allocations=%llu peak=%llu "
         "pinned_peak=%llu",
         (unsigned long long)launches, modules, (unsigned long long)uploads, (unsigned long long)upload_bytes,
         (unsigned long long)downloads, (unsigned long long)download_bytes, (unsigned long long)waits,
         (unsigned long long)allocations, (unsigned long long)peak, (unsigned long long)pinned_peak);
    fflush(log_file);
}

static void read_settings() {
    started = now();
    capability = number("STAND_IN_CC", capability);
    version = number("STAND_IN_DRIVER", version);
    device_count = number("STAND_IN_DEVICES", device_count);
    init_answer = number("STAND_IN_INIT", SUCCESS);
    memory_total = number("STAND_IN_MIB", memory_total >> 20) << 20;
    memory_limit = number("STAND_IN_FULL_AT", memory_total >> 20) << 20;
    poison = number("STAND_IN_POISON", 0);
    if (const char *value = getenv("STAND_IN_SCALAR")) scalar = strtof(value, nullptr);
    if (const char *value = getenv("STAND_IN_PTX")) ptx_dir = value;
    if (const char *value = getenv("STAND_IN_BREAK")) {  // LAUNCHES,CODE
        char *end;
        broken_after = strtoull(value, &end, 10);
        broken_code = *end ? atoi(end + 1) : ILLEGAL_ADDRESS;
    }
    if (const char *value = getenv("STAND_IN_COST")) {  // PART=MICROSECONDS,...
        std::string rest = value;
        while (!rest.empty()) {
            std::string one = rest.substr(0, rest.find(','));
            rest.erase(0, one.size() + 1);
            size_t equals = one.find('=');
            if (equals != std::string::npos) costs.push_back({one.substr(0, equals), atof(one.c_str() + equals + 1)});
        }
    }
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible && (!*visible || *visible == '-')) device_count = 0;
    devices.resize(device_count);
    if (const char *path = getenv("STAND_IN_LOG")) {
        log_file = fopen(path, "w");
        if (log_file) setvbuf(log_file, nullptr, _IOFBF, 1 << 20);
        atexit(summary);
    }
    if (const char *path = getenv("STAND_IN_EXECUTE")) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            fprintf(stderr, "stand-in: %s\n", dlerror());
            _exit(99);
        }
        execute_load = (Load)dlsym(library, "execute_load");
        execute_run = (Run)dlsym(library, "execute_run");
    }
}

// Takes the lock, and answers for a driver that is not initialised or whose context is broken.
#define CALL                                             \
    std::lock_guard<std::recursive_mutex> guard(lock);   \
    if (!initialised) return NOT_INITIALIZED;            \
    if (broken) return broken;

// A function that came with a later driver. cudarc looks for it in the library and panics where it is missing.
#define SINCE(needed)                                                                                        \
    if (version < needed) {                                                                                  \
        fprintf(stderr, "stand-in: a driver of CUDA %d.%d has no %s\n", version / 1000, version % 1000 / 10, \
                __func__);                                                                                   \
        return NOT_SUPPORTED;                                                                                \
    }

static unsigned id_of(void *stream) { return stream ? ((Stream *)stream)->id : 0; }

// With $STAND_IN_COST, a wait lasts as long as the kernels queued before it would.
static CUresult wait(const char *what, unsigned id) {
    waits++;
    note("sync %s %u", what, id);
    double microseconds = queued_microseconds;
    queued_microseconds = 0;
    if (microseconds > 0) usleep((useconds_t)microseconds);
    return SUCCESS;
}

// As NVIDIA's driver says it.
static std::pair<const char *, const char *> error_text(int code) {
    switch (code) {
        case 1: return {"CUDA_ERROR_INVALID_VALUE", "invalid argument"};
        case 2: return {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"};
        case 3: return {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"};
        case 34: return {"CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"};
        case 100: return {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"};
        case 101: return {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"};
        case 201: return {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"};
        case 222:
            return {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."};
        case 500: return {"CUDA_ERROR_NOT_FOUND", "named symbol not found"};
        case 700: return {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"};
        case 719: return {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"};
        case 801: return {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"};
        case 803:
            return {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"};
        case 999: return {"CUDA_ERROR_UNKNOWN", "unknown error"};
        default: return {"CUDA_ERROR_OF_THE_STAND_IN", "an error without a text in the stand-in"};
    }
}

static unsigned shared_limit() { return capability < 80 ? 65536 : capability < 90 ? 166912 : 232448; }

extern "C" {

// The driver and its devices

CUresult cuInit(unsigned) {
    static std::once_flag once;
    std::call_once(once, read_settings);
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (init_answer) return init_answer;
    if (!device_count) return NO_DEVICE;
    initialised = true;
    note("init");
    return SUCCESS;
}
CUresult cuDriverGetVersion(int *to) {  // Answers before cuInit, as NVIDIA's does.
    *to = (int)number("STAND_IN_DRIVER", version);
    return SUCCESS;
}
CUresult cuDeviceGetCount(int *to) {
    CALL;
    *to = device_count;
    return SUCCESS;
}
CUresult cuDeviceGet(int *to, int index) {
    CALL;
    if (index < 0 || index >= device_count) return INVALID_DEVICE;
    *to = index;
    return SUCCESS;
}
CUresult cuDeviceGetName(char *to, int size, int) {
    snprintf(to, size, "Stand-in sm_%d", capability);
    return SUCCESS;
}
CUresult cuDeviceGetUuid_v2(char *to, int device) {
    memset(to, 7 + device, 16);
    return SUCCESS;
}
CUresult cuDeviceGetUuid(char *to, int device) { return cuDeviceGetUuid_v2(to, device); }
CUresult cuDeviceTotalMem_v2(size_t *to, int) {
    *to = memory_total;
    return SUCCESS;
}
CUresult cuDeviceGetAttribute(int *to, int attribute, int) {
    CALL;
    switch (attribute) {
        case 1: *to = 1024; break;        // threads of a block
        case 2: case 3: *to = 1024; break;  // its x and y
        case 4: *to = 64; break;          // its z
        case 5: *to = 2147483647; break;  // a grid's x
        case 6: case 7: *to = 65535; break;
        case 8: *to = 49152; break;       // shared memory of a block
        case 9: *to = 65536; break;       // constant memory
        case 10: *to = 32; break;         // lanes of a warp
        case 11: *to = 2147483647; break;  // pitch
        case 12: *to = 65536; break;      // registers of a block
        case 13: *to = 1980000; break;    // clock, kHz
        case 14: *to = 512; break;        // alignment of textures
        case 16: *to = capability < 80 ? 68 : capability < 90 ? 108 : capability < 100 ? 132 : 148; break;  // SMs
        case 20: *to = 0; break;          // compute mode
        case 31: *to = 1; break;          // kernels at once
        case 36: *to = 2619000; break;    // clock of the memory, kHz
        case 37: *to = 5120; break;       // its bus, bits
        case 38: *to = 52428800; break;   // L2
        case 39: *to = capability < 80 ? 1024 : 2048; break;  // threads of an SM
        case 41: *to = 1; break;          // unified addressing
        case 75: *to = capability / 10; break;
        case 76: *to = capability % 10; break;
        case 81: *to = capability < 80 ? 65536 : 233472; break;  // shared memory of an SM
        case 82: *to = 65536; break;      // registers of an SM
        case 97: *to = shared_limit(); break;  // shared memory of a block that asks for more
        case 115: *to = 1; break;         // pools of memory
        default: *to = 0;
    }
    return SUCCESS;
}
CUresult cuGetErrorName(int code, const char **to) {
    *to = error_text(code).first;
    return SUCCESS;
}
CUresult cuGetErrorString(int code, const char **to) {
    *to = error_text(code).second;
    return SUCCESS;
}
// NVRTC asks for a table of its own, and goes without it.
CUresult cuGetExportTable(const void **table, const void *) {
    *table = nullptr;
    return NOT_FOUND;
}

// Contexts, streams, events

CUresult cuDevicePrimaryCtxRetain(void **to, int device) {
    CALL;
    if (device < 0 || device >= device_count) return INVALID_DEVICE;
    *to = &devices[device];
    return SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
CUresult cuDevicePrimaryCtxRelease(int) { return SUCCESS; }
CUresult cuCtxSetCurrent(void *context) {
    CALL;
    current = (Device *)context;
    return SUCCESS;
}
CUresult cuCtxGetCurrent(void **to) {
    *to = current;
    return SUCCESS;
}
CUresult cuCtxGetDevice(int *to) {
    CALL;
    if (!current) return INVALID_CONTEXT;
    *to = int(current - devices.data());
    return SUCCESS;
}
CUresult cuCtxSynchronize() {
    CALL;
    return wait("context", 0);
}
CUresult cuStreamCreate(void **to, unsigned) {
    CALL;
    if (!current) return INVALID_CONTEXT;
    *to = new Stream{++streams};
    note("stream %u", streams);
    return SUCCESS;
}
CUresult cuStreamCreateWithPriority(void **to, unsigned flags, int) { return cuStreamCreate(to, flags); }
CUresult cuStreamDestroy_v2(void *stream) {
    CALL;
    delete (Stream *)stream;
    return SUCCESS;
}
CUresult cuStreamSynchronize(void *stream) {
    CALL;
    return wait("stream", id_of(stream));
}
CUresult cuStreamWaitEvent(void *stream, void *event, unsigned) {
    CALL;
    note("wait stream %u event %u", id_of(stream), ((Event *)event)->id);
    return SUCCESS;
}
CUresult cuEventCreate(void **to, unsigned) {
    CALL;
    *to = new Event{++events};
    return SUCCESS;
}
CUresult cuEventRecord(void *event, void *stream) {
    CALL;
    note("record stream %u event %u", id_of(stream), ((Event *)event)->id);
    return SUCCESS;
}
CUresult cuEventSynchronize(void *event) {
    CALL;
    return wait("event", ((Event *)event)->id);
}
CUresult cuEventQuery(void *) {
    CALL;
    return SUCCESS;
}
CUresult cuEventDestroy_v2(void *event) {
    CALL;
    delete (Event *)event;
    return SUCCESS;
}
CUresult cuEventElapsedTime(float *milliseconds, void *, void *) {
    CALL;
    *milliseconds = 0.001f;
    return SUCCESS;
}
CUresult cuEventElapsedTime_v2(float *milliseconds, void *start, void *end) {
    SINCE(12080);
    return cuEventElapsedTime(milliseconds, start, end);
}

// Memory

static char *map(size_t size) {
    void *at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? nullptr : (char *)at;
}

// Each allocation ends less than 512 bytes before a page that nobody may touch, and begins behind another.
static CUresult allocate(CUdeviceptr *to, size_t size) {
    CALL;
    if (!current) return INVALID_CONTEXT;
    if (!size) return INVALID_VALUE;
    if (current->live + size > memory_limit) {
        note("alloc %zu refused live=%llu", size, (unsigned long long)current->live);
        return OUT_OF_MEMORY;
    }
    const size_t page = 4096, aligned = (size + 511) / 512 * 512, pages = (aligned + page - 1) / page * page;
    char *mapped = map(pages + 2 * page);
    if (!mapped) return OUT_OF_MEMORY;
    mprotect(mapped, page, PROT_NONE);
    mprotect(mapped + page + pages, page, PROT_NONE);
    char *at = mapped + page + pages - aligned;
    if (poison) memset(at, 0xff, size);  // Not a number, in every format of floats.
    device_memory[(CUdeviceptr)at] = {size, current, mapped, pages + 2 * page};
    current->live += size;
    if (current->live > current->peak) current->peak = current->live;
    allocations++;
    *to = (CUdeviceptr)at;
    note("alloc %zu live=%llu", size, (unsigned long long)current->live);
    return SUCCESS;
}
static CUresult release(CUdeviceptr at) {
    CALL;
    auto found = device_memory.find(at);
    if (found == device_memory.end()) return INVALID_VALUE;
    Memory &memory = found->second;
    munmap(memory.mapped, memory.mapped_size);
    memory.device->live -= memory.size;
    note("free %zu live=%llu", memory.size, (unsigned long long)memory.device->live);
    device_memory.erase(found);
    return SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr *to, size_t size) { return allocate(to, size); }
CUresult cuMemAllocAsync(CUdeviceptr *to, size_t size, void *) { return allocate(to, size); }
CUresult cuMemFree_v2(CUdeviceptr at) { return release(at); }
CUresult cuMemFreeAsync(CUdeviceptr at, void *) { return release(at); }
CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
    CALL;
    if (!current) return INVALID_CONTEXT;
    *total = memory_total;
    *free = memory_limit > current->live ? memory_limit - current->live : 0;
    return SUCCESS;
}
CUresult cuMemAllocHost_v2(void **to, size_t size) {
    CALL;
    char *at = map(size);
    if (!at) return OUT_OF_MEMORY;
    pinned_memory[at] = size;
    pinned += size;
    if (pinned > pinned_peak) pinned_peak = pinned;
    *to = at;
    note("alloc_host %zu", size);
    return SUCCESS;
}
CUresult cuMemHostAlloc(void **to, size_t size, unsigned) { return cuMemAllocHost_v2(to, size); }
CUresult cuMemFreeHost(void *at) {
    CALL;
    auto found = pinned_memory.find(at);
    if (found == pinned_memory.end()) return INVALID_VALUE;
    munmap(at, found->second);
    pinned -= found->second;
    pinned_memory.erase(found);
    return SUCCESS;
}

// Whether `size` bytes from `at` lie in one allocation of the device.
static bool inside(CUdeviceptr at, size_t size) {
    auto after = device_memory.upper_bound(at);
    if (after == device_memory.begin()) return false;
    --after;
    return at + size <= after->first + after->second.size;
}
static CUresult outside(const char *what, size_t size) {
    note("%s %zu out of bounds", what, size);
    fprintf(stderr, "stand-in: a copy (%s) of %zu bytes leaves its allocation\n", what, size);
    return broken = ILLEGAL_ADDRESS;
}
static void count_copy(bool up, size_t size, void *stream) {
    (up ? uploads : downloads)++;
    (up ? upload_bytes : download_bytes) += size;
    note("%s %zu stream %u", up ? "upload" : "download", size, id_of(stream));
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, void *stream) {
    CALL;
    if (!inside(to, size)) return outside("upload", size);
    memcpy((void *)to, from, size);
    count_copy(true, size, stream);
    return SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, void *stream) {
    CALL;
    if (!inside(from, size)) return outside("download", size);
    memcpy(to, (void *)from, size);
    if (size == 4 && scalar && !*(int *)to) memcpy(to, &scalar, 4);
    count_copy(false, size, stream);
    return SUCCESS;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, void *stream) {
    CALL;
    if (!inside(from, size) || !inside(to, size)) return outside("copy", size);
    memmove((void *)to, (void *)from, size);
    note("copy %zu stream %u", size, id_of(stream));
    return SUCCESS;
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) {
    return cuMemcpyHtoDAsync_v2(to, from, size, nullptr);
}
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) {
    return cuMemcpyDtoHAsync_v2(to, from, size, nullptr);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, void *stream) {
    CALL;
    if (!inside(to, size)) return outside("memset", size);
    memset((void *)to, value, size);
    note("memset %zu stream %u", size, id_of(stream));
    return SUCCESS;
}
struct Copy2D {  // CUDA_MEMCPY2D; a type of 1 is the host, 2 the device
    size_t from_x, from_y;
    int from_type;
    const char *from_host;
    CUdeviceptr from_device;
    void *from_array;
    size_t from_pitch, to_x, to_y;
    int to_type;
    char *to_host;
    CUdeviceptr to_device;
    void *to_array;
    size_t to_pitch, width, height;
};
CUresult cuMemcpy2DAsync_v2(const Copy2D *copy, void *stream) {
    CALL;
    bool up = copy->to_type == 2, down = copy->from_type == 2;
    const char *from = down ? (const char *)copy->from_device : copy->from_host;
    char *to = up ? (char *)copy->to_device : copy->to_host;
    from += copy->from_y * copy->from_pitch + copy->from_x;
    to += copy->to_y * copy->to_pitch + copy->to_x;
    size_t rows = copy->height ? copy->height - 1 : 0, size = copy->width * copy->height;
    if (size && up && !inside((CUdeviceptr)to, rows * copy->to_pitch + copy->width)) return outside("upload", size);
    if (size && down && !inside((CUdeviceptr)from, rows * copy->from_pitch + copy->width))
        return outside("download", size);
    for (size_t y = 0; y < copy->height; y++)
        memcpy(to + y * copy->to_pitch, from + y * copy->from_pitch, copy->width);
    count_copy(up, size, stream);
    return SUCCESS;
}

// Modules and launches

// The newest PTX that a driver takes, as 10 * major + minor.
static int newest_ptx() {
    int major = version / 1000, minor = version % 1000 / 10;
    if (major == 11) return 70 + minor;
    if (major == 12) return 80 + (minor < 6 ? minor : minor - 1);
    return 90 + minor;
}
CUresult cuModuleLoadData(void **to, const void *image) {
    CALL;
    Module *module = new Module{(int)modules++, (const char *)image, nullptr};
    const std::string &ptx = module->ptx;
    int ptx_major = 0, ptx_minor = 0;
    size_t at = ptx.find(".version ");
    if (at != std::string::npos) sscanf(ptx.c_str() + at, ".version %d.%d", &ptx_major, &ptx_minor);
    std::string name = "unnamed";
    at = ptx.find(".entry ");
    if (at != std::string::npos) name = ptx.substr(at + 7, ptx.find_first_of("( \n", at + 7) - at - 7);
    note("module %d bytes=%zu ptx=%d.%d %s", module->id, ptx.size(), ptx_major, ptx_minor, name.c_str());
    if (!ptx_dir.empty()) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "/%04d_", module->id);
        if (FILE *file = fopen((ptx_dir + prefix + name.substr(0, 150) + ".ptx").c_str(), "w")) {
            fwrite(ptx.data(), 1, ptx.size(), file);
            fclose(file);
        }
    }
    if (ptx_major * 10 + ptx_minor > newest_ptx()) {
        delete module;
        return UNSUPPORTED_PTX_VERSION;
    }
    if (execute_load && execute_load(ptx.c_str(), &module->code)) note("module %d cannot be executed", module->id);
    *to = module;
    return SUCCESS;
}
// The numbers of the parameters that may be pointers.
static std::vector<unsigned> pointers(const std::string &signature) {
    std::vector<unsigned> found;
    unsigned index = 0;
    for (size_t at = 0; (at = signature.find(".param ", at)) != std::string::npos; at += 7, index++)
        if (signature.compare(at + 7, 4, ".u64") == 0) found.push_back(index);
    return found;
}
// The bytes of each array that a launch takes, from its first byte to the end of its allocation.
static std::string array_bytes(const Function *function, void **params) {
    std::string sizes;
    for (unsigned index : function->pointers) {
        const CUdeviceptr pointer = *(CUdeviceptr *)params[index];
        auto next = device_memory.upper_bound(pointer);
        if (next == device_memory.begin()) continue;
        auto &[start, memory] = *std::prev(next);
        if (pointer - start < memory.size) sizes += (sizes.empty() ? "" : ",") + std::to_string(memory.size - (pointer - start));
    }
    return sizes;
}
CUresult cuModuleUnload(void *) { return SUCCESS; }
CUresult cuModuleGetFunction(void **to, void *module, const char *name) {
    CALL;
    const std::string &ptx = ((Module *)module)->ptx;
    const size_t at = ptx.find(std::string(".entry ") + name + "(");
    if (at == std::string::npos) return NOT_FOUND;
    *to = new Function{name, (Module *)module, 0, pointers(ptx.substr(at, ptx.find(')', at) - at))};
    return SUCCESS;
}
CUresult cuFuncSetAttribute(void *function, int attribute, int value) {
    CALL;
    if (attribute != 8) return SUCCESS;  // 8: the most dynamic shared memory
    if (value < 0 || (unsigned)value > shared_limit()) return INVALID_VALUE;
    ((Function *)function)->dynamic_shared = value;
    return SUCCESS;
}
CUresult cuFuncGetAttribute(int *to, int, void *) {
    *to = 0;
    return SUCCESS;
}
CUresult cuLaunchKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **params, void **) {
    CALL;
    Function *function = (Function *)handle;
    const unsigned grid[3] = {grid_x, grid_y, grid_z}, block[3] = {block_x, block_y, block_z};
    launches++;
    note("launch %s grid=%u,%u,%u block=%u,%u,%u shared=%u stream=%u module=%d arrays=%s", function->name.c_str(), grid_x,
         grid_y, grid_z, block_x, block_y, block_z, shared, id_of(stream), function->module->id,
         log_file ? array_bytes(function, params).c_str() : "");
    uint64_t threads = (uint64_t)block_x * block_y * block_z;
    if (!grid_x || !grid_y || !grid_z || grid_x > 2147483647 || grid_y > 65535 || grid_z > 65535 || !threads ||
        threads > 1024 || block_x > 1024 || block_y > 1024 || block_z > 64) {
        note("invalid launch");
        return INVALID_VALUE;
    }
    if (shared > 49152 && shared > function->dynamic_shared) {
        note("invalid launch: shared memory");
        return INVALID_VALUE;
    }
    for (auto &cost : costs)
        if (function->name.find(cost.first) != std::string::npos) {
            queued_microseconds += cost.second;
            break;
        }
    if (broken_code && launches >= broken_after) {
        broken = broken_code;
        return SUCCESS;  // A launch does not wait for its kernel: the next call says what became of it.
    }
    if (execute_run) {
        if (log_file) fflush(log_file);
        if (execute_run(function->module->code, function->name.c_str(), grid, block, shared, params))
            return broken = LAUNCH_FAILED;
    }
    return SUCCESS;
}

// Tensor maps: checked as the driver checks them. The executor reads what is kept in them.
static CUresult encode(void *to, TensorMap map, uint64_t address, const uint64_t *dim, const uint64_t *stride,
                       const unsigned *element) {
    CALL;
    static const unsigned bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4}, swizzle_bytes[] = {1u << 30, 32, 64, 128};
    if (capability < 90) return NOT_SUPPORTED;
    bool good = map.rank >= 1 && map.rank <= 5 && address % 16 == 0 && (uint64_t)to % 64 == 0;
    for (unsigned i = 0; good && i < map.rank; i++) {
        good = dim[i] && dim[i] <= 1ull << 32 && element[i] && element[i] <= 8;
        if (i) good = good && stride[i - 1] % 16 == 0 && stride[i - 1] < 1ull << 40;
        if (!map.im2col) good = good && map.box[i] && map.box[i] <= 256;
        if (!good) break;
        map.dim[i] = dim[i];
        map.element[i] = (uint8_t)element[i];
        if (i) map.stride[i - 1] = stride[i - 1];
    }
    // The box of the first tap must not be empty.
    for (int i = 0; good && map.im2col && i < map.rank - 2; i++) good = (int64_t)map.dim[i + 1] + map.upper[i] > map.lower[i];
    map.size = (uint8_t)(map.type < 13 ? bytes[map.type] : 1);
    if (good && !map.interleave) {
        unsigned row = (map.im2col ? map.channels : map.box[0]) * map.size;
        good = (map.im2col || row % 16 == 0) && (map.swizzle > 3 || row <= swizzle_bytes[map.swizzle]);
    }
    note("tensor map type=%d rank=%u%s%s", map.type, map.rank, map.im2col ? " im2col" : "", good ? "" : " invalid");
    memset(to, 0, 128);
    if (!good) return INVALID_VALUE;
    map.address = address;
    memcpy(map.mark, tensor_map_mark, sizeof map.mark);
    memcpy(to, &map, sizeof map);
    return SUCCESS;
}
static TensorMap tensor_map(int type, unsigned rank, int interleave, int swizzle, int fill) {
    TensorMap map = {};
    map.rank = (uint8_t)(rank > 5 ? 0 : rank);
    map.type = (uint8_t)type;
    map.interleave = (uint8_t)interleave;
    map.swizzle = (uint8_t)swizzle;
    map.fill = (uint8_t)fill;
    return map;
}
CUresult cuTensorMapEncodeTiled(void *to, int type, unsigned rank, void *address, const uint64_t *dim,
                                const uint64_t *stride, const unsigned *box, const unsigned *element, int interleave,
                                int swizzle, int, int fill) {
    SINCE(12000);
    TensorMap map = tensor_map(type, rank, interleave, swizzle, fill);
    for (unsigned i = 0; i < map.rank; i++) map.box[i] = (uint16_t)(box[i] > 256 ? 0 : box[i]);
    return encode(to, map, (uint64_t)address, dim, stride, element);
}
// NVIDIA's text gives the corners as {D, H, W}, yet CUTLASS and CubeCL pass W first, as the other arrays have it.
CUresult cuTensorMapEncodeIm2col(void *to, int type, unsigned rank, void *address, const uint64_t *dim,
                                 const uint64_t *stride, const int *lower, const int *upper, unsigned channels,
                                 unsigned pixels, const unsigned *element, int interleave, int swizzle, int, int fill) {
    SINCE(12000);
    if (rank < 3 || rank > 5 || !channels || channels > 256 || !pixels || pixels > 1024) return INVALID_VALUE;
    TensorMap map = tensor_map(type, rank, interleave, swizzle, fill);
    const int limit = rank == 3 ? 32768 : rank == 4 ? 128 : 16;
    map.im2col = 1;
    map.channels = (uint16_t)channels;
    map.pixels = (uint16_t)pixels;
    for (unsigned i = 0; i < rank - 2; i++) {
        if (lower[i] < -limit || lower[i] >= limit || upper[i] < -limit || upper[i] >= limit) return INVALID_VALUE;
        map.lower[i] = (int16_t)lower[i];
        map.upper[i] = (int16_t)upper[i];
    }
    return encode(to, map, (uint64_t)address, dim, stride, element);
}
CUresult cuTensorMapEncodeIm2colWide(void *, int, unsigned, void *, const uint64_t *, const uint64_t *, int, int,
                                     unsigned, unsigned, const unsigned *, int, int, int, int, int) {
    SINCE(12080);
    return NOT_SUPPORTED;
}

}  // extern "C"
