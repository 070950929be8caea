// Small functions on numbers.

export function clamped(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// Return the largest magnitude, by which the values can be divided: 1 if all are 0.
export function largestOf(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
}

// Return pixels from 0 to 255 as numbers from 0 to 1.
export function fractionsOf(pixels) {
  return Float64Array.from(pixels, (pixel) => pixel / 255);
}
