/** `--signer` and `--allow-unsigned`: whose signature a command wants to see. One of them must be given. */
import type { Command } from 'commander';
import { GatewayError } from '../errors/gateway-error.js';
import type { Trust } from '../jmix/signatures.js';
import { readPublicKey } from '../trust/key-files.js';

export interface TrustOptions {
  readonly signer?: readonly string[];
  readonly allowUnsigned?: boolean;
}

export function addTrustOptions(command: Command): Command {
  return command
    .option('--signer <file...>', 'the sender’s signing.pub; a signature by another key counts for nothing')
    .option(
      '--allow-unsigned',
      'take an envelope that nobody signed, or whose signer is not known: anyone may have made it',
    );
}

/** @throws REQUEST_INVALID when neither is given */
export async function trustOf(options: TrustOptions): Promise<Trust> {
  const keys = await Promise.all((options.signer ?? []).map((path) => readPublicKey(path, 'signing')));
  if (options.allowUnsigned === true)
    return { kind: 'allow-unsigned', ...(keys.length === 0 ? {} : { keys }) };
  if (keys.length === 0) {
    throw new GatewayError('REQUEST_INVALID', 'expected --signer <file>, or --allow-unsigned to do without');
  }
  return { kind: 'pinned', keys };
}
