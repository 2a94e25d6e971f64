/** What comes in from modalities: studies that gather, and associations that are open. */
import { el } from './dom.js';
import { age, bytes, plural, sentence } from './format.js';
import { actionButton, chip, empty } from './parts.js';

export function studies(list, { dimse, busy }) {
  if (list.length === 0) {
    return [
      empty(
        'No study is arriving.',
        `Modalities send to ${dimse.aeTitles.join(' or ')}, ${ports(dimse)}. A C-ECHO is the quickest test.`,
      ),
    ];
  }
  return [el('ul', { class: 'card stack' }, ...list.map((study) => studyItem(study, busy)))];
}

function ports({ port, tlsPort }) {
  const plain = port === 0 ? [] : [`port ${port}`];
  return [...plain, ...(tlsPort === undefined ? [] : [`TLS port ${tlsPort}`])].join(', ');
}

function attachmentsOf({ attachmentCount }) {
  return attachmentCount ? `${plural(attachmentCount, 'attachment')} · ` : '';
}

function studyItem(study, busy) {
  const path = `/api/studies/${encodeURIComponent(study.key)}/complete`;
  const from = study.callingAes.join(', ');
  return el(
    'li',
    { 'data-key': study.key, class: `study ${study.state}` },
    el(
      'p',
      { class: 'line' },
      el('strong', {}, from),
      el('span', { class: 'sub' }, study.modalities.join(', ')),
      chip(study.state),
    ),
    el(
      'p',
      { class: 'sub' },
      `${plural(study.instanceCount, 'instance')} · ${attachmentsOf(study)}${bytes(study.dataSetBytes)} · last `,
      age(study.lastInstanceAtMs),
    ),
    el(
      'p',
      { class: 'line end' },
      el('span', { class: 'why' }, sentence(study.why)),
      study.state === 'held'
        ? ''
        : actionButton({
            text: 'Complete now',
            label: `Complete the study from ${from} now`,
            path,
            done: 'The study is complete; it is being packed.',
            busy,
            kind: 'quiet',
          }),
    ),
  );
}

function protection({ tls }) {
  return tls === undefined ? '' : `${tls.replace('v', ' ')} · `;
}

export function associations(list) {
  if (list.length === 0) return [el('p', { class: 'nothing' }, 'No association is open.')];
  return [
    el(
      'ul',
      { class: 'card stack' },
      ...list.map((one) =>
        el(
          'li',
          { 'data-key': one.id },
          el(
            'p',
            { class: 'line' },
            el('strong', {}, one.callingAe),
            el('span', { class: 'sub' }, `→ ${one.calledAe}`),
            el('span', { class: 'when' }, age(one.openedAtMs)),
          ),
          el(
            'p',
            { class: 'sub' },
            `${one.remoteAddress} · ${protection(one)}${plural(one.instanceCount, 'instance')} · ${bytes(one.bytes)}`,
          ),
        ),
      ),
    ),
  ];
}
