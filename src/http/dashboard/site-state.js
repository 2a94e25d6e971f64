/** What the page of a site shows, as the bridge tells it. */
import { get } from './bridge.js';

/** As many stuck ones as a person would look through. */
const STUCK_LIMIT = 100;
const STUCK = { deliveries: ['parked', 'refused'], receptions: ['quarantined', 'parked', 'refused'] };

/** Everything that the page shows, asked for at once. */
export async function fetchAll({ filter, limits }) {
  const overview = await get('/api/overview');
  const stuck = (kind) =>
    Promise.all(
      STUCK[kind]
        .filter((state) => overview.counts[kind][state] > 0)
        .map((state) => get(`/api/${kind}?state=${state}&limit=${STUCK_LIMIT}`)),
    ).then((lists) => lists.flat());
  const state = filter === undefined ? '' : `&state=${filter}`;
  const [studies, peers, associations, refusals, deliveries, receptions, stuckDeliveries, stuckReceptions] =
    await Promise.all([
      get('/api/studies'),
      get('/api/peers'),
      get('/api/associations'),
      get('/api/refusals'),
      get(`/api/deliveries?limit=${limits.deliveries}${state}`),
      get(`/api/receptions?limit=${limits.receptions}`),
      stuck('deliveries'),
      stuck('receptions'),
    ]);
  return {
    overview,
    studies,
    peers,
    associations,
    refusals,
    deliveries,
    receptions,
    stuckDeliveries,
    stuckReceptions,
  };
}
