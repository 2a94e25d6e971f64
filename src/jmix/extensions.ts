/**
 * `extensions` of the manifest (JMIX manifest, "extensions"): custom tags, consent and de-identification as the
 * specification has them, and `drawbridge`, where bridges of this kind tell each other what the specification has no
 * place for. Readable by everyone on the way, so nothing about a patient. Members that are not known here are kept.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictObject } from './strict-json.js';

export interface Consent {
  readonly status: 'granted' | 'denied' | 'unknown';
  readonly scope?: readonly ('treatment' | 'research' | 'emergency' | 'operations' | 'patient')[] | undefined;
  /** How it was given, e.g. `written`. */
  readonly method?: string | undefined;
  /** `YYYY-MM-DD` */
  readonly signedOn?: string | undefined;
}

/** What a caller may put into `extensions`. Absent and empty members are not written. */
export interface EnvelopeExtensions {
  readonly customTags?: readonly string[] | undefined;
  readonly consent?: Consent | undefined;
  /** Names of the DICOM attributes that were taken out. */
  readonly deid?: { readonly keys: readonly string[] } | undefined;
  /** JSON; `content_key` is written by the seal itself. */
  readonly drawbridge?: DrawbridgeExtension | undefined;
}

export interface DrawbridgeExtension {
  /** Statements about the sender's keys, each a compact JWS. */
  readonly announcements?: readonly string[] | undefined;
  readonly [member: string]: unknown;
}

/** Our own member of `extensions`. */
const DRAWBRIDGE = 'drawbridge';

/** In it: the content key for every receiver, where there are several; see content-key.ts. */
const CONTENT_KEY = 'content_key';

/**
 * `extensions` as it stands in manifest.json; undefined when there is nothing to say. Whether the values are what the
 * published schema allows is asked when the manifest is complete.
 * @param contentKey for every receiver, as content-key.ts makes it
 * @throws MANIFEST_INVALID when a value cannot be written and read back alike, or the caller gives `content_key`
 */
export function formatExtensions(
  extensions: EnvelopeExtensions = {},
  contentKey?: JsonObject,
): JsonObject | undefined {
  const { customTags = [], consent, deid, drawbridge = {} } = extensions;
  if (Object.hasOwn(drawbridge, CONTENT_KEY)) {
    throw new GatewayError(
      'MANIFEST_INVALID',
      `extensions.${DRAWBRIDGE}.${CONTENT_KEY} is not the caller's to give`,
    );
  }
  const { announcements = [], ...more } = drawbridge;
  const own = {
    ...more,
    ...(announcements.length === 0 ? {} : { announcements }),
    ...(contentKey === undefined ? {} : { [CONTENT_KEY]: contentKey }),
  };
  const record = {
    ...(customTags.length === 0 ? {} : { custom_tags: customTags }),
    ...(consent === undefined ? {} : { consent: formatConsent(consent) }),
    ...(deid === undefined || deid.keys.length === 0 ? {} : { deid: { keys: deid.keys } }),
    ...(Object.keys(own).length === 0 ? {} : { [DRAWBRIDGE]: own }),
  };
  if (Object.keys(record).length === 0) return undefined;
  return parseStrictObject(Buffer.from(JSON.stringify(record)), 'manifest extensions', 'MANIFEST_INVALID');
}

/** The content key for every receiver, as it stands in a manifest's `extensions`; undefined when there is none. */
export function contentKeyOf(extensions: JsonObject): JsonValue | undefined {
  const own = extensions[DRAWBRIDGE];
  return isJsonObject(own) ? own[CONTENT_KEY] : undefined;
}

/** The statements about the sender's keys in a manifest's `extensions`; of whatever is not a list of texts, none. */
export function announcementsOf(extensions: JsonObject): readonly string[] {
  const own = extensions[DRAWBRIDGE];
  const list = isJsonObject(own) ? own['announcements'] : undefined;
  return Array.isArray(list) ? list.filter((item) => typeof item === 'string') : [];
}

function formatConsent({ status, scope, method, signedOn }: Consent): unknown {
  return { status, scope, method, signed_on: signedOn };
}
