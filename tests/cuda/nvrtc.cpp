// A libnvrtc.so in front of NVIDIA's own, which $STAND_IN_NVRTC names: it times each compilation, keeps the source, and
// keeps the PTX, so that no kernel is compiled twice. README.md lists the variables.
#include "hash.h"
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

struct Program { std::string source, ptx; };  // `ptx` only where it comes from the cache

static std::mutex lock;
static std::map<void *, Program> programs;

static void *real(const char *name) {
    static void *library = [] {
        const char *path = getenv("STAND_IN_NVRTC");
        void *opened = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
        if (!opened) {
            fprintf(stderr, "stand-in: %s\n", path ? dlerror() : "STAND_IN_NVRTC names no NVRTC");
            _exit(99);
        }
        return opened;
    }();
    return dlsym(library, name);
}

static double seconds(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static bool read_file(const std::string &path, std::string &to) {
    FILE *file = fopen(path.c_str(), "r");
    if (!file) return false;
    char part[65536];
    to.clear();
    for (size_t n; (n = fread(part, 1, sizeof part, file));) to.append(part, n);
    fclose(file);
    return true;
}
// Written under another name first: another process never reads half a file.
static void write_file(const std::string &path, const std::string &text) {
    std::string part = path + "." + std::to_string(getpid());
    FILE *file = fopen(part.c_str(), "w");
    if (!file) return;
    bool good = fwrite(text.data(), 1, text.size(), file) == text.size();
    good = !fclose(file) && good;
    if (!good || rename(part.c_str(), path.c_str())) unlink(part.c_str());
}

// CubeCL declares types and variables in an order that changes from run to run. In the key their order does not count:
// that of whole types before the kernel, and that of variables declared one after the other.
static std::string in_order(const std::string &source) {
    const size_t kernel = source.find("extern \"C\" __global__");
    std::string key, item;
    std::vector<std::string> items;
    int depth = 0;
    auto flush = [&] {
        std::sort(items.begin(), items.end());
        for (auto &one : items) key += one;
        items.clear();
    };
    for (size_t at = 0; at < source.size();) {
        size_t end = std::min(source.find('\n', at), source.size());
        std::string line = source.substr(at, end - at) + '\n';
        if (at < kernel && kernel != std::string::npos) {
            for (char c : line) depth += (c == '{') - (c == '}');
            item += line;
            if (!depth) items.push_back(item), item.clear();
        } else if (line.find(" l_mut_") != std::string::npos && line.find_first_of("=([") == std::string::npos) {
            items.push_back(line);
        } else {
            flush();
            key += line;
        }
        at = end + 1;
    }
    flush();
    return key + item;
}

static std::string kernel_name(const std::string &source) {
    size_t at = source.find("__global__");
    while (at != std::string::npos && (at = source.find('(', at)) != std::string::npos) {
        size_t end = at;
        while (end > 0 && isspace(source[end - 1])) end--;
        size_t begin = end;
        while (begin > 0 && (isalnum(source[begin - 1]) || source[begin - 1] == '_')) begin--;
        std::string name = source.substr(begin, end - begin);
        if (name.rfind("__", 0) != 0) return name.substr(0, 150);  // not __launch_bounds__
        at = source.find(')', at);
    }
    return "unnamed";
}

#define FORWARD(type, name, parameters, arguments)   \
    extern "C" type name parameters {                \
        static auto f = (type(*) parameters)real(#name); \
        return f arguments;                          \
    }
FORWARD(int, nvrtcVersion, (int *major, int *minor), (major, minor))
FORWARD(const char *, nvrtcGetErrorString, (int code), (code))
FORWARD(int, nvrtcGetCUBINSize, (void *program, size_t *size), (program, size))
FORWARD(int, nvrtcGetCUBIN, (void *program, char *to), (program, to))
FORWARD(int, nvrtcGetProgramLogSize, (void *program, size_t *size), (program, size))
FORWARD(int, nvrtcGetProgramLog, (void *program, char *to), (program, to))
FORWARD(int, nvrtcAddNameExpression, (void *program, const char *name), (program, name))
FORWARD(int, nvrtcGetLoweredName, (void *program, const char *name, const char **to), (program, name, to))
FORWARD(int, nvrtcGetNumSupportedArchs, (int *count), (count))
FORWARD(int, nvrtcGetSupportedArchs, (int *to), (to))

extern "C" int nvrtcCreateProgram(void **program, const char *source, const char *name, int headers,
                                  const char *const *contents, const char *const *names) {
    static auto f = (decltype(&nvrtcCreateProgram))real("nvrtcCreateProgram");
    int failed = f(program, source, name, headers, contents, names);
    std::lock_guard<std::mutex> guard(lock);
    if (!failed) programs[*program] = {source, ""};
    return failed;
}
extern "C" int nvrtcDestroyProgram(void **program) {
    static auto f = (decltype(&nvrtcDestroyProgram))real("nvrtcDestroyProgram");
    {
        std::lock_guard<std::mutex> guard(lock);
        programs.erase(*program);
    }
    return f(program);
}
extern "C" int nvrtcGetPTXSize(void *program, size_t *size) {
    static auto f = (decltype(&nvrtcGetPTXSize))real("nvrtcGetPTXSize");
    std::lock_guard<std::mutex> guard(lock);
    const std::string &kept = programs[program].ptx;
    if (kept.empty()) return f(program, size);
    *size = kept.size();
    return 0;
}
extern "C" int nvrtcGetPTX(void *program, char *to) {
    static auto f = (decltype(&nvrtcGetPTX))real("nvrtcGetPTX");
    std::lock_guard<std::mutex> guard(lock);
    const std::string &kept = programs[program].ptx;
    if (kept.empty()) return f(program, to);
    memcpy(to, kept.data(), kept.size());
    return 0;
}

extern "C" int nvrtcCompileProgram(void *program, int count, const char *const *options) {
    static auto f = (decltype(&nvrtcCompileProgram))real("nvrtcCompileProgram");
    std::string source, path, ptx, spent;
    {
        std::lock_guard<std::mutex> guard(lock);
        source = programs[program].source;
    }
    if (const char *directory = getenv("STAND_IN_NVRTC_CACHE")) {
        int major = 0, minor = 0;
        nvrtcVersion(&major, &minor);
        std::string key = in_order(source) + std::to_string(major) + "." + std::to_string(minor);
        // Headers are those of the version, wherever they lie.
        for (int i = 0; i < count; i++)
            if (!strstr(options[i], "include-path")) key += std::string("\n") + options[i];
        path = std::string(directory) + "/" + hash(key);
    }
    double wall = 0, cpu = 0;
    int failed = 0;
    bool kept = !path.empty() && read_file(path + ".time", spent) && read_file(path + ".ptx", ptx);
    if (kept) {
        sscanf(spent.c_str(), "%lf %lf", &wall, &cpu);
    } else {
        wall = seconds(CLOCK_MONOTONIC);
        cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
        failed = f(program, count, options);
        wall = seconds(CLOCK_MONOTONIC) - wall;
        cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
        size_t size = 0;
        if (!failed && !path.empty() && !nvrtcGetPTXSize(program, &size) && size) {
            ptx.resize(size);
            nvrtcGetPTX(program, &ptx[0]);
            write_file(path + ".ptx", ptx);
            write_file(path + ".time", std::to_string(wall) + " " + std::to_string(cpu));
        }
    }

    std::lock_guard<std::mutex> guard(lock);
    if (kept) programs[program].ptx = ptx;
    static int number;
    static FILE *log_file = getenv("STAND_IN_NVRTC_LOG") ? fopen(getenv("STAND_IN_NVRTC_LOG"), "w") : nullptr;
    std::string name = kernel_name(source);
    if (log_file) {
        fprintf(log_file, "%d failed=%d kept=%d wall=%.4f cpu=%.4f bytes=%zu %s", number, failed, kept, wall, cpu,
                source.size(), name.c_str());
        for (int i = 0; i < count; i++) fprintf(log_file, " %s", options[i]);
        fputc('\n', log_file);
        fflush(log_file);
    }
    if (const char *directory = getenv("STAND_IN_SOURCES")) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "/%04d_", number);
        write_file(directory + (prefix + name) + ".cu", source);
    }
    number++;
    return failed;
}
