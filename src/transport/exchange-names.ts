/**
 * What archives are called in places that others see, be it an FTPS server or a folder: `<id>.JMIX.tar`, with an ending
 * while it is not simply waiting. Names say nothing but the id. An OpenPGP message is called `<id>.JMIX.tar.gpg`, for the
 * partner's eyes: what it is, its first bytes say, and a bridge that takes it leaves the `.gpg` away.
 */
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { type ArchiveMediaType, OPENPGP_MEDIA_TYPE } from '../jmix/archive-media-type.js';

const ARCHIVE = '.JMIX.tar';
const OPENPGP = '.gpg';

/** `<id>.JMIX.tar`, or `<id>.JMIX.tar.gpg`: whole, and waiting to be taken. */
export function archiveName(id: EnvelopeId, mediaType?: ArchiveMediaType): string {
  return `${id}${ARCHIVE}${mediaType === OPENPGP_MEDIA_TYPE ? OPENPGP : ''}`;
}

/** Every name that a waiting archive may have. */
export function archiveNames(id: EnvelopeId): readonly string[] {
  return [archiveName(id), archiveName(id, OPENPGP_MEDIA_TYPE)];
}

/** `<id>.JMIX.tar.part`, or `<id>.JMIX.tar.gpg.part`: being put. */
export function partName(id: EnvelopeId, mediaType?: ArchiveMediaType): string {
  return `${archiveName(id, mediaType)}.part`;
}

/** `<id>.JMIX.tar.taking-<claimer>`: one bridge takes it, nobody else may. @param claimer 8 to 32 lower hex digits */
export function claimName(id: EnvelopeId, claimer: string): string {
  return `${archiveName(id)}.taking-${claimer}`;
}

/** `<id>.JMIX.tar.refused`: will never be accepted. */
export function refusedName(id: EnvelopeId): string {
  return `${archiveName(id)}.refused`;
}

/** What a name in an inbox means; undefined for a name that is none of ours. */
export type ExchangeEntry =
  | { readonly id: EnvelopeId; readonly state: 'waiting' | 'part' | 'refused' }
  | { readonly id: EnvelopeId; readonly state: 'claimed'; readonly claimer: string };

export function parseExchangeName(name: string): ExchangeEntry | undefined {
  const at = name.indexOf(ARCHIVE);
  const id = at < 0 ? name : name.slice(0, at);
  if (at < 0 || !isEnvelopeId(id)) return undefined;
  const ending = name.slice(at + ARCHIVE.length).replace(/^\.gpg(?=$|\.part$)/, '');
  if (ending === '') return { id, state: 'waiting' };
  if (ending === '.part') return { id, state: 'part' };
  if (ending === '.refused') return { id, state: 'refused' };
  const claimer = /^\.taking-([0-9a-f]{8,32})$/.exec(ending)?.[1];
  return claimer === undefined ? undefined : { id, state: 'claimed', claimer };
}
