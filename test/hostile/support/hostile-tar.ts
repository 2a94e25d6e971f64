/** Tar headers that no writer of ours makes. */
import { formatTarHeader, paddedSize } from '../../../src/jmix/tar-header.js';

/** A PAX extended header, with its records; `g` for a global one. */
export function paxHeader(records: Readonly<Record<string, string>>, type: 'x' | 'g' = 'x'): Buffer {
  const lines = Object.entries(records).map(([keyword, value]) => {
    const rest = ` ${keyword}=${value}\n`;
    let length = rest.length + 1;
    while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
    return `${length}${rest}`;
  });
  const content = Buffer.from(lines.join(''));
  const padding = Buffer.alloc(paddedSize(content.length) - content.length);
  return Buffer.concat([formatTarHeader('PaxHeader', content.length, type), content, padding]);
}
