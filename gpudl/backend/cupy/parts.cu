// Sums of parts that blocks of their own have added up, as split products leave them.

// sum (size,) = parts (count, size) added up along the first axis, from the first to the last.
extern "C" __global__ void __launch_bounds__(256)
    add_parts(const T* __restrict__ parts, T* __restrict__ sum, const int count, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    Sum total = 0;
    for (int part = 0; part < count; ++part) total += parts[part * size + i];
    sum[i] = total;
}
