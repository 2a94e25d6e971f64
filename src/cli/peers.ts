/**
 * `drawbridge peers`: what is known of each peer's keys, and the two things that people decide about it. Works on the
 * data folder, whether or not the bridge runs; one that runs picks up what has changed.
 */
import { Command } from 'commander';
import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/settings.js';
import { formatTimestamp, systemClock } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { silentLog } from '../observe/log.js';
import { createFileDurably } from '../spool/atomic.js';
import { createSpool } from '../spool/envelope-store.js';
import { createLayout } from '../spool/layout.js';
import { forgetPeer } from '../trust/peer-adopt.js';
import { type PeerBook, readPeerBook } from '../trust/peer-book.js';
import { type PeerKeyView, type PeerNotice, type PeerView, viewPeer } from '../trust/peer-view.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

type Options = ConfigOption & JsonOption;

export function peersCommand(): Command {
  const peers = new Command('peers').description('show whose keys are known, and decide about new ones');
  const verb = (name: string, about: string) =>
    peers
      .command(name)
      .description(about)
      .addOption(configOption())
      .option('--json', 'one JSON object on standard output');

  verb('list', 'all peers, and what about them waits for somebody').action(async (options: Options) => {
    const { book } = await open(options);
    const views = book.known().map(viewPeer);
    printResult(options, { peers: views }, views.map(describeBriefly).join('\n') || 'no peers');
  });
  verb('show <id>', 'one peer with all its keys').action(async (id: string, options: Options) => {
    const { book } = await open(options);
    const view = viewOf(book, id);
    printResult(options, { peer: view }, describe(view));
  });
  verb(
    'accept <id> <key>',
    'use a key that the peer publishes, by its kid or its fingerprint, once you have compared that with them',
  ).action(async (id: string, key: string, options: Options) => {
    const { book } = await open(options);
    const named = viewOf(book, id).offered.find(
      ({ fingerprint }) => fingerprint.toLowerCase() === key.toLowerCase(),
    );
    await book.accept(id, named?.kid ?? key);
    const view = viewOf(book, id);
    printResult(options, { peer: view }, describe(view));
  });
  verb(
    'forget <id>',
    'forget the pairing and every key that was learned; revocations and the config stay',
  ).action(async (id: string, options: Options) => {
    const { settings, folder } = await open(options);
    const wasKnown = await forgetPeer(folder, id, { createFile: createFileDurably });
    const routes = settings.routes.filter(({ to }) => to.includes(id)).length;
    const warning =
      routes === 0
        ? ''
        : `; the config has routes to it: check them before the next start (drawbridge check-config)`;
    printResult(
      options,
      { id, forgotten: wasKnown, routes },
      wasKnown ? `${id} is forgotten${warning}` : `nothing was learned of ${id}`,
    );
  });
  return peers;
}

async function open(
  options: Options,
): Promise<{ readonly settings: Settings; readonly folder: string; readonly book: PeerBook }> {
  const settings = loadSettings(configPath(options), process.env);
  if (settings.role === 'hub') {
    throw new GatewayError(
      'STATE_INVALID',
      'the sites of a hub are what its config says, and nothing is learned of them',
    );
  }
  const layout = createLayout(settings.dataDir);
  await createSpool(layout);
  const book = await readPeerBook(settings, layout.trust, {
    createFile: createFileDurably,
    clock: systemClock,
    log: silentLog,
  });
  return { settings, folder: layout.trust, book };
}

/** @throws PEER_REFUSED when there is no such peer */
function viewOf(book: PeerBook, id: string): PeerView {
  const known = book.known().find(({ peer }) => peer.id === id);
  if (known === undefined) throw new GatewayError('PEER_REFUSED', `there is no peer ${id}`);
  return viewPeer(known);
}

function describeBriefly(view: PeerView): string {
  const { id, name, notices } = view;
  const act = notices.filter(({ level }) => level === 'act');
  return [
    `${id}  ${name}, ${wayOf(view)}, ${originOf(view)}`,
    ...act.map((notice) => `    ${describeNotice(notice)}`),
  ].join('\n');
}

function describe(view: PeerView): string {
  const { id, name, contact, encryption, signing, offered, revoked, published, notices } = view;
  return [
    `${id}  ${name} (${contact})`,
    `  ${wayOf(view)}, ${originOf(view)}`,
    '  studies are sealed to',
    encryption === undefined ? '    nothing' : describeKey(encryption),
    '  signatures count by',
    ...(signing.length === 0 ? ['    nothing'] : signing.map(describeKey)),
    ...(offered.length === 0 ? [] : ['  published, but not used', ...offered.map(describeKey)]),
    ...(revoked.length === 0
      ? []
      : ['  revoked', ...revoked.map(({ kid, atMs }) => `    ${kid}  ${formatTimestamp(atMs)}`)]),
    ...(published === undefined
      ? []
      : [`  keys asked for ${formatTimestamp(published.askedAtMs)}${cameOf(published)}`]),
    ...notices.map((notice) => `  ${describeNotice(notice)}`),
  ].join('\n');
}

function describeNotice({ text, advice, command }: PeerNotice): string {
  return `${text}${advice === '' ? '' : ` → ${advice}`}${command === undefined ? '' : `: ${command}`}`;
}

function describeKey({ kid, purpose, fingerprint, source, sinceMs, untilMs }: PeerKeyView): string {
  const since = sinceMs === undefined ? '' : ` ${formatTimestamp(sinceMs)}`;
  const until = untilMs === undefined ? '' : `, until ${formatTimestamp(untilMs)}`;
  return `    ${kid}  ${purpose}, ${source}${since}${until}\n      ${fingerprint}`;
}

function wayOf({ url, via }: PeerView): string {
  return url ?? (via === undefined ? 'only sends to us' : `via ${via}`);
}

function originOf({ isConfigured, pairedAtMs }: PeerView): string {
  const paired = pairedAtMs === undefined ? '' : `paired ${formatTimestamp(pairedAtMs)}`;
  return [isConfigured ? 'in the config' : '', paired].filter((each) => each !== '').join(', ');
}

function cameOf({ cameAtMs, error }: NonNullable<PeerView['published']>): string {
  if (error !== undefined) return `: ${error}`;
  return cameAtMs === undefined ? '' : `, came ${formatTimestamp(cameAtMs)}`;
}
