/** What every transport promises, by way of a real hub: two members, and TLS between them and it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import { withForwardedSteps } from '../../src/hub/forwarded-step.js';
import { AUDIT_FILE } from '../../src/jmix/envelope-names.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import type { EnvelopeChoice } from '../conformance/sealed-envelopes.js';
import { transportConformance } from '../conformance/transport.js';
import { HUB_ID, type HubUnderTest, makeHub } from './hub-under-test.js';

let hub: HubUnderTest;

/**
 * The suite expects to take the very bytes that it put, but a hub adds its step to the audit trail. It adds none to what
 * has it already, so the envelopes of the suite are made as if they came round a second time.
 */
vi.mock('../conformance/sealed-envelopes.js', async (original) => {
  const real = await original<typeof import('../conformance/sealed-envelopes.js')>();
  return {
    ...real,
    async makeSealedEnvelope(folder: string, choice: EnvelopeChoice): Promise<OutgoingEnvelope> {
      const sealed = await real.makeSealedEnvelope(folder, choice);
      const path = join(sealed.folder, AUDIT_FILE);
      const { privateKey, publicKey } = hub.keys.signing;
      const trail = withForwardedSteps(await readFile(path), {
        subject: { envelopeId: sealed.id, manifestSha256: sealed.manifestSha256 },
        by: { id: HUB_ID, name: 'The hub' },
        receiverIds: ['site-b'],
        atMs: 0,
        signingKey: privateKey,
        publicKey,
      });
      await writeFile(path, trail);
      return sealed;
    },
  };
});

transportConformance(
  'hub',
  async () => {
    hub = await makeHub();
    return {
      sender: hub.transport('site-a'),
      receiver: hub.transport('site-b'),
      rival: hub.transport('site-b', { bridgeId: 'fedcba9876543210' }),
      addresses: { senderId: 'site-a', receiverId: 'site-b' },
      // The first attempt is one request, of which nothing stays; the one behind it goes in pieces.
      resumesPut: false,
      close: () => hub.close(),
    };
  },
  { isOpen: false },
);
