/** The top of a page: where one sends to, whether the bridge is well, and what moves. */
import { el } from './dom.js';
import { bytes, plural } from './format.js';
import { copyable } from './parts.js';

/** What has to be typed into a modality. */
export function address({ aeTitles, port, tlsPort }) {
  return [
    el('span', { class: 'label' }, 'Modalities send to'),
    ...aeTitles.map((title) => copyable(title, `the AE title ${title}`)),
    el('span', { class: 'together' }, ...portsOf({ port, tlsPort })),
  ];
}

/** Either port may be absent, but not both. */
function portsOf({ port, tlsPort }) {
  const plain =
    port === 0 ? [] : [el('span', { class: 'label' }, 'port '), copyable(String(port), 'the port')];
  const label = port === 0 ? 'TLS port ' : ', TLS port ';
  return tlsPort === undefined
    ? plain
    : [...plain, el('span', { class: 'label' }, label), copyable(String(tlsPort), 'the port for TLS')];
}

export function health({ redis, workers, disk }) {
  const embedded = redis.kind === 'embedded';
  return [
    light(
      redis.up ? (embedded ? 'warn' : 'good') : 'bad',
      redis.up ? (embedded ? 'Redis: embedded' : 'Redis') : 'Redis is away',
      redis.note ?? redis.kind,
    ),
    light(workers.up ? 'good' : 'bad', workers.up ? 'Workers' : 'No worker'),
    diskLight(disk),
  ];
}

export function diskLight({ state, freeBytes, totalBytes }) {
  const used = totalBytes === 0 ? 0 : 1 - freeBytes / totalBytes;
  return light(
    { ok: 'good', low: 'warn', refusing: 'bad' }[state],
    `${bytes(freeBytes)} free`,
    `${Math.round(used * 100)} % of the data disk is used`,
  );
}

function light(tone, text, title) {
  const words = { good: 'well', warn: 'mind', bad: 'down' };
  return el(
    'li',
    { class: `light ${tone}`, title },
    el('span', { class: 'visually-hidden' }, `${words[tone]}: `),
    text,
  );
}

/** What moves, in one sentence. */
export function underWay({ counts }) {
  const moving = counts.deliveries.accepted + counts.deliveries.sent + counts.deliveries.acknowledged;
  const arriving = counts.receptions.received + counts.receptions.opened + counts.receptions.verified;
  const parts = [
    moving === 0 ? '' : `${plural(moving, 'study').replace('studys', 'studies')} on the way out`,
    arriving === 0 ? '' : `${arriving.toLocaleString('en')} on the way in`,
    counts.deliveries.verified === 0
      ? ''
      : `${counts.deliveries.verified.toLocaleString('en')} verified at their PACS`,
  ].filter((text) => text !== '');
  return parts.length === 0 ? 'No study is under way.' : `${parts.join(', ')}.`;
}

/** For a bridge that has seen nothing yet. */
export function firstSteps({ dimse }) {
  const host = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname)
    ? 'this-machine'
    : location.hostname;
  const tls = dimse.port === 0 ? '+tls key.pem certificate.pem +cf bridge.pem ' : '';
  const echo = `echoscu ${tls}-aet MODALITY -aec ${dimse.aeTitles[0]} ${host} ${dimse.port || dimse.tlsPort}`;
  return el(
    'ol',
    { class: 'card first-steps' },
    step(
      'Let a modality in',
      'Add its AE title to dimse.callers in drawbridge.yaml. A caller that is refused shows up here, with the line to add.',
    ),
    step(
      'Test the way to here',
      'Make a C-ECHO at the modality, or on any computer with DCMTK:',
      copyable(echo, 'the command'),
    ),
    step(
      'Say where studies go',
      'Exchange partner cards with the other site, add it to peers, and a route to it to routes.',
    ),
    step('Send a study', 'It shows up here with its first instance.'),
  );
}

function step(title, text, ...rest) {
  return el('li', {}, el('strong', {}, title), el('p', {}, text), ...rest);
}
