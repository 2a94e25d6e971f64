/**
 * The test envelope: what two sites send each other when they have been paired. It is sealed and signed like any other,
 * and its receipt proves that keys, certificates and the way between them are in order. It holds no study.
 */

/** The only file of its payload, next to metadata.json. Its text is for people. */
export const PAIRING_TEST_FILE = 'files/drawbridge-pairing.txt';

export function pairingTestText(from: string, to: string): string {
  return `This envelope tests the pairing of ${from} and ${to}. It holds no study.\n`;
}
