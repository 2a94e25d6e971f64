/** What a manifest says, for people and for programs: the same members in every command that reads an envelope. */
import { formatTimestamp } from '../domain/clock.js';
import { type DialectName, JS, RS } from '../jmix/dialect.js';
import type { EnvelopeSource } from '../jmix/envelope-folder.js';
import type { Manifest } from '../jmix/manifest.js';
import type { EnvelopeChecks } from '../jmix/open.js';
import { partyJson, partyText } from './custody-view.js';

/** Stable members, documented in README. */
export function manifestJson(manifest: Manifest) {
  return {
    id: manifest.id,
    manifest_sha256: manifest.sha256,
    timestamp: timestampOf(manifest),
    sender: partyJson(manifest.sender),
    receivers: manifest.receivers.map(partyJson),
    classification: manifest.classification ?? null,
    sealed: manifest.encryption !== undefined,
    extensions: Object.keys(manifest.extensions),
    deviations: manifest.deviations,
    unknown_fields: manifest.unknownMembers.map((member) => `manifest.json: ${member}`),
  };
}

export function manifestLines(manifest: Manifest): readonly string[] {
  return [
    `envelope   ${manifest.id}`,
    `made       ${timestampOf(manifest) ?? 'at no time that a clock shows'}`,
    `sender     ${partyText(manifest.sender)}`,
    `receivers  ${manifest.receivers.map(partyText).join(', ') || 'none'}`,
  ];
}

/** Which form of each open choice fitted; null where nothing was looked at. */
export function formsJson(checks: Partial<EnvelopeChecks>) {
  return {
    assertion: checks.assertion ?? null,
    jws: checks.jws ?? null,
    payload_hash: checks.payloadHash ?? null,
    files_json: checks.filesJson ?? null,
    schema: checks.schema ?? null,
  };
}

/** As far as it shows before the payload is opened: `canon` and `php` cannot be told apart then; null when it does not. */
export function visibleDialect(manifest: Manifest, { payload }: EnvelopeSource): DialectName | null {
  if (manifest.keys === 'js') return JS.name;
  if (payload.kind === 'sealed' && payload.name === RS.sealedFileName) return RS.name;
  return null;
}

function timestampOf({ timestampMs }: Manifest): string | null {
  return Number.isNaN(timestampMs) ? null : formatTimestamp(timestampMs);
}
