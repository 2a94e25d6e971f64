/** Envelopes whose manifest a test has changed: signed again by their own sender, by an assertion alone, or not at all. */
import { signAssertion } from '../../../../src/jmix/assertion.js';
import { CANON } from '../../../../src/jmix/dialect.js';
import type { EnvelopeSource } from '../../../../src/jmix/envelope-folder.js';
import { signCompactJws } from '../../../../src/jmix/manifest-jws.js';
import { SIGNER } from './sealing.js';

/** A manifest as JSON, which tests break as they like. */
export type AnyDocument = ReturnType<typeof JSON.parse>;

/** With a JWS over the changed manifest, and no assertion. */
export function resigned(source: EnvelopeSource, document: AnyDocument): EnvelopeSource {
  const { assertion: _, ...sender } = document.sender;
  const manifest = Buffer.from(JSON.stringify({ ...document, sender }, null, CANON.manifestIndent));
  return { ...source, manifest, jws: signCompactJws(manifest, SIGNER.privateKey) };
}

/** With an assertion over `paths` of the changed manifest, and no JWS, which it does not name either. */
export function asserted(
  source: EnvelopeSource,
  document: AnyDocument,
  paths: readonly string[],
): EnvelopeSource {
  const { jws: _, ...rest } = unsigned(source, document);
  const bare = JSON.parse(rest.manifest.toString());
  bare.sender.assertion = signAssertion(
    bare,
    paths.filter((path) => path !== 'security.jws.jws_file'),
    SIGNER.privateKey,
  );
  return { ...rest, manifest: Buffer.from(JSON.stringify(bare, null, CANON.manifestIndent)) };
}

export function unsigned(source: EnvelopeSource, document: AnyDocument): EnvelopeSource {
  const { assertion: _assertion, ...sender } = document.sender;
  const { jws: _named, ...security } = document.security;
  const { jws: _jws, ...rest } = source;
  return { ...rest, manifest: Buffer.from(JSON.stringify({ ...document, sender, security })) };
}
