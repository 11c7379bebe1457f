// 2-D pooling: one thread for each number that is made, neighbouring threads on neighbouring channels.
//
// Max pooling keeps the winner's number in its window, one byte. Its gradient is then gathered: every input asks the
// windows that cover it whether it has won. No atomics, and each array is read once but for overlapping windows, whose
// numbers the cache still has.
#include "windows.cuh"

extern "C" __global__ void max_forward(const T* __restrict__ x, T* __restrict__ y, WINNER* __restrict__ winner,
                                       const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    const int top = at.h * g.rows.stride - g.rows.before, left = at.w * g.columns.stride - g.columns.before;
    T best = 0;
    int won = -1;
    for (int r = max(0, -top); r < g.rows.taps && top + r < g.rows.size; ++r)
        for (int s = max(0, -left); s < g.columns.taps && left + s < g.columns.size; ++s) {
            const T value =
                x[((INDEX(at.n) * g.rows.size + top + r) * g.columns.size + left + s) * g.channels + at.c];
            // The first of equals wins; so does the first NaN, over all numbers.
            if (won < 0 || value > best || (value != value && best == best)) best = value, won = r * g.columns.taps + s;
        }
    y[i] = best;
    winner[i] = WINNER(won);
}

extern "C" __global__ void max_backward(const T* __restrict__ dy, const WINNER* __restrict__ winner, T* __restrict__ dx,
                                        const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    T sum = 0;
    for (int p = first_window(at.h, g.rows); p <= last_window(at.h, g.rows); ++p)
        for (int q = first_window(at.w, g.columns); q <= last_window(at.w, g.columns); ++q) {
            const INDEX window = ((INDEX(at.n) * g.rows.out + p) * g.columns.out + q) * g.channels + at.c;
            const int r = at.h + g.rows.before - p * g.rows.stride, s = at.w + g.columns.before - q * g.columns.stride;
            if (winner[window] == WINNER(r * g.columns.taps + s)) sum += dy[window];
        }
    dx[i] = sum;
}

// How many of a window's taps lie inside the image, along one axis.
__device__ __forceinline__ int real_taps(int window, const Window& axis) {
    const int begin = window * axis.stride - axis.before;
    return min(begin + axis.taps, axis.size) - max(begin, 0);
}

extern "C" __global__ void average_forward(const T* __restrict__ x, T* __restrict__ y, const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    const int top = at.h * g.rows.stride - g.rows.before, left = at.w * g.columns.stride - g.columns.before;
    Sum sum = 0;
    for (int h = max(0, top); h < min(top + g.rows.taps, g.rows.size); ++h)
        for (int w = max(0, left); w < min(left + g.columns.taps, g.columns.size); ++w)
            sum += x[((INDEX(at.n) * g.rows.size + h) * g.columns.size + w) * g.channels + at.c];
    y[i] = sum / Sum(real_taps(at.h, g.rows) * real_taps(at.w, g.columns));
}

extern "C" __global__ void average_backward(const T* __restrict__ dy, T* __restrict__ dx, const Windows g,
                                            const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    Sum sum = 0;
    for (int p = first_window(at.h, g.rows); p <= last_window(at.h, g.rows); ++p)
        for (int q = first_window(at.w, g.columns); q <= last_window(at.w, g.columns); ++q)
            sum += dy[((INDEX(at.n) * g.rows.out + p) * g.columns.out + q) * g.channels + at.c] /
                   Sum(real_taps(p, g.rows) * real_taps(q, g.columns));
    dx[i] = sum;
}
