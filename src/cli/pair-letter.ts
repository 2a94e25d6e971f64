/** `drawbridge pair` without a line: a request and an answer as files or QR codes. The bridge need not run. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { renderUnicodeCompact } from 'uqr';
import { type OfflineParts, readLetter, writeRequest } from '../compose/pairing-offline.js';
import { loadSettings } from '../config/load.js';
import { systemClock } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createLayout } from '../spool/layout.js';
import { parsePairingText } from '../trust/pairing-message.js';
import { ownCard, type PeerCard } from '../trust/peer-card.js';
import { readSiteKeys } from '../trust/site-keys.js';
import { configPath } from './config-option.js';
import { printResult } from './output.js';
import { askWhetherSame, formatPairing, isAttended, tell } from './pair-ask.js';
import type { PairOptions } from './pair-options.js';

/** ISO/IEC 18004, table 7: a code of version 40 with the lowest error correction holds so many bytes. */
const QR_MAX_BYTES = 2953;
/** A letter is a fifth of it; blanks and line ends of a mail come on top. */
const MAX_FILE_BYTES = 64 * 1024;

/** Writes our request to `out`. */
export async function requestByLetter(options: PairOptions, out: string): Promise<void> {
  const text = await writeRequest(await openParts(options));
  await writeLetter(options, out, text);
  printResult(
    options,
    { state: 'requested', request: resolve(out) },
    [
      `wrote ${resolve(out)}: it counts for seven days. Send it to the other site, where they run`,
      '    drawbridge pair --in request.txt --out answer.txt',
      'and read what comes back by',
      '    drawbridge pair --in answer.txt',
    ].join('\n'),
  );
}

/** Reads a letter of the other site, answers it if it is a request, and has the words compared. */
export async function readByLetter(options: PairOptions, path: string): Promise<void> {
  const parts = await openParts(options);
  const pairing = await readLetter(parts, parsePairingText(await readBounded(path)));
  const { peer, words, answer } = pairing;
  const { id, name, contact, url } = peer;
  const about = { peer: { id, name, contact, url }, words };
  if (answer !== undefined && options.out !== undefined) {
    await writeLetter(options, options.out, answer);
    tell(`wrote ${resolve(options.out)}: send it back, they read it by drawbridge pair --in answer.txt`);
  }
  const decision = options.refuse === true ? 'no' : (options.words ?? (await decide(options, peer, words)));
  if (decision === undefined) {
    const next =
      'If they are the same, this command again with --words "<the six words>"; if not, with --refuse.';
    const text = answer === undefined || options.out !== undefined ? '' : `Their answer:\n${answer}\n`;
    printResult(
      options,
      { state: 'comparing', ...about, ...(answer === undefined ? {} : { answer }) },
      `${formatPairing(about.peer, words)}\n${text}${next}`,
    );
    return;
  }
  if (decision === 'no') {
    await pairing.refuse();
    printResult(options, { state: 'refused', ...about }, `not paired with ${id}: its letter counts no more`);
    return;
  }
  await pairing.agree(decision);
  printResult(
    options,
    { state: 'paired', ...about },
    `paired with ${name} (${id})\n${nextStep(parts, peer)}`,
  );
}

/** The words when both screens show them, `no`, or undefined where nobody can be asked now. */
async function decide(options: PairOptions, peer: PeerCard, words: string): Promise<string | undefined> {
  if (!isAttended(options)) return undefined;
  tell(formatPairing(peer, words));
  tell('When the other site shows its words, answer; Ctrl-C leaves the question for later.');
  const answer = await askWhetherSame(new AbortController().signal);
  if (answer === 'left') return undefined;
  return answer === 'yes' ? words : 'no';
}

async function openParts(options: PairOptions): Promise<OfflineParts> {
  const settings = loadSettings(configPath(options), process.env);
  if (settings.role === 'hub') {
    throw new GatewayError('REQUEST_INVALID', 'a hub is not paired: its sites stand in its config');
  }
  const layout = createLayout(settings.dataDir);
  const keys = await readSiteKeys(layout.keys, settings);
  const own = { card: ownCard(settings, keys, options.host), signingKey: keys.signing.privateKey };
  return { settings, layout, own, clock: systemClock };
}

async function readBounded(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size <= MAX_FILE_BYTES) return await readFile(path, 'utf8');
  } catch (cause) {
    throw new GatewayError('REQUEST_INVALID', `the letter cannot be read: ${path}`, { cause });
  }
  throw new GatewayError('PAIRING_FAILED', `the letter is larger than ${MAX_FILE_BYTES} bytes: ${path}`);
}

async function writeLetter(options: PairOptions, path: string, text: string): Promise<void> {
  try {
    await writeFile(path, `${text}\n`);
  } catch (cause) {
    throw new GatewayError('REQUEST_INVALID', `the letter cannot be written: ${path}`, { cause });
  }
  if (isAttended(options) && text.length <= QR_MAX_BYTES) tell(renderUnicodeCompact(text, { ecc: 'L' }));
}

/** By letter nobody knows yet which way envelopes go, nor whether the other side has said yes too. */
function nextStep({ settings }: OfflineParts, { id, name, url }: PeerCard): string {
  const via = settings.peers.find((peer) => peer.id === id)?.via;
  const test = `When they have said yes too, and the bridge runs: drawbridge pair --test ${id}`;
  if (via !== undefined) return `It is reached via ${via}. ${test}`;
  const entry = `- { id: ${id}, name: ${JSON.stringify(name)}, via: <exchange> }`;
  return url === undefined
    ? `Nothing leads to it yet; in the config, under peers:\n    ${entry}\n${test}`
    : `It is reached at ${url}; if it cannot be called from here, in the config, under peers:\n    ${entry}\n${test}`;
}
