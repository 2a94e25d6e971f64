/** Config: what is told when it is wrong, and that the file of the first run is right. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSettings } from '../../../src/config/load.js';
import { formatConfigTemplate } from '../../../src/config/template.js';

const SITE = 'site: { id: a, name: A, contact: c }\n';

const problemsOf = (text: string, environment: Record<string, string> = {}): string => {
  try {
    parseSettings(text, environment, '/tmp');
    return '';
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    return error instanceof Error ? error.message : '';
  }
};

describe('a config with errors', () => {
  it('is told all of them at once, each with its path and value', () => {
    const message = problemsOf(
      `${SITE}dimse: { port: 99999, aeTitles: ['much too long for a title'] }\nspool: 1\n`,
    );
    expect(message).toContain('dimse.port = 99999');
    expect(message).toContain('dimse.aeTitles.0 = "much too long for a title"');
    expect(message).toContain('spool');
  });

  it('shows no secret', () => {
    expect(problemsOf(`${SITE}redis: { password: [hunter2] }\n`)).not.toContain('hunter2');
  });

  it.each([
    [
      'an exchange without its server',
      'exchanges: [{ name: x, type: ftps, inbox: /in, caFile: ca.pem }]\n',
      'exchanges.0.host: expected, since its type is ftps',
    ],
    [
      'a server that could be an impostor',
      'exchanges: [{ name: x, type: hub, url: https://hub:8443 }]\n',
      'exchanges.0: expected certificateFingerprints or caFile',
    ],
    [
      'an exchange with what means nothing to it',
      'exchanges: [{ name: x, type: folder, inbox: /in, host: h }]\n',
      'exchanges.0.host: means nothing to the type folder',
    ],
    [
      'an exchange for nothing',
      'exchanges: [{ name: x, type: folder }]\n',
      'exchanges.0: expected an outbox, an inbox, or both',
    ],
    [
      'nesting for a hub without a key',
      'exchanges: [{ name: x, type: hub, url: https://hub:8443, caFile: ca.pem, nested: true }]\n',
      'exchanges.0.nested: expected hubId and encryptionKey',
    ],
    ['a way that is none', 'peers: [{ id: b, name: B, via: x }]\n', 'peers.0.via: there is no exchange x'],
    [
      'a way that only comes in',
      `exchanges: [{ name: x, type: folder, inbox: /in }]\npeers: [{ id: b, name: B, via: x }]\n`,
      'peers.0.via: the exchange x has no outbox',
    ],
    [
      'two ways to one peer',
      `exchanges: [{ name: x, type: folder, outbox: /o }]\npeers: [{ id: b, name: B, via: x, url: 'https://b:1' }]\n`,
      'expected url or via, not both',
    ],
    [
      'a time window that is none',
      `peers: [{ id: b, name: B, windows: ['at night'] }]\n`,
      'peers.0.windows.0 = "at night"',
    ],
    [
      'a hub with a PACS',
      `role: hub\npacs: [{ name: p, aeTitle: P, host: h, port: 104 }]\n`,
      'pacs: a hub has none',
    ],
    [
      'a site that a hub cannot recognise',
      'role: hub\npeers: [{ id: b, name: B }]\n',
      'peers.0: expected certificateFingerprints or tokenSha256',
    ],
    ['a PACS that is not there', 'peers: [{ id: b, name: B, deliverTo: [main] }]\n', 'there is no PACS main'],
    ['one port for two', 'https: { port: 8080 }\n', 'need different ports'],
    ['half a certificate', 'https: { certFile: x.pem }\n', 'certFile and keyFile'],
    [
      'a peer that is looked up nowhere',
      'peers: [{ id: b, name: B, directory: true }]\n',
      'peers.0.directory: expected directory.url',
    ],
    ['this site as its own peer', 'peers: [{ id: a, name: A }]\n', 'is this site itself'],
  ])('is told of %s', (_title, text, expected) => {
    expect(problemsOf(SITE + text)).toContain(expected);
  });
});

describe('the environment', () => {
  it('sets single values, and reads secrets from files', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'drawbridge-')), 'secret');
    writeFileSync(file, '0123\n');
    const settings = parseSettings(
      SITE,
      { DRAWBRIDGE_DIMSE_PORT: '104', DRAWBRIDGE_REDIS_PASSWORD_FILE: file, PATH: '/bin' },
      '/tmp',
    );
    expect([settings.dimse.port, settings.redis.password]).toEqual([104, '0123']);
  });

  it('may hold no setting that there is not', () => {
    expect(problemsOf(SITE, { DRAWBRIDGE_DIMSE_PROT: '104' })).toContain('DRAWBRIDGE_DIMSE_PROT');
  });
});

it('the file of the first run means exactly the defaults, and mentions every section', () => {
  const text = formatConfigTemplate({ site: { id: 'a', name: 'A', contact: 'c' } });
  expect(parseSettings(text, {}, '/tmp')).toEqual(parseSettings(SITE, {}, '/tmp'));
  for (const word of [
    'callers',
    'quietSeconds',
    'signingKeys',
    'refuseFreeBytes',
    'verifiedHours',
    'maxPduBytes',
  ]) {
    expect(text).toContain(word);
  }
});
