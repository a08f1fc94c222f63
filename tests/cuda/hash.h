// Names the files of both caches by what they hold.
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>

static std::string hash(const std::string &text) {  // FNV-1a, twice
    uint64_t a = 14695981039346656037ull, b = 1099511628211ull;
    for (unsigned char c : text) {
        a = (a ^ c) * 1099511628211ull;
        b = (b + c) * 6364136223846793005ull + 1442695040888963407ull;
    }
    char name[33];
    snprintf(name, sizeof name, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
    return name;
}
