/** The API of the bridge that runs on this machine, with the token that only its owner can read. */
import { Readable } from 'node:stream';
import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/settings.js';
import { isErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createLayout } from '../spool/layout.js';
import { readApiToken } from '../trust/site-keys.js';

export interface BridgeApi {
  readonly role: Settings['role'];
  get(path: string): Promise<unknown>;
  /** @param json what the body holds, where the bridge expects one */
  post(path: string, json?: object): Promise<unknown>;
  /** Posts a body of any size. */
  upload(path: string, body: Readable): Promise<unknown>;
}

/** Hosts that mean "every address" when listening mean this machine when calling. */
const ANY_HOSTS = new Set(['0.0.0.0', '::']);

/** @throws CONFIG_INVALID, KEY_UNREADABLE; the methods throw PEER_UNREACHABLE when no bridge runs, and its own errors */
export async function openBridgeApi(configPath: string): Promise<BridgeApi> {
  const settings = loadSettings(configPath, process.env);
  const token = await readApiToken(createLayout(settings.dataDir).keys);
  const { host, port } = settings.dashboard;
  const base = `http://${ANY_HOSTS.has(host) ? '127.0.0.1' : host}:${port}`;

  const call = async (method: string, path: string, body?: Readable | string): Promise<unknown> => {
    let response: Response;
    try {
      response = await fetch(`${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
        },
        // Node's own type lacks `duplex`, without which no stream is sent.
        ...(body instanceof Readable ? ({ body: Readable.toWeb(body), duplex: 'half' } as RequestInit) : {}),
        ...(typeof body === 'string' ? { body } : {}),
      });
    } catch (cause) {
      throw new GatewayError('PEER_UNREACHABLE', `no bridge answers at ${base}`, { cause });
    }
    const answer: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw toError(response.status, answer);
    return answer;
  };

  return {
    role: settings.role,
    get: (path) => call('GET', path),
    post: (path, json) => call('POST', path, json === undefined ? undefined : JSON.stringify(json)),
    upload: (path, body) => call('POST', path, body),
  };
}

function toError(status: number, body: unknown): GatewayError {
  const problem = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const code = String(problem['code'] ?? '');
  const message = String(problem['detail'] ?? problem['title'] ?? `the bridge answers ${status}`);
  return new GatewayError(isErrorCode(code) ? code : 'PEER_REFUSED', message);
}
