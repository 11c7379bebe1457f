// Windows that slide over images, for kernels with one thread for each number that they make.
#pragma once

// One spatial axis: window p covers positions p * stride - before + tap * dilation of an axis of that size.
struct Window {
    int size, out, taps, stride, dilation, before;
};

struct Windows {
    Window rows, columns;
    int batch, channels, multiplier;
    Divisor by_channels, by_columns, by_rows;  // of the array that is made
};

// A number's place in an array (n, h, w, c).
struct Place {
    int n, h, w, c;
};

__device__ __forceinline__ Place place_of(INDEX i, const Windows& g) {
    // Numbers of elements may need 64 bits; what is left after the channels is the number of a position, which fits.
    const Quotient channel = sizeof(INDEX) == 4 ? divide(int(i), g.by_channels)
                                                : Quotient{int(i / g.by_channels.number), int(i % g.by_channels.number)};
    const Quotient line = divide(channel.quotient, g.by_columns), row = divide(line.quotient, g.by_rows);
    return {row.quotient, row.remainder, line.remainder, channel.remainder};
}

// The windows [first, last] that cover a position, for an axis without dilation.
__device__ __forceinline__ int first_window(int position, const Window& axis) {
    const int from = position + axis.before - axis.taps + axis.stride;
    return from > 0 ? from / axis.stride : 0;
}

__device__ __forceinline__ int last_window(int position, const Window& axis) {
    return min((position + axis.before) / axis.stride, axis.out - 1);
}
