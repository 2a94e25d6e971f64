/** What waits for the operator of a hub, worst first. It never needs to know what is in an envelope. */
import { card, diskItems } from './attention-card.js';
import { bytes, bytesOf, plural, span } from './format.js';
import { NEARLY_FULL } from './hub-inboxes.js';
import { missingNames } from './hub-parcels.js';
import { actionButton, copyable } from './parts.js';

const DAY_MS = 24 * 3_600_000;

/** @returns cards, in the order in which they should be looked at */
export function hubAttention({ overview, parked, lost }, nowMs, busy) {
  return [
    ...diskItems(overview.disk, {
      told: 'Sites are told to come back later',
      soon: 'new envelopes will be refused',
      shorter: 'lower hub.expiryDays or the quotas',
    }),
    ...lost.filter(({ removedAtMs }) => nowMs - removedAtMs < DAY_MS).map(lostItem),
    ...overview.members.flatMap(fullItem),
    ...parked.map((parcel) => parkedItem(parcel, { busy, nowMs })),
    ...overview.members.flatMap((member) => pileItem(member, nowMs)),
  ];
}

function lostItem(parcel) {
  return card({
    key: parcel.id,
    title: `An envelope for ${missingNames(parcel)} is gone from the disk`,
    atMs: parcel.removedAtMs,
    why: 'Its folder is not there any more, and it was not this hub that removed it.',
    advice: `check the data disk; ask ${parcel.senderName} to send it again`,
    about: copyable(parcel.id, 'the envelope id'),
  });
}

function fullItem({ id, name, kind, heldBytes, quotaBytes, parkedCount }) {
  if (quotaBytes === undefined || heldBytes < NEARLY_FULL * quotaBytes) return [];
  const who = kind === 'self' ? 'the hub itself' : name;
  return card({
    key: `full ${id}`,
    tone: heldBytes >= quotaBytes ? 'bad' : 'warn',
    title: `The inbox of ${who} is ${heldBytes >= quotaBytes ? '' : 'nearly '}full: ${bytesOf(heldBytes, quotaBytes)}`,
    code: 'QUOTA_EXCEEDED',
    why: 'What does not fit is refused; its senders keep it and try again.',
    advice: [
      kind === 'self' ? '' : `ask ${who} whether their bridge runs and looks in here; `,
      parkedCount === 0 ? '' : 'discard what is parked; ',
      'or raise its quotaBytes in the config',
    ]
      .join('')
      .replace(/^or /, ''),
  });
}

function parkedItem(parcel, { busy, nowMs }) {
  const { id, senderName, archiveBytes, parked } = parcel;
  const to = missingNames(parcel);
  const what = `the envelope from ${senderName} for ${to}`;
  return card({
    key: id,
    title: `An envelope from ${senderName} for ${to} is parked (${bytes(archiveBytes)})`,
    code: parked.code,
    atMs: parked.sinceMs,
    why: `${parked.message}.${
      parked.expiresAtMs === undefined
        ? ''
        : ` It is removed by itself in ${span(Math.max(0, parked.expiresAtMs - nowMs))}.`
    }`,
    advice: parked.advice,
    about: copyable(id, 'the envelope id'),
    actions: [
      actionButton({
        text: 'Retry',
        label: `Retry ${what}`,
        path: `/api/parcels/${id}/retry`,
        done: `${to} may take it again.`,
        busy,
      }),
      actionButton({
        text: 'Discard',
        label: `Discard ${what}`,
        path: `/api/parcels/${id}/discard`,
        done: 'The envelope is removed.',
        busy,
        kind: 'secondary danger',
        question: {
          ask: `Discard ${what}?`,
          because: `It is removed from this hub for good. If ${to} still needs it, ${senderName} has to send it again.`,
          yes: 'Discard it',
        },
      }),
    ],
  });
}

/** Envelopes pile up where nobody looks in: better told now than when they are parked. */
function pileItem({ id, name, kind, waitingCount, waitingBytes, oldestWaitingAtMs, takenAtMs }, nowMs) {
  if (oldestWaitingAtMs === undefined || nowMs - oldestWaitingAtMs < DAY_MS) return [];
  const count = `${plural(waitingCount, 'envelope')} (${bytes(waitingBytes)})`;
  const waits = waitingCount === 1 ? 'waits' : 'wait';
  return card({
    key: `pile ${id}`,
    tone: 'warn',
    title: kind === 'self' ? `${count} for this hub ${waits}` : `${name} leaves ${count} waiting`,
    atMs: oldestWaitingAtMs,
    why:
      takenAtMs === undefined
        ? 'It has not taken anything yet, as far as this hub remembers.'
        : `It last took an envelope ${span(nowMs - takenAtMs)} ago.`,
    advice: ADVICE[kind] ?? `ask ${name} whether their bridge runs and looks in here`,
  });
}

const ADVICE = {
  self: 'look into the log of this hub',
  former: 'add it to peers again; else what waits for it is parked in time, and then removed',
};
