/** Arithmetic on vectors of four f32 that WebAssembly has no instruction for. */

/** (a + b) + (c + d) */
export function sumLanes(v: v128): f32 {
  const first = f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)
  return first + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
}

/** NaN if a lane is NaN. */
export function largestLane(v: v128): f32 {
  const first = max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1))
  return max(first, max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)))
}

/**
 * tanh(x), NaN where x is not finite.
 *
 * As in Cephes' tanhf: below 0.625 the odd polynomial x + x³ · p(x²), above it by the exponential, here of -2|x| so that it needs no
 * bound.
 */
export function tanh4(x: v128): v128 {
  const size = f32x4.abs(x)
  const e = exp4(f32x4.mul(size, f32x4.splat(-2)))
  const one = f32x4.splat(1)
  const large = f32x4.div(f32x4.sub(one, e), f32x4.add(one, e))
  const square = f32x4.mul(size, size)
  let p = f32x4.splat(-5.70498872745e-3)
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(2.06390887954e-2))
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(-5.37397155531e-2))
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(1.33314422036e-1))
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(-3.33332819422e-1))
  const small = f32x4.add(f32x4.mul(f32x4.mul(p, square), size), size)
  const positive = v128.bitselect(small, large, f32x4.lt(size, f32x4.splat(0.625)))
  const sign = v128.and(x, f32x4.splat(-0.0))
  // The exponential overlooks a NaN.
  return f32x4.add(v128.or(positive, sign), f32x4.mul(x, f32x4.splat(0)))
}

/**
 * e^x for x ≤ 0. 0 below -87, where the result would be subnormal, and for NaN.
 *
 * x = n · ln 2 + r with ln 2 in two parts (Cody and Waite), e^r by a polynomial of degree 7 whose coefficients are those of
 * Cephes' expf, then 2^n through the exponent bits.
 */
export function exp4(x: v128): v128 {
  const normal = f32x4.gt(x, f32x4.splat(-87))
  x = f32x4.max(x, f32x4.splat(-87))
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(Math.LOG2E as f32)))
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)))
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.1219444e-4)))
  let p = f32x4.splat(1.98756915e-4)
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1))
  p = f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r), f32x4.splat(1))
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23)
  return v128.and(f32x4.mul(p, power), normal)
}
