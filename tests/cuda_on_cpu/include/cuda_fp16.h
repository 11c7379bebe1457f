// Host twin of CUDA's header: 16-bit numbers as kernels use them, stored, and turned from and to float.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// A float whose lower bits are cut off, rounded to nearest, ties to even; EXPONENT bits of exponent, MANTISSA of mantissa.
template <int EXPONENT, int MANTISSA>
struct SixteenBits {
    uint16_t bits;

    SixteenBits() = default;
    explicit SixteenBits(uint16_t bits) : bits(bits) {}

    explicit SixteenBits(float x) {
        constexpr int BIAS = (1 << (EXPONENT - 1)) - 1;
        const uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinity = ((1 << EXPONENT) - 1) << MANTISSA;
        const double size = std::fabs(double(x));
        if (std::isnan(x)) {
            bits = sign | infinity | (1 << (MANTISSA - 1));
            return;
        }
        if (std::isinf(x) || size == 0) {
            bits = sign | (size == 0 ? 0 : infinity);
            return;
        }
        int exponent = std::ilogb(size);
        if (exponent < 1 - BIAS) exponent = 1 - BIAS;  // denormal
        double steps = std::nearbyint(std::ldexp(size, MANTISSA - exponent));  // 2^MANTISSA is 1.0
        const long number = long(steps) + (long(exponent + BIAS - 1) << MANTISSA);
        bits = sign | (number >= infinity ? infinity : uint16_t(number));
    }

    operator float() const {
        constexpr int BIAS = (1 << (EXPONENT - 1)) - 1;
        const int exponent = (bits >> MANTISSA) & ((1 << EXPONENT) - 1), mantissa = bits & ((1 << MANTISSA) - 1);
        const float sign = bits & 0x8000 ? -1.f : 1.f;
        if (exponent == (1 << EXPONENT) - 1) return mantissa ? NAN : sign * INFINITY;
        if (exponent == 0) return sign * std::ldexp(float(mantissa), 1 - BIAS - MANTISSA);
        return sign * std::ldexp(float(mantissa + (1 << MANTISSA)), exponent - BIAS - MANTISSA);
    }
};

using __half = SixteenBits<5, 10>;
