/** `drawbridge probe`: whether a peer or an exchange can be reached, is who it should be, and knows us. Changes nothing. */
import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { exchangeAdvice } from '../compose/exchange-board.js';
import { openSite, type SiteContext } from '../compose/site.js';
import { loadSettings } from '../config/load.js';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';
import { createLog } from '../observe/log.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { formatBytes, type JsonOption, printResult } from './output.js';

const TIMEOUT_MS = 60_000;

interface Finding {
  /** What was tried: `inbox`, or `outbox for hospital-b`. */
  readonly what: string;
  readonly found: string;
}

export function probeCommand(): Command {
  return new Command('probe')
    .description('ask a peer or an exchange of the config whether it is there and knows us')
    .argument('<name>', 'id of a peer, or name of an exchange')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (name: string, options: ConfigOption & JsonOption) => {
      const settings = loadSettings(configPath(options), process.env);
      const site = await openSite(settings, createLog('error', { service: 'cli' }));
      try {
        const signal = AbortSignal.timeout(TIMEOUT_MS);
        const findings = await probe(site, name, signal).catch((error: unknown) => {
          const raw = signal.aborted && isGatewayError(error) ? late(error) : error;
          throw withAdvice(site, name, toGatewayError(raw));
        });
        const lines = findings.map(({ what, found }) => `${what}: ${found}`);
        printResult(options, { findings }, lines.join('\n'));
      } finally {
        site.close();
      }
    });
}

async function probe(site: SiteContext, name: string, signal: AbortSignal): Promise<readonly Finding[]> {
  const isInbox = site.lines.inboxes.some((exchange) => exchange.name === name);
  const peers = [...site.peers.values()].filter(({ id, via }) => id === name || via === name);
  if (!isInbox && peers.length === 0)
    throw new GatewayError('REQUEST_INVALID', `there is no peer and no exchange ${name} in the config`);
  const findings: Finding[] = [];
  if (isInbox) {
    const waiting = await site.lines.inboxAt(name).list({ signal });
    const bytes = waiting.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const count = waiting.length === 1 ? '1 envelope waits' : `${waiting.length} envelopes wait`;
    findings.push({
      what: 'inbox',
      found: waiting.length === 0 ? 'empty' : `${count} (${formatBytes(bytes)})`,
    });
  }
  for (const { id } of peers) {
    const nobody = { id: parseEnvelopeId(randomUUID()), folder: '', manifestSha256: '' };
    await site.lines.outboxTo(id).probe(nobody, signal);
    findings.push({ what: `outbox for ${id}`, found: 'reached' });
  }
  return findings;
}

/** What to do about an exchange differs from what to do about a peer. */
function withAdvice(site: SiteContext, name: string, error: GatewayError): GatewayError {
  const exchange = site.exchanges.get(name) ?? site.exchanges.get(site.peers.get(name)?.via ?? '');
  if (exchange === undefined) return error;
  const { code, message, facts, cause } = error;
  return new GatewayError(code, message, { facts, cause, advice: exchangeAdvice(exchange.type, code) });
}

function late(cause: GatewayError): GatewayError {
  return new GatewayError('PEER_UNREACHABLE', `no answer within ${TIMEOUT_MS / 1000} s`, { cause });
}
