/** `?state=parked&limit=20`, as every list of the API takes it. */
import type { Request } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

/** An unknown state simply fits nothing. @throws REQUEST_INVALID */
export function listFilter<S extends string>({ query }: Request): { state?: S; limit: number } {
  const { state, limit } = query;
  const count = limit === undefined ? DEFAULT_LIMIT : Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > MAX_LIMIT) {
    throw new GatewayError('REQUEST_INVALID', `limit must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  return { limit: count, ...(typeof state === 'string' ? { state: state as S } : {}) };
}
