// What the kernels share. It is put in front of each of them as text.
//
// T is the type of the arrays, INDEX that of element numbers: int, and long long from 2^31 elements on.
#pragma once

#ifdef __CUDACC_RTC__  // elsewhere, in tests/cuda_on_cpu, a host twin stands for this

// A block's shared memory, of as many bytes as the launch asks for.
template <class S>
__device__ __forceinline__ S& shared() {
    extern __shared__ __align__(16) unsigned char shared_memory[];
    return *reinterpret_cast<S*>(shared_memory);
}

#endif

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

template <class A, class B, bool FIRST>
struct Either {
    using type = A;
};

template <class A, class B>
struct Either<A, B, false> {
    using type = B;
};

// Sums of 16-bit and float32 numbers are kept in float32, those of float64 in float64.
using Sum = Either<float, T, sizeof(T) == 2>::type;

// Division by a number that is known at launch, as a multiplication and a shift; right for 0 <= n < 2^31.
// Source: Granlund and Montgomery 1994, Division by Invariant Integers using Multiplication.
struct Divisor {
    unsigned number, multiplier, shift;
};

struct Quotient {
    int quotient, remainder;
};

__device__ __forceinline__ Quotient divide(int n, const Divisor& by) {
    const unsigned q = by.number == 1 ? unsigned(n) : __umulhi(unsigned(n), by.multiplier) >> by.shift;
    return {int(q), int(unsigned(n) - q * by.number)};
}

// The number of this thread among all of a launch with one axis.
__device__ __forceinline__ INDEX thread_number() { return INDEX(blockIdx.x) * INDEX(blockDim.x) + INDEX(threadIdx.x); }

// Several neighbours that are read or written at once.
template <class V, int N>
struct __align__(sizeof(V) * N) Pack {
    V at[N];
};

#ifdef PACK

// An array as packs of neighbours. It begins at a multiple of their size.
__device__ __forceinline__ Pack<T, PACK>* packs(T* of) { return reinterpret_cast<Pack<T, PACK>*>(of); }
__device__ __forceinline__ const Pack<T, PACK>* packs(const T* of) { return reinterpret_cast<const Pack<T, PACK>*>(of); }

#endif

// The sum over a warp, in every lane; always in the same order.
template <class V>
__device__ __forceinline__ V warp_sum(V value) {
    for (int other = WARP / 2; other > 0; other /= 2) value += __shfl_xor_sync(ALL_LANES, value, other);
    return value;
}
