// Exact numbers: prices and large volumes come as text and stay exact; a float would not hold all of their digits.
const DIGITS = 8;
const LARGEST_VOLUME = 2n ** 63n - 1n;

/** The text of a decimal in units of 10^-8. */
export function scaled(text) {
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const units = BigInt(whole + fraction.padEnd(DIGITS, "0").slice(0, DIGITS));
  return negative ? -units : units;
}

/** Units of 10^-8 as text, without zeros that say nothing, two digits after the point at least. */
export function text(units) {
  const digits = (units < 0n ? -units : units).toString().padStart(DIGITS + 1, "0");
  const fraction = digits.slice(-DIGITS).replace(/0+$/, "").padEnd(2, "0");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -DIGITS)}.${fraction}`;
}

export const larger = (one, other) => (scaled(one) >= scaled(other) ? one : other);
export const smaller = (one, other) => (scaled(one) <= scaled(other) ? one : other);

/** The sum of two volumes as the server sends it: text where a number is not exact, null beyond 64 bits. */
export function sum(one, other) {
  if (one === null || other === null) return null;
  const both = BigInt(one) + BigInt(other);
  if (both > LARGEST_VOLUME) return null;
  return both > Number.MAX_SAFE_INTEGER ? both.toString() : Number(both);
}

/** The change from one price to another, and in percent with two decimals. */
export function changed(from, to) {
  const [first, now] = [scaled(from), scaled(to)];
  return { change: text(now - first), percent: (Number((now - first) * 1000000n / first) / 10000).toFixed(2) };
}
