/**
 * A thorax that nobody has: ellipsoids of skin, fat, muscle, lungs, heart, aorta, spine and ribs. Each answers for a
 * point what lies there, so that any plane and any projection can be cut from the same body.
 * Coordinates: x to the patient's left, y to the back, z to the head; the body fits in -1 … 1.
 */

/** Hounsfield units. */
const HU = {
  air: -1000,
  lung: -840,
  fat: -95,
  muscle: 55,
  blood: 45,
  heart: 62,
  bone: 700,
  marrow: 220,
  lesion: 30,
};
/** Relative T1 signal for the MR. */
const T1 = {
  air: 0,
  lung: 60,
  fat: 900,
  muscle: 380,
  blood: 120,
  heart: 420,
  bone: 40,
  marrow: 640,
  lesion: 520,
};

const ellipse = (x, y, cx, cy, rx, ry) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1;
const ellipsoid = (x, y, z, cx, cy, cz, rx, ry, rz) =>
  ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 <= 1;

/** What lies at a point. */
export function tissueAt(x, y, z) {
  const taper = 1 - 0.12 * Math.max(0, z) ** 2;
  if (!ellipse(x, y, 0, 0, 0.92 * taper, 0.62 * taper)) return 'air';
  const spine = spineAt(x, y, z);
  if (spine !== undefined) return spine;
  if (!ellipse(x, y, 0, 0, 0.86 * taper, 0.56 * taper)) return 'fat';
  if (ribAt(x, y, z, taper)) return 'bone';
  if (ellipsoid(x, y, z, -0.42, 0.1, 0.25, 0.045, 0.045, 0.05)) return 'lesion';
  if (ellipsoid(x, y, z, 0.14, -0.13, -0.28, 0.31, 0.26, 0.42)) {
    return ellipsoid(x, y, z, 0.17, -0.1, -0.3, 0.16, 0.13, 0.24) ? 'blood' : 'heart';
  }
  if (ellipse(x, y, 0.1, 0.28, 0.055, 0.055) && z < 0.55) return 'blood';
  if (ellipse(x, y, 0, 0.02, 0.045, 0.045) && z > 0.15) return 'air';
  for (const side of [-1, 1]) {
    if (ellipsoid(x, y, z, side * 0.42, 0.03, 0.05, 0.33, 0.42, 0.95)) {
      return vesselAt(x, y, z) ? 'muscle' : 'lung';
    }
  }
  return 'muscle';
}

function spineAt(x, y, z) {
  const phase = (((z * 6) % 1) + 1) % 1;
  if (ellipse(x, y, 0, 0.36, 0.12, 0.1) && phase > 0.14)
    return ellipse(x, y, 0, 0.36, 0.095, 0.078) ? 'marrow' : 'bone';
  if (ellipse(x, y, 0, 0.5, 0.045, 0.04)) return 'muscle';
  if (phase > 0.3 && phase < 0.75 && ellipse(x, y, 0, 0.53, 0.03, 0.07)) return 'bone';
  return undefined;
}

/** Ribs fall from the spine to the front. */
function ribAt(x, y, z, taper) {
  const radius = Math.hypot(x / (0.8 * taper), y / (0.5 * taper));
  if (radius < 0.95 || radius > 1.03 || y < -0.42) return false;
  const fall = z * 5.5 + y * 1.3;
  const phase = ((fall % 1) + 1) % 1;
  return phase < 0.34;
}

function vesselAt(x, y, z) {
  const lobe =
    Math.sin(17 * x + 3 * Math.sin(9 * z)) *
    Math.sin(15 * y + 2 * Math.cos(7 * z)) *
    Math.sin(13 * z + 5 * x);
  const centre = Math.hypot(Math.abs(x) - 0.2, y - 0.05, z * 0.4);
  return lobe > 0.83 + 0.1 * centre;
}

/** @param {'HU' | 'T1'} contrast */
export function valueAt(contrast, x, y, z) {
  return (contrast === 'HU' ? HU : T1)[tissueAt(x, y, z)];
}

/** A stream of numbers in 0 … 1 that is the same for the same seed (mulberry32). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Roughly normal, mean 0, deviation 1. */
export function noiseFrom(random) {
  return () => (random() + random() + random() + random() - 2) * 1.73;
}
