// Every instruction that C++ has no word for: copies that run beside the computation, and the tensor cores' products.
#pragma once

#ifdef __CUDACC_RTC__  // elsewhere host twins stand for these: tests/cuda_on_cpu/instructions_on_cpu.hpp

// Begin to copy 4, 8 or 16 bytes from global to shared memory; where `inside` is false, zeros are written instead and
// nothing is read. Both addresses are multiples of BYTES. Before sm_80 the thread copies by itself.
template <int BYTES>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool inside) {
#if __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = inside ? BYTES : 0;
    if constexpr (BYTES == 16)  // past the first-level cache, which the shared memory takes its room from
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(address), "l"(from), "r"(bytes), "n"(BYTES)
                     : "memory");
#else
    struct __align__(BYTES) Bytes {
        unsigned words[BYTES / 4];
    };
    *static_cast<Bytes*>(to) = inside ? *static_cast<const Bytes*>(from) : Bytes{};
#endif
}

// End a group of copies: all that this thread has begun since the last call.
__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until at most GROUPS of this thread's groups of copies are under way.
template <int GROUPS>
__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#endif
}

// Round to TF32: 8 bits of exponent, 10 of mantissa, in the upper bits of a float.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}

// D += A B for a warp: A (16, 8) and B (8, 8) in TF32, D (16, 8) in float32. With g = lane / 4 and t = lane % 4 a lane
// holds A[g][t], A[g + 8][t], A[g][t + 4], A[g + 8][t + 4]; B[t][g], B[t + 4][g]; D[g][2t], D[g][2t + 1],
// D[g + 8][2t], D[g + 8][2t + 1]. Source: PTX ISA, mma.m16n8k8. From sm_80 on.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
