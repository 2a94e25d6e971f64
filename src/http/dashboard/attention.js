/** Everything that waits for a person, worst first: what it is, why, and what to do. */
import { card, diskItems } from './attention-card.js';
import { commitmentItems } from './commitment.js';
import { exchangeFailures, exchangeTroubles } from './exchanges.js';
import { plural } from './format.js';
import { actionButton, copyable } from './parts.js';
import { peerItems } from './peers.js';
import { dismissButton } from './receptions.js';

const RECENT_MS = 3_600_000;

/** @returns cards, in the order in which they should be looked at */
export function attention(state, nowMs, busy) {
  const { overview } = state;
  return [
    ...healthItems(overview),
    ...exchangeFailures(overview.exchanges),
    ...state.stuckReceptions.map((record) => receptionItem(record, busy)),
    ...state.stuckDeliveries
      .filter((record) => record.replacedBy === undefined)
      .map((record) => deliveryItem(record, busy)),
    ...overview.overdue.map((record) => overdueItem(record, busy)),
    ...overview.custodyBroken.map(custodyItem),
    ...exchangeTroubles(overview.exchanges),
    ...pausedItems(state.receptions),
    ...state.studies.filter((study) => study.state === 'held').map((study) => studyItem(study, busy)),
    ...peerItems(state.peers),
    ...commitmentItems(overview.commitment),
    ...conflictItems(overview.counts.conflicts),
    ...state.refusals.filter(({ atMs }) => nowMs - atMs < RECENT_MS).map(refusalItem),
  ];
}

function healthItems({ redis, workers, disk }) {
  const disks = diskItems(disk, {
    told: 'Modalities are told to come back later',
    soon: 'new studies will be refused',
    shorter: 'shorten retention',
  });
  // A full disk is worse than all else, one that fills up can wait.
  const items = disk.state === 'refusing' ? [...disks] : [];
  if (!redis.up) {
    items.push(
      card({
        key: 'redis',
        title: 'Redis is away: nothing is packed, sent or stored',
        code: 'REDIS_UNAVAILABLE',
        why: 'Studies are still taken in, and nothing is lost: the work is found again on the disk.',
        advice: 'check redis.url in the config, or the private Redis in the data folder',
      }),
    );
  }
  if (!workers.up) {
    items.push(
      card({
        key: 'workers',
        title: 'No worker runs: nothing is packed, sent or stored',
        why: 'Studies are still taken in and wait here, safe.',
        advice: 'start the bridge with “drawbridge up”, or start its workers',
      }),
    );
  }
  return disk.state === 'low' ? [...items, ...disks] : items;
}

function contentOf({ purpose, modalities, instanceCount }) {
  return purpose === undefined
    ? [...modalities, plural(instanceCount, 'instance')].join(', ')
    : 'pairing test';
}

function deliveryItem(record, busy) {
  const isRefused = record.state === 'refused';
  const reason = isRefused ? record.refusal : record.parked;
  const what = contentOf(record);
  return card({
    key: record.id,
    title: isRefused
      ? `${record.peerName} refused a study (${what})`
      : `A study for ${record.peerName} is stuck (${what})`,
    code: reason?.code,
    atMs: record.parked?.atMs ?? record.steps.at(-1)?.atMs ?? record.createdAtMs,
    why: reason?.message,
    advice: record.advice,
    story: `#/deliveries/${record.id}`,
    actions: [
      actionButton({
        text: 'Retry',
        label: `Retry the study for ${record.peerName} (${what})`,
        path: `/api/deliveries/${record.id}/retry`,
        done: `The delivery to ${record.peerName} is tried again.`,
        busy,
      }),
    ],
  });
}

function overdueItem(record, busy) {
  const what = contentOf(record);
  return card({
    key: record.id,
    tone: 'warn',
    title: `No receipt from ${record.peerName} yet (${what})`,
    atMs: record.steps.findLast(({ event }) => event === 'acknowledged')?.atMs,
    why: 'The study was handed over, and nothing was heard since: their PACS may not have it.',
    advice: record.advice,
    story: `#/deliveries/${record.id}`,
    actions: [
      actionButton({
        text: 'Send again',
        label: `Send the study for ${record.peerName} again (${what})`,
        path: `/api/deliveries/${record.id}/retry`,
        done: `The delivery to ${record.peerName} is looked after again.`,
        busy,
      }),
    ],
  });
}

function custodyItem(record) {
  return card({
    key: `${record.id} custody`,
    tone: 'warn',
    title: `The audit trail of a study for ${record.peerName} was changed on its way (${contentOf(record)})`,
    code: 'CUSTODY_BROKEN',
    atMs: record.steps.at(-1)?.atMs,
    why: 'The study itself arrived whole, and its receipt is good; somebody in between altered who is said to have had it.',
    advice: record.advice,
    story: `#/deliveries/${record.id}`,
    actions: [],
  });
}

function receptionItem(record, busy) {
  const refusals = Object.entries(record.pacs).filter(([, { state }]) => state === 'refused');
  const reason = record.quarantined ?? record.parked ?? refusalsOf(record, refusals);
  const what = record.receiptFor === undefined ? 'An envelope' : 'A receipt';
  const title =
    record.quarantined !== undefined
      ? `${what} from ${record.senderName} is in quarantine`
      : refusals.length === 0
        ? `A study from ${record.senderName} is stuck`
        : `${and(refusals.map(([name]) => name))} refused a study from ${record.senderName}`;
  return card({
    key: record.id,
    title,
    code: reason.code,
    atMs: reason.atMs,
    why: reason.message,
    advice: record.advice,
    story: `#/receptions/${record.id}`,
    actions: [
      actionButton({
        text: 'Retry',
        label: `Retry the reception from ${record.senderName}`,
        path: `/api/receptions/${record.id}/retry`,
        done: `What came from ${record.senderName} is tried again.`,
        busy,
      }),
      record.state === 'refused' ? dismissButton(record, busy) : '',
    ],
  });
}

/** Of several PACS each is told with its own reason. */
function refusalsOf(record, refusals) {
  const whys = refusals.map(([name, { lastError, refusedCount }]) => {
    const why = lastError?.message ?? `${refusedCount} of ${record.instanceCount} instances were refused`;
    return refusals.length === 1 ? why : `${name}: ${why}`;
  });
  return {
    code: refusals.map(([, { lastError }]) => lastError?.code).find(Boolean) ?? 'PACS_REFUSED',
    message: whys.join('. '),
    atMs: record.steps.at(-1)?.atMs ?? record.receivedAtMs,
  };
}

function and(names) {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** Nobody is to forget a PACS that the config pauses, while studies for it lie here. */
function pausedItems(receptions) {
  const waiting = new Map();
  for (const { pacs } of receptions) {
    for (const [name, { lastError }] of Object.entries(pacs)) {
      if (lastError?.code === 'PACS_PAUSED') waiting.set(name, (waiting.get(name) ?? 0) + 1);
    }
  }
  return [...waiting].map(([name, count]) =>
    card({
      key: `${name} paused`,
      tone: 'warn',
      title: `Sending to ${name} is paused`,
      code: 'PACS_PAUSED',
      why: `The config says so, and ${plural(count, 'envelope')} ${count === 1 ? 'waits' : 'wait'} here for it.`,
      advice: `remove “paused: true” from ${name} in the config, and start the bridge again`,
    }),
  );
}

function studyItem(study, busy) {
  return card({
    key: study.key,
    tone: 'warn',
    title: `A study from ${study.callingAes.join(', ')} goes nowhere (${study.modalities.join(', ')})`,
    code: 'ROUTE_MISSING',
    atMs: study.lastInstanceAtMs,
    why: `No route of the config fits its ${plural(study.instanceCount, 'instance')}. They are safe here.`,
    advice: 'add a route to the config and start the bridge again; then complete the study',
    actions: [
      actionButton({
        text: 'Complete now',
        label: `Complete the study from ${study.callingAes.join(', ')} now`,
        path: `/api/studies/${encodeURIComponent(study.key)}/complete`,
        done: 'The study is complete; it is being packed.',
        busy,
      }),
    ],
  });
}

function conflictItems(count) {
  if (count === 0) return [];
  return [
    card({
      key: 'conflicts',
      tone: 'warn',
      title: `${plural(count, 'instance')} came again with other bytes`,
      code: 'INSTANCE_CONFLICT',
      why: 'The first version travels; the others are kept aside in the data folder, in “conflicts”.',
      advice: 'compare both versions, and ask the vendor of the modality why it sent two',
    }),
  ];
}

function refusalItem(refusal) {
  const times = refusal.count === 1 ? '' : `, ${refusal.count.toLocaleString('en')} times`;
  const caller = refusal.callingAe === '' ? 'A caller' : refusal.callingAe;
  return card({
    key: `${refusal.code} ${refusal.callingAe} ${refusal.calledAe} ${refusal.remoteAddress} ${refusal.reason ?? ''}`,
    tone: 'warn',
    title: `${caller} at ${refusal.remoteAddress} was refused${times}`,
    code: refusal.code,
    atMs: refusal.atMs,
    ...refusalWords(refusal),
  });
}

function refusalWords({ code, callingAe, calledAe, remoteAddress, reason, advice }) {
  switch (code) {
    case 'CALLING_AE_UNKNOWN':
      return {
        why: reason ?? 'It is not on the list of modalities that may send.',
        advice: [
          'if it may, add to dimse.callers: ',
          copyable(`{ aeTitle: ${callingAe}, hosts: [${remoteAddress}] }`, 'the line for the config'),
        ],
      };
    case 'CALLED_AE_UNKNOWN':
      return {
        why: `It calls “${calledAe}”, which this bridge is not.`,
        advice: 'correct the called AE title at the modality, or add it to dimse.aeTitles',
      };
    case 'ASSOCIATION_LIMIT':
      return {
        why: reason ?? 'Too many associations were open at that moment.',
        advice: 'raise dimse.maxAssociations if this is normal traffic',
      };
    case 'CALLER_UNTRUSTED':
      return {
        why: `It did not get through TLS: ${reason}.`,
        advice: !/certificate|signed|CA/.test(reason ?? '')
          ? 'docs/dicom.md says what to do if it is a device of yours; anything else was kept out, and nothing is to be done'
          : 'docs/dicom.md says how certificates are exchanged; a certificate that you know can be added to dimse.tls.certificateFingerprints',
      };
    default:
      return { why: reason ?? '', advice: advice ?? '' };
  }
}
