/**
 * What the JMIX libraries in the field write into manifest.json against the published schema, and what it means: the
 * member names of jmix-js, and three slips of jmix-rs and of harmony, which embeds it. The result has the
 * specification's shape, and only then is held against the schema; anything not listed here is refused there.
 */
import type { Dialect } from './dialect.js';
import { isJsonObject, type JsonObject, type JsonValue } from './strict-json.js';

export interface SpecificationShape {
  /** A copy in the specification's words; of jmix-js manifests the patient is left out. */
  readonly shape: JsonObject;
  readonly keys: Dialect['manifestKeys'];
  readonly deviations: readonly string[];
  /** The manifest names no receiver; the one in `shape` stands in for the schema's sake. */
  readonly receiversMissing: boolean;
}

/** jmix-js name → specification name. */
const JS_NAMES: Readonly<Record<string, string>> = {
  jmix_version: 'version',
  envelope_id: 'id',
  created_at: 'timestamp',
  receivers: 'receiver',
};
/** Members that jmix-js puts at the top: about the patient or the payload, and no part of the manifest for us. */
const JS_EXTRAS = ['patient', 'report', 'consent', 'custom_tags', 'deid_keys'];

/** harmony's and jmix-rs's word for "not computed", where the schema wants hexadecimal digits. */
const SKIPPED_HASH = 'sha256:skipped';

/** The deviation that this word is noted as. */
export const HASH_SKIPPED = 'payload_hash skipped';

/** Never changes `document`. */
export function toSpecificationShape(document: JsonObject): SpecificationShape {
  const deviations: string[] = [];
  const isJs = Object.hasOwn(document, 'envelope_id') && !Object.hasOwn(document, 'id');
  const shape: JsonObject = isJs ? renamed(document) : { ...document };
  if (isJs) deviations.push('member names of jmix-js');

  const receivers = shape['receiver'];
  const receiversMissing = Array.isArray(receivers) && receivers.length === 0;
  if (receiversMissing) {
    deviations.push('no receiver');
    shape['receiver'] = [{ id: '' }];
  }
  const security = shape['security'];
  if (isJsonObject(security) && security['payload_hash'] === SKIPPED_HASH) {
    deviations.push(HASH_SKIPPED);
    const { payload_hash: _, ...rest } = security;
    shape['security'] = rest;
  }
  const withoutNulls = entitiesWithoutNullReference(shape);
  if (withoutNulls !== undefined) deviations.push('key_reference null');
  return {
    shape: withoutNulls ?? shape,
    keys: isJs ? 'js' : 'specification',
    deviations,
    receiversMissing,
  };
}

function renamed(document: JsonObject): JsonObject {
  const entries = Object.entries(document)
    .filter(([member]) => !JS_EXTRAS.includes(member))
    .map(([member, value]): [string, JsonValue] => {
      return [Object.hasOwn(JS_NAMES, member) ? (JS_NAMES[member] ?? member) : member, value];
    });
  return Object.fromEntries(entries);
}

/** @returns undefined when no assertion has `key_reference: null` */
function entitiesWithoutNullReference(shape: JsonObject): JsonObject | undefined {
  let found = false;
  const cleaned = (value: JsonValue): JsonValue => {
    const assertion = isJsonObject(value) ? value['assertion'] : undefined;
    if (!isJsonObject(value) || !isJsonObject(assertion) || assertion['key_reference'] !== null) return value;
    found = true;
    const { key_reference: _, ...rest } = assertion;
    return { ...value, assertion: rest };
  };
  const result: JsonObject = { ...shape };
  for (const member of ['sender', 'requester']) {
    const value = shape[member];
    if (value !== undefined) result[member] = cleaned(value);
  }
  if (Array.isArray(shape['receiver'])) result['receiver'] = shape['receiver'].map(cleaned);
  return found ? result : undefined;
}
