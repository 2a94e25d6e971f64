/** Pixels of the four kinds of image: CT slice, MR slice, CR projection, and a US loop. */
import { noiseFrom, randomFrom, valueAt } from './phantom.mjs';

/** One axial CT slice in stored values (Hounsfield units + 1024), 16 bit. @param {number} z -1 … 1 */
export function ctSlice(rows, z, seed) {
  const noise = noiseFrom(randomFrom(seed));
  return plane(rows, rows, (x, y) => Math.max(0, Math.round(valueAt('HU', x, y, z) + 1024 + 14 * noise())));
}

/** One coronal MR slice with a coil's fall-off. @param {number} y -1 … 1 */
export function mrSlice(rows, y, seed) {
  const noise = noiseFrom(randomFrom(seed));
  return plane(rows, rows, (x, v) => {
    const shade = 1.15 - 0.35 * (x * x + v * v);
    return Math.max(0, Math.round(valueAt('T1', x, y, -v) * shade + 18 * Math.abs(noise())));
  });
}

/** A frontal radiograph: attenuation summed along y; bones are bright. */
export function crProjection(rows, columns, seed) {
  const noise = noiseFrom(randomFrom(seed));
  const steps = 48;
  return plane(rows, columns, (x, v) => {
    let sum = 0;
    for (let step = 0; step < steps; step += 1) {
      sum += Math.max(0, valueAt('HU', x, -1 + (2 * (step + 0.5)) / steps, -v) + 1000);
    }
    const path = sum / (steps * 1000);
    return Math.round(Math.min(4095, Math.max(0, 4095 * (1 - Math.exp(-2.1 * path)) + 10 * noise())));
  });
}

/** A sector scan in which a chamber beats; 8 bit, one Buffer a frame. */
export function usLoop(rows, columns, frames, seed) {
  const loop = [];
  for (let frame = 0; frame < frames; frame += 1) {
    const random = randomFrom(seed * 1000 + 17);
    const beat = 0.16 + 0.045 * Math.sin((2 * Math.PI * frame) / frames);
    const pixels = Buffer.alloc(rows * columns);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const speckle = random() * random();
        const x = (column / columns - 0.5) * 1.7;
        const y = row / rows;
        const depth = Math.hypot(x, y + 0.12);
        if (Math.abs(Math.atan2(x, y + 0.12)) > 0.72 || depth < 0.16 || depth > 1.08) continue;
        pixels[row * columns + column] = Math.min(255, echo(x, y, depth, beat) * (0.35 + 1.3 * speckle));
      }
    }
    loop.push(pixels);
  }
  return loop;
}

function echo(x, y, depth, beat) {
  const wall = Math.hypot(x / 1.25, y - 0.55) - beat;
  if (wall < 0) return 10;
  if (wall < 0.055) return 190;
  if (Math.abs(y - 0.93 - 0.05 * Math.sin(4 * x)) < 0.014) return 230;
  return 95 * (1.15 - 0.6 * depth);
}

/** 16-bit little endian pixels of a function over -1 … 1. */
function plane(rows, columns, valueIn) {
  const pixels = Buffer.alloc(rows * columns * 2);
  for (let row = 0; row < rows; row += 1) {
    const v = (2 * (row + 0.5)) / rows - 1;
    for (let column = 0; column < columns; column += 1) {
      const x = (2 * (column + 0.5)) / columns - 1;
      pixels.writeUInt16LE(Math.min(65535, valueIn(x, v)), (row * columns + column) * 2);
    }
  }
  return pixels;
}
