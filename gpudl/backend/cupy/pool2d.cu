// 2-D pooling: bandwidth. A thread makes PACK neighbouring channels of one position, up to 16 bytes, which it reads and
// writes at once; a row of channels is whole packs. Neighbouring threads have neighbouring packs.
//
// Max pooling keeps the winner's number in its window, one byte. Its gradient is then gathered: every input asks the
// windows that cover it whether it has won. No atomics, and each array is read once but for overlapping windows, whose
// numbers the cache still has.
#include "windows.cuh"

using Values = Pack<T, PACK>;
using Winners = Pack<WINNER, PACK>;

// Where a position's pack lies in an image of that size; `channels` counts packs.
__device__ __forceinline__ INDEX place_in(const Windows& g, int n, int h, int w, int height, int width, int c) {
    return ((INDEX(n) * height + h) * width + w) * g.channels + c;
}

extern "C" __global__ void max_forward(const Values* __restrict__ x, Values* __restrict__ y,
                                       Winners* __restrict__ winner, const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    const int top = at.h * g.rows.stride - g.rows.before, left = at.w * g.columns.stride - g.columns.before;
    Values best = {};
    Winners won = {};
    bool none = true;
    for (int r = max(0, -top); r < g.rows.taps && top + r < g.rows.size; ++r)
        for (int s = max(0, -left); s < g.columns.taps && left + s < g.columns.size; ++s) {
            const Values values = x[place_in(g, at.n, top + r, left + s, g.rows.size, g.columns.size, at.c)];
#pragma unroll
            for (int j = 0; j < PACK; ++j) {
                const T value = values.at[j];
                // The first of equals wins; so does the first NaN, over all numbers.
                if (none || value > best.at[j] || (value != value && best.at[j] == best.at[j]))
                    best.at[j] = value, won.at[j] = WINNER(r * g.columns.taps + s);
            }
            none = false;
        }
    y[i] = best;
    winner[i] = won;
}

extern "C" __global__ void max_backward(const Values* __restrict__ dy, const Winners* __restrict__ winner,
                                        Values* __restrict__ dx, const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    Values sum = {};
    const int last_p = last_window(at.h, g.rows), last_q = last_window(at.w, g.columns);
    for (int p = first_window(at.h, g.rows); p <= last_p; ++p)
        for (int q = first_window(at.w, g.columns); q <= last_q; ++q) {
            const INDEX window = place_in(g, at.n, p, q, g.rows.out, g.columns.out, at.c);
            const int r = at.h + g.rows.before - p * g.rows.stride, s = at.w + g.columns.before - q * g.columns.stride;
            const Winners won = winner[window];
            const Values slopes = dy[window];
#pragma unroll
            for (int j = 0; j < PACK; ++j)
                if (won.at[j] == WINNER(r * g.columns.taps + s)) sum.at[j] += slopes.at[j];
        }
    dx[i] = sum;
}

// How many of a window's taps lie inside the image, along one axis.
__device__ __forceinline__ int real_taps(int window, const Window& axis) {
    const int begin = window * axis.stride - axis.before;
    return min(begin + axis.taps, axis.size) - max(begin, 0);
}

extern "C" __global__ void average_forward(const Values* __restrict__ x, Values* __restrict__ y, const Windows g,
                                           const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    const int top = at.h * g.rows.stride - g.rows.before, left = at.w * g.columns.stride - g.columns.before;
    Pack<Sum, PACK> sum = {};
    for (int h = max(0, top); h < min(top + g.rows.taps, g.rows.size); ++h)
        for (int w = max(0, left); w < min(left + g.columns.taps, g.columns.size); ++w) {
            const Values values = x[place_in(g, at.n, h, w, g.rows.size, g.columns.size, at.c)];
#pragma unroll
            for (int j = 0; j < PACK; ++j) sum.at[j] += Sum(values.at[j]);
        }
    const Sum count = real_taps(at.h, g.rows) * real_taps(at.w, g.columns);
    Values mean;
#pragma unroll
    for (int j = 0; j < PACK; ++j) mean.at[j] = T(sum.at[j] / count);
    y[i] = mean;
}

extern "C" __global__ void average_backward(const Values* __restrict__ dy, Values* __restrict__ dx, const Windows g,
                                            const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    Pack<Sum, PACK> sum = {};
    const int last_p = last_window(at.h, g.rows), last_q = last_window(at.w, g.columns);
    for (int p = first_window(at.h, g.rows); p <= last_p; ++p)
        for (int q = first_window(at.w, g.columns); q <= last_q; ++q) {
            const Values slopes = dy[place_in(g, at.n, p, q, g.rows.out, g.columns.out, at.c)];
            const Sum count = real_taps(p, g.rows) * real_taps(q, g.columns);
#pragma unroll
            for (int j = 0; j < PACK; ++j) sum.at[j] += Sum(slopes.at[j]) / count;
        }
    Values slope;
#pragma unroll
    for (int j = 0; j < PACK; ++j) slope.at[j] = T(sum.at[j]);
    dx[i] = slope;
}
