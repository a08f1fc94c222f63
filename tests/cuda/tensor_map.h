// What the stand-in keeps in a tensor map: the 128 bytes that cuTensorMapEncode* fills and cp.async.bulk.tensor reads.
#pragma once
#include <stdint.h>

struct TensorMap {
    char mark[4];             // tells a tensor map from other bytes
    uint8_t rank, type, size, im2col, interleave, swizzle, fill;  // `size`: the bytes of an element
    uint64_t address, dim[5], stride[4];  // strides are in bytes; that of the first dimension is one element
    uint8_t element[5];       // each how many elements one is taken, beside the first dimension
    uint16_t box[5];          // of a tiled map
    int16_t lower[3], upper[3];  // of an im2col map, W first: the corners of where the first tap of the filter may be,
                                 // from the first and the last pixel
    uint16_t channels, pixels;
};
static_assert(sizeof(TensorMap) <= 128, "a tensor map has 128 bytes");
static const char tensor_map_mark[4] = {'T', 'M', 'A', '1'};
