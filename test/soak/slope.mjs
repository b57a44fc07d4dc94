// Is a series of samples flat? The judgement of the soak test, apart from it so that it can be
// tested: slope.test.mjs.

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The median of the slopes between all pairs (Theil and Sen): outliers do not move it. */
export function slope(points) {
  const slopes = [];
  for (let i = 0; i < points.length; i += 1) {
    for (let j = i + 1; j < points.length; j += 1) {
      slopes.push((points[j].y - points[i].y) / (points[j].x - points[i].x));
    }
  }
  return median(slopes);
}

const BUCKETS = 60; // enough for the slope, few enough for all pairs of them

/** Medians of parts of the series that are equally long. */
export function buckets(points) {
  const size = Math.max(1, Math.ceil(points.length / BUCKETS));
  const found = [];
  for (let at = 0; at < points.length; at += size) {
    const part = points.slice(at, at + size);
    found.push({ x: median(part.map((p) => p.x)), y: median(part.map((p) => p.y)) });
  }
  return found;
}

/** Growth over the series that is more than `perHour` and more than the series' own noise (its
 *  median distance from the line, four times) and `least`: {good, perHour, growth, allowed}.
 *  Points are {x: hours, y}. */
export function flatness(points, { perHour, least }) {
  const line = buckets(points);
  if (line.length < 8) return { good: false, perHour: NaN, growth: NaN, allowed: NaN };
  const rise = slope(line);
  const hours = line.at(-1).x - line[0].x;
  const middle = median(line.map((p) => p.y - rise * p.x));
  const noise = median(line.map((p) => Math.abs(p.y - rise * p.x - middle)));
  const growth = rise * hours;
  const allowed = perHour * hours + Math.max(least, 4 * noise);
  return { good: growth <= allowed, perHour: rise, growth, allowed };
}

/** The median of the last quarter against that of the first: {good, first, last}. */
export function steady(points, { factor, least }) {
  const quarter = Math.floor(points.length / 4);
  if (quarter < 2) return { good: false, first: NaN, last: NaN };
  const first = median(points.slice(0, quarter).map((p) => p.y));
  const last = median(points.slice(-quarter).map((p) => p.y));
  return { good: last <= Math.max(first * factor, first + least), first, last };
}
