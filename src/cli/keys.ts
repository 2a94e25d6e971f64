/**
 * `drawbridge keys`: our own keys, generation by generation. Works on the data folder, whether or not the bridge runs; one
 * that runs picks up what has changed.
 */
import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { KEY_DISK } from '../compose/key-disk.js';
import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/settings.js';
import { formatTimestamp, systemClock } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { silentLog } from '../observe/log.js';
import { createFileDurably } from '../spool/atomic.js';
import { createLayout, type Layout } from '../spool/layout.js';
import { type ChangeContext, honouredKeys, retireKey, revokeKeys, rotateKeys } from '../trust/key-change.js';
import { type Passphrase, passphraseFrom, readPassphrase } from '../trust/key-encryption.js';
import { protectKeys } from '../trust/key-protection.js';
import {
  announcementsAt,
  type KeyGeneration,
  type KeyRing,
  newestRevision,
  readRing,
} from '../trust/key-ring.js';
import {
  changeKeys,
  KEY_PURPOSES,
  type KeyChange,
  type KeyFolder,
  type LoadedKeys,
  loadKeys,
} from '../trust/key-store.js';
import { readPeerBook } from '../trust/peer-book.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { describeKeys, fingerprintOf, type KeyView, namedKey, viewKeys } from './key-view.js';
import { openpgpKeysCommand } from './openpgp-keys.js';
import { type JsonOption, printResult } from './output.js';

type Options = ConfigOption & JsonOption;

interface OwnKeys {
  readonly settings: Settings;
  readonly layout: Layout;
  readonly folder: KeyFolder;
  readonly passphrase: Passphrase;
  readonly context: ChangeContext;
}

const DAY_MS = 24 * 3_600_000;
const KEY_ARGUMENT = 'its kid, or its fingerprint SHA256:…, as `keys list` shows them';

export function keysCommand(): Command {
  const keys = new Command('keys').description('show our own keys, replace them, or declare one stolen');
  const verb = (name: string, about: string) =>
    keys
      .command(name)
      .description(about)
      .addOption(configOption())
      .option('--json', 'one JSON object on standard output');

  verb('list', 'every generation of our keys').action(async (options: Options) => {
    const own = open(options);
    const revision = await newestRevision(own.folder.path);
    const ring =
      revision === 0
        ? (await loadKeys(own.folder, own.context.nowMs)).ring
        : await readRing(own.folder.path, revision);
    await report(options, own, ring, {}, []);
  });

  verb(
    'rotate',
    'make new keys; the old signing key vouches for them, the old encryption key opens for a while yet',
  )
    .option('--encryption', 'the encryption key; without either option both')
    .option('--signing', 'the signing key')
    .action(async (options: Options & { encryption?: boolean; signing?: boolean }) => {
      const own = open(options);
      const asked = KEY_PURPOSES.filter((purpose) => options[purpose] === true);
      const purposes = asked.length === 0 ? KEY_PURPOSES : asked;
      const ring = await change(own, (loaded) => rotateKeys(loaded, purposes, own.context));
      await report(options, own, ring, { rotated: purposes }, [
        'Partners that run this software learn of it with the next envelope or receipt, or ask for it.',
        'To all others, give the new public keys: drawbridge init shows them.',
      ]);
    });

  verb('retire', 'open nothing more with an old encryption key, before its time is over')
    .argument('<key>', KEY_ARGUMENT)
    .option('--yes', 'although envelopes may still come that are sealed to it')
    .action(async (key: string, options: Options & { yes?: boolean }) => {
      const own = open(options);
      const ring = await change(own, (loaded) => {
        const { kid, untilMs } = namedKey(loaded.ring, key);
        const planned = retireKey(loaded, kid, own.context);
        if (planned !== undefined && options.yes !== true) throw stillHonoured(kid, untilMs);
        return planned;
      });
      await report(options, own, ring, { retired: namedKey(ring, key).kid }, []);
    });

  verb('revoke', 'declare keys to be in other hands: tell partners, and make new ones in their place')
    .argument('<keys...>', KEY_ARGUMENT)
    .action(async (names: string[], options: Options) => {
      const own = open(options);
      let isSignerHit = false;
      let before: readonly string[] = [];
      const ring = await change(own, (loaded) => {
        const named = names.map((name) => namedKey(loaded.ring, name));
        isSignerHit = named.some(({ purpose, state }) => purpose === 'signing' && state === 'present');
        before = revokedKids(loaded.ring);
        return revokeKeys(
          loaded,
          named.map(({ kid }) => kid),
          own.context,
        );
      });
      const named = names.map((name) => namedKey(ring, name).kid);
      const added = revokedKids(ring).filter((kid) => !before.includes(kid));
      const peers = isSignerHit ? await peerIds(own) : [];
      await report(options, own, ring, { revoked: [...new Set([...named, ...added])], pair_again: peers }, [
        ...(isSignerHit
          ? adviceAfterTheft(peers)
          : ['Partners learn of it with the next envelope or receipt.']),
        ...adviceOnOlder(honouredKeys(ring, own.context.nowMs)),
      ]);
    });

  verb(
    'encrypt',
    'put our private keys under the passphrase of keys.passphraseFile, or from an old one under it',
  )
    .option('--old-passphrase-file <file>', 'the passphrase that they are under so far')
    .action(async (options: Options & { oldPassphraseFile?: string }) => {
      const own = open(options);
      const to = await own.passphrase();
      if (to === undefined) {
        throw new GatewayError(
          'REQUEST_INVALID',
          'expected keys.passphraseFile in the config: it names the passphrase',
        );
      }
      const { oldPassphraseFile: old } = options;
      const from = old === undefined ? undefined : await readPassphrase(old, '--old-passphrase-file');
      await protect(options, own, { to, from });
    });

  verb(
    'decrypt',
    'take our private keys out of the passphrase; then remove keys.passphraseFile from the config',
  ).action(async (options: Options) => {
    const own = open(options);
    await protect(options, own, { to: undefined, from: await own.passphrase() });
  });
  return keys.addCommand(openpgpKeysCommand());
}

function open(options: Options): OwnKeys {
  const settings = loadSettings(configPath(options), process.env);
  const layout = createLayout(settings.dataDir);
  const passphrase = passphraseFrom(settings.keys);
  return {
    settings,
    layout,
    passphrase,
    folder: { path: layout.keys, passphrase },
    context: {
      siteId: settings.site.id,
      nowMs: Date.now(),
      overlapMs: settings.keys.overlapDays * DAY_MS,
    },
  };
}

async function change(own: OwnKeys, plan: (loaded: LoadedKeys) => KeyChange | undefined): Promise<KeyRing> {
  await assertOwner(own.folder.path);
  return changeKeys(own.folder, KEY_DISK, own.context.nowMs, plan);
}

async function protect(
  options: Options,
  { layout, context }: OwnKeys,
  protection: Parameters<typeof protectKeys>[1],
): Promise<void> {
  await assertOwner(layout.keys);
  const changed = await protectKeys(layout.keys, protection, KEY_DISK, context.nowMs);
  const word = protection.to === undefined ? 'in the clear' : 'under the passphrase';
  printResult(
    options,
    { changed },
    changed.length === 0 ? `all keys are ${word} already` : `now ${word}:\n  ${changed.join('\n  ')}`,
  );
}

/** What root writes, the bridge could not read: it would not start again. */
async function assertOwner(folder: string): Promise<void> {
  const owner = (await stat(folder).catch(() => undefined))?.uid;
  const self = process.getuid?.();
  if (owner === undefined || self === undefined || self === owner) return;
  throw new GatewayError(
    'REQUEST_INVALID',
    `the keys belong to the user ${owner}, expected to be run as that user, got ${self}: ${folder}`,
  );
}

async function report(
  options: Options,
  { layout, context: { nowMs } }: OwnKeys,
  ring: KeyRing,
  done: Record<string, unknown>,
  advice: readonly string[],
): Promise<void> {
  const keys: readonly KeyView[] = await viewKeys(layout.keys, ring, nowMs);
  const announcements = announcementsAt(ring, nowMs).length;
  printResult(options, { ...done, keys, announcements }, [describeKeys(keys), ...advice].join('\n'));
}

function stillHonoured(kid: string, untilMs: number | undefined): GatewayError {
  const until = untilMs === undefined ? '' : ` until ${formatTimestamp(untilMs)}`;
  return new GatewayError(
    'STATE_INVALID',
    `${kid} is honoured${until}: an envelope that is on its way to it can then be opened by nobody; add --yes if none is`,
  );
}

async function peerIds({ settings, layout }: OwnKeys): Promise<readonly string[]> {
  if (settings.role === 'hub') return settings.peers.map(({ id }) => id);
  const parts = { createFile: createFileDurably, clock: systemClock, log: silentLog };
  const book = await readPeerBook(settings, layout.trust, parts);
  return book.known().map(({ peer }) => peer.id);
}

function revokedKids({ generations }: KeyRing): readonly string[] {
  return generations.filter(({ state }) => state === 'revoked').map(({ kid }) => kid);
}

/** @param honoured older encryption keys */
function adviceOnOlder(honoured: readonly KeyGeneration[]): readonly string[] {
  if (honoured.length === 0) return [];
  return [
    'Older encryption keys are still honoured. If somebody may have copied the key folder, they have these too:',
    // Not by kid: one may begin like an option.
    `  drawbridge keys revoke ${honoured.map(fingerprintOf).join(' ')}`,
  ];
}

function adviceAfterTheft(peers: readonly string[]): readonly string[] {
  return [
    'Nothing that the stolen key signed can be believed, so it cannot vouch for the new one: until a partner has paired',
    'with you again, by `drawbridge pair`, it refuses what you send. Call these, and pair again:',
    ...(peers.length === 0 ? ['  no peers'] : peers.map((id) => `  ${id}`)),
  ];
}
