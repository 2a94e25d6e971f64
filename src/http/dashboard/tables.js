/** The lists of what moves: studies, deliveries, receptions, associations; and the story of one of them. */
import { age, bytes, chip, clockTime, el, table } from './dom.js';

const ROAD = ['accepted', 'sent', 'acknowledged', 'verified'];
const TONES = {
  verified: 'good',
  confirmed: 'good',
  delivered: 'good',
  parked: 'bad',
  refused: 'bad',
  quarantined: 'bad',
};

export function studies(list, nowMs, act) {
  if (list.length === 0) {
    return empty('No study is arriving. Modalities send to the AE title and port shown above.');
  }
  return table(
    ['From', 'Modality', '#Instances', '#Size', 'Last instance', 'State', ''],
    list.map((study) => [
      study.callingAes.join(', '),
      study.modalities.join(', '),
      String(study.instanceCount),
      bytes(study.dataSetBytes),
      age(study.lastInstanceAtMs, nowMs),
      [chip(study.state, study.state === 'held' ? 'warn' : ''), el('span', { class: 'note' }, study.why)],
      completeButton(study, act),
    ]),
  );
}

/** For an operator who knows that nothing more will come. */
function completeButton(study, act) {
  const press = (event) => {
    event.currentTarget.disabled = true;
    act(`/api/studies/${study.key}/complete`);
  };
  return el('button', { onclick: press, 'aria-label': `Complete study ${study.key} now` }, 'Complete now');
}

export function deliveries(list, nowMs, show) {
  if (list.length === 0)
    return empty('Nothing has been sent yet. A study is sent when it is complete and a route fits it.');
  return table(
    ['To', 'Modality', '#Instances', '#Size', 'Age', 'State', 'On its way'],
    list.map((record) => [
      record.peerName,
      [
        record.modalities.join(', '),
        record.addendumTo === undefined ? '' : el('span', { class: 'note' }, 'addendum'),
      ],
      String(record.instanceCount),
      bytes(record.dataSetBytes),
      age(record.createdAtMs, nowMs),
      [link(record.state, () => show(record)), lastError(record, nowMs)],
      road(record),
    ]),
  );
}

export function receptions(list, nowMs, show) {
  if (list.length === 0)
    return empty('Nothing has been received yet. Partners send to the API port of this bridge.');
  return table(
    ['From', 'Modality', '#Instances', '#Size', 'Age', 'State', 'PACS'],
    list.map((record) => [
      record.senderName,
      (record.modalities ?? []).join(', '),
      String(record.instanceCount ?? '–'),
      bytes(record.sizeBytes),
      age(record.receivedAtMs, nowMs),
      [link(record.state, () => show(record)), lastError(record, nowMs)],
      Object.entries(record.pacs).map(([name, pacs]) =>
        el(
          'span',
          { class: 'note' },
          `${name}: ${pacs.storedCount} stored${pacs.refusedCount === 0 ? '' : `, ${pacs.refusedCount} refused`} `,
          chip(pacs.state, pacs.state === 'stored' ? 'good' : pacs.state === 'refused' ? 'bad' : ''),
          lastError(pacs, nowMs),
        ),
      ),
    ]),
  );
}

export function associations(list, nowMs) {
  if (list.length === 0) return empty('No association is open.');
  return table(
    ['Calling AE', 'Called AE', 'Address', '#Instances', '#Size', 'Open since'],
    list.map((one) => [
      one.callingAe,
      one.calledAe,
      one.remoteAddress,
      String(one.instanceCount),
      bytes(one.bytes),
      age(one.openedAtMs, nowMs),
    ]),
  );
}

/** What happened to one envelope, and when. */
export function story(record, close) {
  const started = record.createdAtMs ?? record.receivedAtMs;
  const steps = [
    { event: record.createdAtMs === undefined ? 'received' : 'accepted', atMs: started },
    ...record.steps,
  ];
  return [
    el(
      'h2',
      { id: 'story-title' },
      record.peerName === undefined ? `From ${record.senderName}` : `To ${record.peerName}`,
      ' ',
      chip(record.state, TONES[record.state]),
    ),
    el(
      'dl',
      {},
      ...term('Envelope', el('code', {}, record.id)),
      ...(record.addendumTo === undefined ? [] : term('Addendum to', el('code', {}, record.addendumTo))),
      ...(record.replaces === undefined ? [] : term('Replaces', el('code', {}, record.replaces))),
      ...(record.replacedBy === undefined ? [] : term('Sent again as', el('code', {}, record.replacedBy))),
      ...(record.signedBy === undefined ? [] : term('Signed by', el('code', {}, record.signedBy))),
    ),
    el(
      'ol',
      { class: 'story' },
      ...steps.map(({ event, atMs, pacs }) =>
        el('li', {}, el('span', {}, pacs === undefined ? event : `${event} ${pacs}`), clockTime(atMs)),
      ),
    ),
    el('button', { class: 'primary', onclick: close }, 'Close'),
  ];
}

export function counts(values) {
  return Object.entries(values)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => chip(`${count} ${state}`, TONES[state]));
}

function term(name, value) {
  return [el('dt', {}, name), el('dd', {}, value)];
}

function link(word, press) {
  return el(
    'button',
    { class: 'link', onclick: press, 'aria-label': `${word}: show the story` },
    chip(word, TONES[word]),
  );
}

function lastError(record, nowMs) {
  const error = record.lastError;
  if (error === undefined || record.state === 'verified' || record.state === 'stored') return '';
  const next =
    error.nextAttemptAtMs === undefined ? '' : [' Next attempt ', age(error.nextAttemptAtMs, nowMs), '.'];
  return el('span', { class: 'note' }, `${error.message}.`, ...next);
}

function road(record) {
  const word = record.state === 'parked' || record.state === 'refused' ? carriageWord(record) : record.state;
  const reached = ROAD.indexOf(word);
  const tone = TONES[record.state] ?? '';
  return el(
    'ol',
    { class: `road ${tone}`, 'aria-label': `${record.state}, step ${reached + 1} of ${ROAD.length}` },
    ...ROAD.map((step, at) => el('li', { class: at <= reached && 'done', title: step })),
  );
}

function carriageWord(record) {
  return ROAD.includes(record.carriage) ? record.carriage : 'accepted';
}

function empty(text) {
  return el('p', { class: 'empty' }, text);
}
