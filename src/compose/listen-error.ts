/** A port that cannot be had, in words: it is a matter of the machine, and says which setting names another one. */
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';

const REASONS: Readonly<Record<string, { readonly words: string; readonly advice: string }>> = {
  EADDRINUSE: { words: 'is taken by another program', advice: 'end that program, or choose another port' },
  EACCES: {
    words: 'may not be opened by this user',
    advice: 'choose a port above 1023, or give the bridge the capability CAP_NET_BIND_SERVICE',
  },
  EADDRNOTAVAIL: {
    words: 'cannot be opened on that host address',
    advice: 'name an address of this machine, or 0.0.0.0',
  },
};

/** The error of a listener as STATE_INVALID with the setting of its port; any other error as it is. */
export function classifyListenError(
  error: unknown,
  { dimse, https, dashboard }: Pick<Settings, 'dimse' | 'https' | 'dashboard'>,
): unknown {
  if (!(error instanceof Error && 'syscall' in error && error.syscall === 'listen')) return error;
  const reason = 'code' in error ? REASONS[String(error.code)] : undefined;
  const port = 'port' in error ? error.port : undefined;
  if (reason === undefined || typeof port !== 'number') return error;
  const settings: readonly (readonly [string, number])[] = [
    ['dimse.port', dimse.port],
    ['dimse.tls.port', dimse.tls.port],
    ['https.port', https.port],
    ['dashboard.port', dashboard.port],
  ];
  const setting = settings.find(([, number]) => number === port)?.[0];
  const name = setting === undefined ? `port ${port}` : `${setting}: port ${port}`;
  return new GatewayError('STATE_INVALID', `${name} ${reason.words}`, {
    advice: reason.advice,
    facts: { port },
    cause: error,
  });
}
