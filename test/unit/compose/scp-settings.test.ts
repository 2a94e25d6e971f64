import { expect, it } from 'vitest';
import { scpSettings } from '../../../src/compose/scp-settings.js';
import { readPacs } from '../../../src/config/pacs.js';
import { settingsSchema } from '../../../src/config/settings.js';

const settingsOf = (dimse: object, pacs: readonly object[] = []) =>
  settingsSchema.parse({ site: { id: 'a', name: 'A', contact: 'a@example.org' }, dimse, pacs });
const of = (dimse: object, pacs: readonly object[] = []) => {
  const settings = settingsOf(dimse, pacs);
  return scpSettings(settings, readPacs(settings).values());
};

it('a time that no timer can wait for is the longest that one can, and not none at all', () => {
  const longest = 2 ** 31 - 1;
  expect(
    of({ idleTimeoutSeconds: 1e9, acceptTimeoutSeconds: 1e9, maxAssociationSeconds: 1e9 }),
  ).toMatchObject({
    idleTimeoutMs: longest,
    acceptTimeoutMs: longest,
    maxAssociationMs: longest,
  });
});

it('a PACS that is not asked for commitment may not call to report on it', () => {
  const pacs = (name: string, commitment: string) => ({
    name,
    aeTitle: name,
    host: '10.0.0.9',
    port: 104,
    commitment,
  });
  const { policy } = of({}, [pacs('ONE', 'off'), pacs('TWO', 'offered'), pacs('THREE', 'required')]);
  expect(policy.reportingPacs?.map(({ aeTitle }) => aeTitle)).toEqual(['TWO', 'THREE']);
});

it('users, limits and the window are passed on', () => {
  const users = [{ name: 'ct1', passwordFile: '/secrets/ct1' }];
  const given = {
    users,
    userRequired: true,
    associationsPerMinutePerCaller: 7,
    bytesPerSecondPerCaller: 2048,
    asyncOperations: 4,
  };
  expect(of(given)).toMatchObject({
    users: { users, required: true },
    associationsPerMinutePerCaller: 7,
    bytesPerSecondPerCaller: 2048,
    asyncOperations: 4,
  });
});
