/** What a reception waits for next, as its record says. Pure. */
import type { Reception } from './reception.js';

/** A step that a reception waits for; `pacs` names the lane of a `deliver`. */
export interface DueStep {
  readonly stage: 'open' | 'verify' | 'deliver' | 'confirm';
  readonly pacs?: string;
}

/** The steps that take a reception further; none when nothing is left to do without an operator. */
export function nextReceptionSteps(reception: Reception): readonly DueStep[] {
  if (reception.parked !== undefined) return [];
  if (reception.quarantined !== undefined)
    return reception.refusalConfirmed === true ? [] : [{ stage: 'confirm' }];
  switch (reception.progress) {
    case 'received':
      return [{ stage: 'open' }];
    case 'opened':
      return [{ stage: 'verify' }];
    case 'verified': {
      const pending = deliveriesDue(reception);
      if (pending.length > 0) return pending;
      const isRefused = Object.values(reception.pacs).some(({ state }) => state === 'refused');
      // Where all have stored it, only the record has not come to say so.
      return isRefused && reception.refusalConfirmed === true ? [] : [{ stage: 'confirm' }];
    }
    case 'delivered':
      return [{ stage: 'confirm' }];
    case 'confirmed':
      return deliveriesDue(reception);
  }
}

function deliveriesDue({ pacs }: Reception): readonly DueStep[] {
  const pending = Object.entries(pacs).filter(([, outcome]) => outcome.state === 'pending');
  return pending.map(([name]) => ({ stage: 'deliver', pacs: name }));
}
