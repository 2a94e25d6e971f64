/**
 * Opens an envelope while its bytes still come, as `open` and `verify` would: into scratch, where nobody looks, and to the
 * last check. Whatever goes wrong here is no judgement: the envelope is then received like any other, and judged by those
 * steps. Only for peers whose keys are pinned: what a stranger sends is opened by a process of its own.
 */
import { advanceReception, type Reception } from '../domain/reception.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { announcementsOf } from '../jmix/extensions.js';
import { readManifest } from '../jmix/manifest.js';
import type { OpenedEnvelope } from '../jmix/open.js';
import { renameDurably, syncTree } from '../spool/atomic.js';
import { discardFolder } from '../spool/envelope-store.js';
import { openScratch, type ScratchFolder } from '../spool/scratch.js';
import { createArrivingPayload } from './arriving-payload.js';
import { type InspectedInstance, inspectHead } from './inspect-instances.js';
import { type JudgedStudy, judgeStudy, verifiedEvent } from './judge-study.js';
import { openedEvent, openInto, trustIn } from './open.js';
import type { InboundParts } from './parts.js';
import { writeOpenedInstances } from './verify.js';

export interface OpeningAhead {
  /** The next bytes of the payload; resolves when they have been read. Never rejects. */
  show(piece: Buffer): Promise<void>;
  /** To be called when the whole envelope has come. @returns what was opened, if it was this envelope */
  opened(source: EnvelopeSource): Promise<OpenedAhead | undefined>;
  /** To be called in the end, whatever became of it: removes what was not placed. */
  close(): Promise<void>;
}

/** An envelope that was opened and verified, and of which no record tells yet. */
export interface OpenedAhead {
  /**
   * Gives the study its name, durably, with the list of its instances beside the record that is to come.
   * @returns the record that tells of it
   */
  place(reception: Reception): Promise<Reception>;
}

interface Found {
  readonly staging: ScratchFolder;
  readonly source: EnvelopeSource;
  readonly opened: OpenedEnvelope;
  readonly study: JudgedStudy;
}

/**
 * @param folder where the envelope's documents lie already
 * @param payload that comes next
 */
export function openAhead(
  parts: InboundParts,
  folder: string,
  { name, sizeBytes }: { readonly name: string; readonly sizeBytes: number },
  upload: AbortSignal,
): OpeningAhead {
  const closing = new AbortController();
  const signal = AbortSignal.any([upload, closing.signal]);
  const { payload, show, leave, end } = createArrivingPayload(name, sizeBytes);
  let staging: ScratchFolder | undefined;
  let finding: Promise<Found | undefined> | undefined;

  const find = async (): Promise<Found | undefined> => {
    try {
      const source = { ...(await openEnvelopeFolder(folder)), payload };
      const { id, sender, extensions } = readManifest(source.manifest);
      if ((await parts.receptions.read(id)) !== undefined) return undefined;
      await parts.keyNews.learn(sender.id, announcementsOf(extensions));
      const trust = trustIn(parts, sender.id);
      if (trust.kind !== 'pinned') return undefined;
      staging = await openScratch(parts.layout, 'open');
      const inspected = new Map<string, InspectedInstance>();
      const opened = await openInto(parts, staging.path, source, trust, signal, (file, head, fileBytes) => {
        const instance = inspectHead(file, head, fileBytes);
        if (instance !== undefined) inspected.set(file, instance);
        return undefined;
      });
      const study = await judgeStudy(parts, sender.id, staging.path, signal, inspected);
      await syncTree(staging.path);
      return { staging, source, opened, study };
    } catch (error) {
      if (!signal.aborted) parts.log.debug({ event: 'envelope.not_opened_ahead', reason: String(error) });
      return undefined;
    } finally {
      leave();
    }
  };

  return {
    show(piece) {
      // Not before: until then the payload's file is not there.
      finding ??= find();
      return show(piece);
    },
    async opened(source) {
      end();
      const found = await finding;
      if (found === undefined || !hasSameDocuments(found.source, source)) return undefined;
      return { place: (reception) => place(parts, found, reception) };
    },
    async close() {
      closing.abort();
      end();
      await finding;
      await staging?.remove();
    },
  };
}

async function place(
  parts: InboundParts,
  { staging, opened, study }: Found,
  reception: Reception,
): Promise<Reception> {
  const { id } = reception;
  const nowMs = parts.clock.now();
  // What a run left that died before its record.
  await discardFolder(parts.layout, parts.layout.openedOf(id));
  await staging.assertThere();
  await renameDurably(staging.path, parts.layout.openedOf(id));
  await writeOpenedInstances(parts, id, study.instances);
  const record = advanceReception(reception, openedEvent(parts, opened), nowMs);
  parts.log.info({ event: 'envelope.opened', reception: id, files: opened.files.length });
  if (study.blanked > 0)
    parts.log.warn({ event: 'preambles.blanked', reception: id, instances: study.blanked });
  return advanceReception(record, verifiedEvent(study), nowMs);
}

/** An archive may bring one of them behind the payload. */
function hasSameDocuments(one: EnvelopeSource, other: EnvelopeSource): boolean {
  const documents = ({ manifest, jws, audit }: EnvelopeSource) =>
    [manifest, jws, audit].map((bytes) => bytes?.toString('latin1'));
  return documents(one).join('\0') === documents(other).join('\0');
}
