// Adding up rows at places that may be the same. Atomic additions would do it in whatever order the blocks run, and
// give other bits in every run. So the rows are sorted by their places first, and one thread for each number of the
// result adds up what is its own, in the order of the rows.

// rows (M, D); order (M,) are the numbers of the rows, sorted by place; those of place p are order[starts[p]] to
// order[starts[p + 1] - 1].
extern "C" __global__ void add_rows(const T* __restrict__ rows, const long long* __restrict__ order,
                                    const long long* __restrict__ starts, T* __restrict__ total, const int depth,
                                    const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const INDEX place = i / depth;
    Sum sum = 0;
    for (long long k = starts[place]; k < starts[place + 1]; ++k) sum += rows[order[k] * depth + i % depth];
    total[i] = sum;
}
