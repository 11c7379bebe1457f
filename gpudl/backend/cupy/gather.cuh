// What all kernels share that make an image's numbers from another's: the numbers that describe them, the loader of the
// convolution's kernel, and how results are written.
//
// WHOLE says that the depth of each tap is whole steps of BK. Then a step has one tap, which is the same for all threads.
#pragma once
#include "tiles.cuh"

// Neighbouring columns that one lane holds and may write at once, where rows of the result begin at multiples of them.
constexpr int STORE = COLUMN_PACK < KERNEL_WIDTH ? COLUMN_PACK : KERNEL_WIDTH;

template <class V>
__device__ __forceinline__ void store(V* to, const V (&values)[STORE]) {
    constexpr int AT_ONCE = STORE * sizeof(V) > 16 ? 16 / sizeof(V) : STORE;
#pragma unroll
    for (int j = 0; j < STORE; j += AT_ONCE) {
        Pack<V, AT_ONCE> pack;
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) pack.at[k] = values[j + k];
        *reinterpret_cast<Pack<V, AT_ONCE>*>(to + j) = pack;
    }
}

// An image that is read, the positions something is made for, and which taps lead from one to the other: position p of
// the rows reads row p * stride + tap * step + base.
struct Axis {
    int size, out, taps, stride, step, base;
    int tap_stride, tap_base;    // tap i is row tap_base + i * tap_stride of the kernel
    int to_size, to_stride, to_base;  // position p is written to row p * to_stride + to_base of an image of that size
};

struct Gather {
    Axis rows, columns;
    int batch, channels, filters, groups;  // channels of the image that is read, filters of what is written
    int kernel_columns;
    Divisor by_columns, by_rows, by_depth, by_taps;  // positions in a row, rows, channels of a group, taps in a row
};

// What a thread copies of a matrix whose columns are the filters of a group: always the same KERNEL_WIDTH columns, of EACH
// rows in a tile.
struct Filters {
    static constexpr int CHUNKS = BN / KERNEL_WIDTH, EACH = BK * CHUNKS / THREADS;
    static_assert(EACH * THREADS == BK * CHUNKS && THREADS % CHUNKS == 0);
    int n, filter;  // the column in the tile, and which filter that is
    bool real;

    __device__ __forceinline__ Filters(const Gather& g, int group, int first) : n(threadIdx.x % CHUNKS * KERNEL_WIDTH) {
        const int each = g.filters / g.groups;
        filter = group * each + first + n;
        real = first + n < each;
    }

    __device__ __forceinline__ static int row(int i) { return (threadIdx.x + i * THREADS) / CHUNKS; }
};

#ifdef GATHER

// The kernel's numbers: rows of the matrix are (r, s, c), columns the filters of a group.
struct Taps : Filters {
    const T* kernel;
    const Gather& g;
    int depth;

    __device__ __forceinline__ Taps(const T* kernel, const Gather& g, int group, int first, int depth)
        : Filters(g, group, first), kernel(kernel), g(g), depth(depth) {}

    // Where row `at` of the matrix lies, in rows of the kernel.
    __device__ __forceinline__ INDEX line(int at) const {
        const Quotient tap = divide(at, g.by_depth), place = divide(tap.quotient, g.by_taps);
        const int r = place.quotient * g.rows.tap_stride + g.rows.tap_base;
        const int s = place.remainder * g.columns.tap_stride + g.columns.tap_base;
        return INDEX(r * g.kernel_columns + s) * g.by_depth.number + tap.remainder;
    }

    __device__ __forceinline__ void load(T* tile, int step) const {
        const INDEX first = WHOLE ? line(step * BK) : 0;  // the others follow
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int k = row(i), at = step * BK + k;
            const bool inside = real && (WHOLE || at < depth);
            const INDEX from = inside ? (WHOLE ? first + k : line(at)) * g.filters + filter : 0;
            copy_async<KERNEL_WIDTH * int(sizeof(T))>(tile + b_place(k, n), kernel + from, inside);
        }
    }
};

// Write a row of a block's tile, with bias and ReLU: one position's filters, of those of a group from `first` on.
__device__ __forceinline__ void write_row(T* to, const Sum (&sums)[COLUMNS], const T* bias, int first, int each) {
#pragma unroll
    for (int j = 0; j < COLUMNS; j += STORE) {
        const int filter = first + column_in_tile(j);
        if (filter >= each) continue;
        T values[STORE];
#pragma unroll
        for (int k = 0; k < STORE; ++k) {
            Sum value = sums[j + k] + (bias ? Sum(bias[filter + k]) : Sum(0));
            if (RELU && value < 0) value = 0;  // NaN stays
            values[k] = T(value);
        }
        store(to + filter, values);
    }
}

#endif
