/**
 * What every way of moving envelopes promises, see src/transport/transport.ts. Each implementation runs this suite
 * against the real thing behind it. The place is set up once and shared by all tests, as it would be in a hospital:
 * each test has envelopes of its own and looks at nothing else.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { archiveName, claimName, partName, refusedName } from '../../src/transport/exchange-names.js';
import type { Pace } from '../../src/transport/pace.js';
import type {
  Inbox,
  Outbox,
  OutgoingEnvelope,
  PutOptions,
  WaitingEnvelope,
} from '../../src/transport/transport.js';
import { until } from '../support/until.js';
import { codeOf } from '../unit/jmix/support/sealing.js';
import { archiveOf, type EnvelopeChoice, makeSealedEnvelope } from './sealed-envelopes.js';

export interface TransportUnderTest {
  /** Puts what `receiver` and `rival` find. */
  readonly sender: Outbox;
  readonly receiver: Inbox;
  /** A second bridge that empties the same inbox. */
  readonly rival: Inbox;
  /** Sender and receiver ids of the envelopes, where they are routed by them. */
  readonly addresses?: { readonly senderId: string; readonly receiverId: string };
  /** Whether the place knows what came first, finer than by the second; true when absent. */
  readonly knowsOrder?: boolean;
  /** Whether a put goes on where an earlier one broke; true when absent. */
  readonly resumesPut?: boolean;
  /** Names that lie in the inbox, sub folders aside, where one can look. */
  files?(): Promise<readonly string[]>;
  /** Puts a file into the inbox behind the transport's back. */
  plant?(name: string, bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

const MIB = 1024 * 1024;
const NOBODY = '0badc0de0badc0de';
const NOT_YOURS: readonly (string | undefined)[] = ['ENVELOPE_CLAIMED', 'ENVELOPE_NOT_FOUND'];

/** @param options `isOpen` is false for a place that nobody can look into, which has neither `files` nor `plant` */
export function transportConformance(
  name: string,
  setUp: () => Promise<TransportUnderTest>,
  { isOpen = true }: { readonly isOpen?: boolean } = {},
): void {
  describe(`transport: ${name}`, () => {
    let place: TransportUnderTest;
    let root: string;
    let scratch: string;
    let made: OutgoingEnvelope[] = [];
    const signal = new AbortController().signal;

    beforeAll(async () => {
      root = await mkdtemp(join(tmpdir(), 'transport-'));
      place = await setUp();
    }, 120_000);

    afterAll(async () => {
      await place?.close();
      await rm(root, { recursive: true, force: true });
    });

    beforeEach(async () => {
      scratch = await mkdtemp(join(root, 'test-'));
    });

    afterEach(async () => {
      for (const { id } of made) {
        await place.receiver.acknowledge(id, 'taken', signal).catch(() => undefined);
        await place.rival.acknowledge(id, 'taken', signal).catch(() => undefined);
      }
      made = [];
      await rm(scratch, { recursive: true, force: true });
    });

    const envelope = async (bytes: number, choice: Partial<EnvelopeChoice> = {}) => {
      const folder = await mkdtemp(join(scratch, 'sealed-'));
      const sealed = await makeSealedEnvelope(folder, { bytes, ...place.addresses, ...choice });
      made.push(sealed);
      return sealed;
    };
    const put = (sealed: OutgoingEnvelope, options: Partial<PutOptions> = {}) =>
      place.sender.put(sealed, { signal, ...options });
    /** Of what an inbox lists, that which this test has made. */
    const listed = async (inbox: Inbox): Promise<readonly WaitingEnvelope[]> => {
      const all = await inbox.list({ signal });
      return all.filter(({ id }) => made.some((one) => one.id === id));
    };
    const idsIn = async (inbox: Inbox) => (await listed(inbox)).map(({ id }) => id);
    const waiting = async (sealed: OutgoingEnvelope): Promise<WaitingEnvelope> => {
      const found = (await listed(place.receiver)).find(({ id }) => id === sealed.id);
      if (found === undefined) throw new Error('the envelope is not listed');
      return found;
    };
    const newFile = () => join(scratch, `taken-${randomUUID()}`);
    /** Takes what was put, and expects it byte for byte. */
    const takeWhole = async (inbox: Inbox, sealed: OutgoingEnvelope, file = newFile()): Promise<number> => {
      let arrived = 0;
      const onBytes = (count: number) => {
        arrived += count;
      };
      await inbox.take(await waiting(sealed), file, { signal, onBytes });
      await expectWhole(file, sealed);
      return arrived;
    };

    describe('put', () => {
      it('refuses another envelope under an id that is taken, and keeps the first', async () => {
        const first = await envelope(4_000);
        const sameSize = await envelope(4_000, { id: first.id });
        const larger = await envelope(9_000, { id: first.id });
        await put(first);
        expect(await codeOf(put(sameSize))).toBe('ENVELOPE_EXISTS');
        expect(await codeOf(put(larger))).toBe('ENVELOPE_EXISTS');
        await takeWhole(place.receiver, first);
      });

      it('stopped before it begins, sends nothing', async () => {
        const sealed = await envelope(1_000);
        expect(await codeOf(put(sealed, { signal: AbortSignal.abort() }))).toBe('CANCELLED');
        expect(await idsIn(place.receiver)).toEqual([]);
      });

      it('stopped half-way, shows nothing, and the next one goes on and completes it', async () => {
        const sealed = await envelope(20 * MIB);
        const { length } = await archiveOf(sealed);
        const stop = new AbortController();
        let sent = 0;
        let told = 0;
        const first = put(sealed, {
          signal: stop.signal,
          onBytes: (count) => {
            sent += count;
            if (sent > 12 * MIB) stop.abort();
          },
          onSent: async () => {
            told += 1;
          },
        });
        expect(await codeOf(first)).toBe('CANCELLED');
        expect(told).toBe(0);
        expect(await idsIn(place.receiver)).toEqual([]);

        let again = 0;
        await put(sealed, {
          onBytes: (count) => {
            again += count;
          },
        });
        expect(sent + again).toBeGreaterThanOrEqual(length);
        if (place.resumesPut ?? true) expect(again).toBeLessThan(length);
        else expect(again).toBe(length);
        await takeWhole(place.receiver, sealed);
      });

      it('says once that the last byte has left, and waits for whoever notes it, before it resolves', async () => {
        const sealed = await envelope(100_001);
        const events: string[] = [];
        let sent = 0;
        let sentWhenTold = 0;
        await put(sealed, {
          onBytes: (count) => {
            sent += count;
          },
          onSent: async () => {
            sentWhenTold = sent;
            events.push('noting');
            await nextTurn();
            events.push('noted');
          },
        });
        events.push('resolved');
        const { length } = await archiveOf(sealed);
        expect(events).toEqual(['noting', 'noted', 'resolved']);
        expect({ sent, sentWhenTold }).toEqual({ sent: length, sentWhenTold: length });
      });

      it('sends every byte through the pace of the peer', async () => {
        const sealed = await envelope(300_001);
        const pace = countingPace();
        await put(sealed, { pace });
        expect(pace.bytes()).toBe((await archiveOf(sealed)).length);
      });

      it('is harmless when it has been put before, or taken already', async () => {
        const sealed = await envelope(5_000);
        await put(sealed);
        await put(sealed);
        expect(await idsIn(place.receiver)).toEqual([sealed.id]);
        await takeWhole(place.receiver, sealed);
        await put(sealed);
        expect(await idsIn(place.receiver)).toEqual([sealed.id]);
        await place.receiver.acknowledge(sealed.id, 'taken', signal);
        await put(sealed);
      });

      it('does several at once', async () => {
        const several = [await envelope(1), await envelope(700_000), await envelope(70_000)];
        await Promise.all(several.map((sealed) => put(sealed)));
        for (const sealed of several) await takeWhole(place.receiver, sealed);
      });
    });

    describe('probe', () => {
      it('tells nothing, this very envelope, and another one under its id apart', async () => {
        const sealed = await envelope(4_000);
        const other = await envelope(4_000, { id: sealed.id });
        expect(await place.sender.probe(sealed, signal)).toBe('absent');
        await put(sealed);
        expect(await place.sender.probe(sealed, signal)).toBe('same');
        expect(await place.sender.probe(other, signal)).toBe('other');
      });

      it('finds one that is being taken, or nothing, but never another one', async () => {
        const sealed = await envelope(4_000);
        await put(sealed);
        await takeWhole(place.receiver, sealed);
        expect(['same', 'absent']).toContain(await place.sender.probe(sealed, signal));
        await place.receiver.acknowledge(sealed.id, 'taken', signal);
        expect(['same', 'absent']).toContain(await place.sender.probe(sealed, signal));
      });

      it('ends when it is stopped', async () => {
        const sealed = await envelope(10);
        expect(await codeOf(place.sender.probe(sealed, AbortSignal.abort()))).toBe('CANCELLED');
      });
    });

    describe('list', () => {
      it('ends when it is stopped', async () => {
        expect(await codeOf(place.receiver.list({ signal: AbortSignal.abort() }))).toBe('CANCELLED');
      });

      const whenOpen = isOpen ? it : () => undefined;
      whenOpen('has no half-written, foreign, refused or claimed file, and leaves them alone', async () => {
        const { plant, files } = place;
        if (plant === undefined || files === undefined) throw new Error('the place cannot be looked into');
        const [part, refused, claimed] = [await envelope(10), await envelope(10), await envelope(10)];
        const sealed = await envelope(10);
        const foreign = [
          'README.txt',
          'holiday.JMIX.tar',
          `${sealed.id}.tar`,
          `${sealed.id}.JMIX.tar.gz`,
          `${sealed.id}.JMIX.tar.taking-nobody`,
          `.${sealed.id}.JMIX.tar`,
          `${randomUUID().toUpperCase()}.JMIX.tar`,
          partName(part.id),
          refusedName(refused.id),
          claimName(claimed.id, NOBODY),
        ];
        for (const file of foreign) await plant.call(place, file, Buffer.from('not yours'));
        await put(sealed);
        expect(await idsIn(place.receiver)).toEqual([sealed.id]);
        await takeWhole(place.receiver, sealed);
        await place.receiver.acknowledge(sealed.id, 'taken', signal);
        expect(await files.call(place)).toEqual(expect.arrayContaining(foreign));
      });

      it('has what came first in front, each with the size of its archive', async () => {
        const several = [await envelope(0), await envelope(70_001), await envelope(300), await envelope(5)];
        const expected: WaitingEnvelope[] = [];
        for (const sealed of several) {
          await put(sealed);
          await nextTick();
          expected.push({ id: sealed.id, sizeBytes: (await archiveOf(sealed)).length });
        }
        const found = await listed(place.receiver);
        if (place.knowsOrder ?? true) expect(found).toEqual(expected);
        else expect(new Set(found)).toEqual(new Set(expected));
      });

      it('answers without waiting when something is there, and ends its waiting when nothing comes', async () => {
        const sealed = await envelope(10);
        await place.receiver.list({ signal, waitMs: 1 });
        await put(sealed);
        const found = await place.receiver.list({ signal, waitMs: 600_000 });
        expect(found.map(({ id }) => id)).toContain(sealed.id);
      });
    });

    describe('take', () => {
      it('finds nothing when it is not there', async () => {
        const nothing = { id: newId(), sizeBytes: 1_000 };
        expect(await codeOf(place.receiver.take(nothing, newFile(), { signal }))).toBe('ENVELOPE_NOT_FOUND');
      });

      it('does not call whole what has another size than announced, and leaves it to be taken', async () => {
        const sealed = await envelope(5_000);
        await put(sealed);
        const { id, sizeBytes } = await waiting(sealed);
        const wrong = { id, sizeBytes: sizeBytes + 512 };
        expect(await codeOf(place.receiver.take(wrong, newFile(), { signal }))).toBe('ENVELOPE_INCOMPLETE');
        await takeWhole(place.receiver, sealed);
      });

      it.each([
        ['there is no place', () => join(scratch, 'no', 'such', 'folder')],
        // Opens, and has no space for anything.
        ['the disk is full', () => '/dev/full'],
      ])('says so when %s on this side, and leaves it to be taken', async (_cause, file) => {
        const sealed = await envelope(300_000);
        await put(sealed);
        const taking = place.receiver.take(await waiting(sealed), file(), { signal });
        expect(await codeOf(taking)).toBe('SPOOL_WRITE_FAILED');
        await takeWhole(place.receiver, sealed);
      });

      it('stopped half-way, goes on with the missing bytes only', async () => {
        const sealed = await envelope(20 * MIB);
        await put(sealed);
        const { sizeBytes } = await waiting(sealed);
        const file = newFile();
        const stop = new AbortController();
        let arrived = 0;
        const first = place.receiver.take(await waiting(sealed), file, {
          signal: stop.signal,
          onBytes: (count) => {
            arrived += count;
            if (arrived > 5 * MIB) stop.abort();
          },
        });
        expect(await codeOf(first)).toBe('CANCELLED');
        const { size } = await stat(file);
        expect(size).toBeLessThan(sizeBytes);
        expect(await takeWhole(place.receiver, sealed, file)).toBe(sizeBytes - size);
      });

      it.each([0, 1, 4_095, 65_537, MIB + 1, 20 * MIB])('brings %i bytes as they were put', async (bytes) => {
        const sealed = await envelope(bytes);
        await put(sealed);
        const { sizeBytes } = await waiting(sealed);
        expect(await takeWhole(place.receiver, sealed)).toBe(sizeBytes);
      });

      it('behind a file that has the beginning already, brings the rest', async () => {
        const sealed = await envelope(100_000);
        await put(sealed);
        const whole = await archiveOf(sealed);
        for (const there of [1, 511, 70_000, whole.length - 1, whole.length]) {
          const file = newFile();
          await writeFile(file, whole.subarray(0, there));
          expect(await takeWhole(place.receiver, sealed, file)).toBe(whole.length - there);
        }
      });

      it('empties a file that is longer than the archive', async () => {
        const sealed = await envelope(10_000);
        await put(sealed);
        const file = newFile();
        const { sizeBytes } = await waiting(sealed);
        await writeFile(file, Buffer.alloc(sizeBytes + 1, 'x'));
        expect(await takeWhole(place.receiver, sealed, file)).toBe(sizeBytes);
      });

      it('takes every byte through the pace of the peer', async () => {
        const sealed = await envelope(300_001);
        await put(sealed);
        const pace = countingPace();
        const envelopeThere = await waiting(sealed);
        await place.receiver.take(envelopeThere, newFile(), { signal, pace });
        expect(pace.bytes()).toBe(envelopeThere.sizeBytes);
      });

      it('can be done again with what is claimed but not acknowledged, as after a crash', async () => {
        const sealed = await envelope(10_000);
        await put(sealed);
        await takeWhole(place.receiver, sealed);
        expect(await idsIn(place.receiver)).toEqual([sealed.id]);
        await takeWhole(place.receiver, sealed);
      });

      it('is not for a rival once it is claimed, nor is its end', async () => {
        const sealed = await envelope(10_000);
        await put(sealed);
        const seen = await waiting(sealed);
        await takeWhole(place.receiver, sealed);
        expect(await idsIn(place.rival)).toEqual([]);
        expect(NOT_YOURS).toContain(await codeOf(place.rival.take(seen, newFile(), { signal })));
        await place.rival.acknowledge(sealed.id, 'taken', signal);
        await place.rival.acknowledge(sealed.id, 'refused', signal);
        await takeWhole(place.receiver, sealed);
      });

      it('is won by exactly one of two that race', async () => {
        for (let round = 0; round < 5; round += 1) {
          const sealed = await envelope(2_000);
          await put(sealed);
          const seen = await waiting(sealed);
          const files = [newFile(), newFile()] as const;
          const codes = await Promise.all([
            codeOf(place.receiver.take(seen, files[0], { signal })),
            codeOf(place.rival.take(seen, files[1], { signal })),
          ]);
          const [winner, loser] = codes[0] === undefined ? [0, codes[1]] : [1, codes[0]];
          expect(codes[winner]).toBeUndefined();
          expect(NOT_YOURS).toContain(loser);
          await expectWhole(files[winner as 0 | 1], sealed);
        }
      });
    });

    describe('acknowledge', () => {
      it('ends when it is stopped', async () => {
        const ending = place.receiver.acknowledge(newId(), 'taken', AbortSignal.abort());
        expect(await codeOf(ending)).toBe('CANCELLED');
      });

      it('is harmless for what is not there, and when it is repeated', async () => {
        await place.receiver.acknowledge(newId(), 'taken', signal);
        await place.receiver.acknowledge(newId(), 'refused', signal);
        const sealed = await envelope(10);
        await put(sealed);
        await takeWhole(place.receiver, sealed);
        await place.receiver.acknowledge(sealed.id, 'taken', signal);
        await place.receiver.acknowledge(sealed.id, 'taken', signal);
        await place.receiver.acknowledge(sealed.id, 'refused', signal);
      });

      it.each(['taken', 'refused'] as const)('of what was %s, removes it for everybody', async (outcome) => {
        const [sealed, bystander] = [await envelope(10), await envelope(10)];
        await put(sealed);
        await put(bystander);
        const seen = await waiting(sealed);
        await takeWhole(place.receiver, sealed);
        await place.receiver.acknowledge(sealed.id, outcome, signal);
        expect(await idsIn(place.receiver)).toEqual([bystander.id]);
        expect(await idsIn(place.rival)).toEqual([bystander.id]);
        for (const inbox of [place.receiver, place.rival]) {
          expect(await codeOf(inbox.take(seen, newFile(), { signal }))).toBe('ENVELOPE_NOT_FOUND');
        }
        if (place.files === undefined) return;
        const left = (await place.files()).filter((file) => file.includes(sealed.id));
        expect(left).toEqual(outcome === 'refused' ? [refusedName(sealed.id)] : []);
        expect(await place.files()).toContain(archiveName(bystander.id));
      });
    });
  });
}

async function expectWhole(file: string, sealed: OutgoingEnvelope): Promise<void> {
  // Not toEqual, which would print megabytes.
  expect((await readFile(file)).equals(await archiveOf(sealed))).toBe(true);
}

/** Places note times by ticks of some milliseconds. */
async function nextTick(): Promise<void> {
  const startMs = Date.now();
  await until(() => Date.now() > startMs + 20, { everyMs: 5 });
}

function newId(): EnvelopeId {
  return parseEnvelopeId(randomUUID());
}

/** Holds nothing up, and knows how much has passed. */
function countingPace(): Pace & { bytes(): number } {
  let bytes = 0;
  return {
    bytesPerSecond: Number.MAX_SAFE_INTEGER,
    bytes: () => bytes,
    limiter: () =>
      new Transform({
        transform(chunk: Buffer, _encoding, done) {
          bytes += chunk.length;
          done(null, chunk);
        },
      }),
  };
}
