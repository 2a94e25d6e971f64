/** Everything that waits for a person, worst first: what it is, why, and what to do. */
import { age, chip, el } from './dom.js';

const STUCK = new Set(['parked', 'refused', 'quarantined']);

/** @returns cards, in the order in which they should be looked at */
export function attention(state, act) {
  const { nowMs } = state.overview;
  return [
    ...state.receptions
      .filter(({ state: word }) => STUCK.has(word))
      .map((record) => receptionItem(record, nowMs, act)),
    ...state.deliveries.filter(isStuck).map((record) => deliveryItem(record, nowMs, act)),
    ...state.studies
      .filter(({ state: word }) => word === 'held')
      .map((study) => studyItem(study, nowMs, act)),
    ...conflictItem(state.overview.counts.conflicts),
    ...state.refusals
      .filter(({ atMs }) => nowMs - atMs < 3_600_000)
      .map((refusal) => refusalItem(refusal, nowMs)),
  ];
}

function isStuck(record) {
  return STUCK.has(record.state) && record.replacedBy === undefined;
}

function deliveryItem(record, nowMs, act) {
  const reason = record.parked ?? {
    ...record.refusal,
    atMs: record.steps.at(-1)?.atMs ?? record.createdAtMs,
  };
  const what =
    record.state === 'refused'
      ? `${record.peerName} refused a study`
      : `A study for ${record.peerName} is stuck`;
  return item(what, record, reason, nowMs, () => act(`/api/deliveries/${record.id}/retry`), 'bad');
}

function receptionItem(record, nowMs, act) {
  const refusing = Object.values(record.pacs).find((pacs) => pacs.state === 'refused');
  const reason = record.quarantined ??
    record.parked ?? {
      code: refusing?.lastError?.code ?? 'PACS_REFUSED',
      message:
        refusing?.lastError?.message ??
        `the PACS refused ${refusing?.refusedCount} of ${record.instanceCount} instances`,
      atMs: record.steps.at(-1)?.atMs ?? record.receivedAtMs,
    };
  const what =
    record.quarantined === undefined
      ? `A study from ${record.senderName} is stuck`
      : `An envelope that says it is from ${record.senderName} is in quarantine`;
  return item(what, record, reason, nowMs, () => act(`/api/receptions/${record.id}/retry`), 'bad');
}

function item(what, record, reason, nowMs, retry, tone) {
  return card(
    tone,
    [what, chip(reason.code, 'bad'), el('span', { class: 'muted' }, age(reason.atMs, nowMs))],
    reason.message,
    record.advice,
    button('Retry', retry, `Retry ${record.id}`),
  );
}

function studyItem(study, nowMs, act) {
  return card(
    'warn',
    [
      `A study of ${study.instanceCount} instances from ${study.callingAes.join(', ')} goes nowhere`,
      chip('ROUTE_MISSING', 'warn'),
      el('span', { class: 'muted' }, age(study.lastInstanceAtMs, nowMs)),
    ],
    'no route fits it; it is safe here',
    'add a route to the config and start the bridge again',
    button(
      'Complete now',
      () => act(`/api/studies/${study.key}/complete`),
      `Complete study ${study.key} now`,
    ),
  );
}

function conflictItem(count) {
  if (count === 0) return [];
  return [
    card(
      'warn',
      [`${count} instances came again with other bytes`, chip('INSTANCE_CONFLICT', 'warn')],
      'the first version travels; the others are kept in the folder “conflicts” of the data folder',
      'compare both versions, and ask the modality’s vendor why it sent two',
    ),
  ];
}

function refusalItem(refusal, nowMs) {
  const times = refusal.count === 1 ? '' : `, ${refusal.count} times`;
  const entry = `{ aeTitle: ${refusal.callingAe}, hosts: [${refusal.remoteAddress}] }`;
  const advice =
    refusal.code === 'CALLING_AE_UNKNOWN'
      ? [`if it may send, add to dimse.callers: `, el('code', {}, entry)]
      : refusal.code === 'CALLED_AE_UNKNOWN'
        ? `it calls ${refusal.calledAe}: correct that at the modality`
        : '';
  return card(
    'warn',
    [
      `${refusal.callingAe || 'A caller'} at ${refusal.remoteAddress} was refused${times}`,
      chip(refusal.code, 'warn'),
      el('span', { class: 'muted' }, age(refusal.atMs, nowMs)),
    ],
    '',
    advice,
  );
}

function card(tone, title, message, advice, ...actions) {
  return el(
    'article',
    { class: `card item ${tone}` },
    el('h3', {}, ...title),
    message === '' ? '' : el('p', {}, message),
    advice === '' || advice === undefined ? '' : el('p', { class: 'advice' }, '→ ', ...[advice].flat()),
    actions.length === 0 ? '' : el('div', { class: 'actions' }, ...actions),
  );
}

/** Can be pressed once: what comes of it is seen in the list. */
function button(text, press, label) {
  return el(
    'button',
    {
      class: 'primary',
      'aria-label': label,
      onclick: async (event) => {
        event.currentTarget.disabled = true;
        await press();
      },
    },
    text,
  );
}
