/** RLE Lossless (PS3.5 Annex G): byte planes, most significant first, each packed by PackBits. */

/**
 * @param {Buffer} frame native pixels, little endian
 * @param {number} bytesPerSample 1 or 2
 * @param {number} samples per pixel, interleaved
 * @returns {Buffer} one frame, header included
 */
export function encodeRle(frame, bytesPerSample, samples = 1) {
  const stride = bytesPerSample * samples;
  const segments = [];
  for (let sample = 0; sample < samples; sample += 1) {
    for (let byte = bytesPerSample - 1; byte >= 0; byte -= 1) {
      const plane = Buffer.alloc(frame.length / stride);
      for (let at = 0; at < plane.length; at += 1)
        plane[at] = frame[at * stride + sample * bytesPerSample + byte];
      const packed = packBits(plane);
      segments.push(packed.length % 2 === 0 ? packed : Buffer.concat([packed, Buffer.alloc(1)]));
    }
  }
  const header = Buffer.alloc(64);
  header.writeUInt32LE(segments.length, 0);
  let offset = 64;
  segments.forEach((segment, index) => {
    header.writeUInt32LE(offset, 4 + 4 * index);
    offset += segment.length;
  });
  return Buffer.concat([header, ...segments]);
}

function packBits(plane) {
  const out = Buffer.alloc(plane.length + Math.ceil(plane.length / 128) + 1);
  let to = 0;
  const runAt = (at) => {
    let length = 1;
    while (length < 128 && at + length < plane.length && plane[at + length] === plane[at]) length += 1;
    return length;
  };
  for (let at = 0; at < plane.length; ) {
    const run = runAt(at);
    if (run >= 3) {
      out[to++] = 257 - run;
      out[to++] = plane[at];
      at += run;
      continue;
    }
    let length = run;
    while (length < 128 && at + length < plane.length && runAt(at + length) < 3) length += 1;
    out[to++] = length - 1;
    plane.copy(out, to, at, at + length);
    to += length;
    at += length;
  }
  return out.subarray(0, to);
}
