// Exact arithmetic. Prices and large volumes arrive as text, because a float cannot hold all of their digits.
const DIGITS = 8;
const LARGEST_VOLUME = 2n ** 63n - 1n;

/** Parse a decimal's text into units of 10^-8. */
export function scaled(text) {
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const units = BigInt(whole + fraction.padEnd(DIGITS, "0").slice(0, DIGITS));
  return negative ? -units : units;
}

/** Format units of 10^-8 without trailing zeros, but with at least two decimals. */
export function text(units) {
  const digits = (units < 0n ? -units : units).toString().padStart(DIGITS + 1, "0");
  const fraction = digits.slice(-DIGITS).replace(/0+$/, "").padEnd(2, "0");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -DIGITS)}.${fraction}`;
}

export const larger = (one, other) => (scaled(one) >= scaled(other) ? one : other);
export const smaller = (one, other) => (scaled(one) <= scaled(other) ? one : other);

/** Return the sum of two volumes as the server sends it: text if a number would not be exact, null beyond 64 bits. */
export function sum(one, other) {
  if (one === null || other === null) return null;
  const both = BigInt(one) + BigInt(other);
  if (both > LARGEST_VOLUME) return null;
  return both > Number.MAX_SAFE_INTEGER ? both.toString() : Number(both);
}

/** Return the change from one price to another, and the percentage with two decimals. */
export function changed(from, to) {
  const [first, now] = [scaled(from), scaled(to)];
  return { change: text(now - first), percent: (Number((now - first) * 1000000n / first) / 10000).toFixed(2) };
}
