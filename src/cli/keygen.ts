/** `drawbridge keygen`: a pair of keys for sealing and one for signing, as files. */
import { createPublicKey } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { GatewayError } from '../errors/gateway-error.js';
import { keyFingerprint, rawPublicKey } from '../jmix/raw-keys.js';
import { generatePrivateKey, type KeyPurpose, keyText, privateKeyText } from '../trust/key-files.js';
import { type JsonOption, printResult } from './output.js';
import { type PassphraseOption, passphraseOf, passphraseOption } from './own-keys.js';

const PURPOSES: readonly KeyPurpose[] = ['encryption', 'signing'];

export function keygenCommand(): Command {
  return new Command('keygen')
    .description(
      'write encryption.key/.pub (X25519) and signing.key/.pub (Ed25519): base64 of the raw 32 bytes, private ones also as encrypted PEM',
    )
    .requiredOption('--out <dir>', 'folder for the four files; none of them may exist')
    .addOption(passphraseOption('holds a passphrase to put the private keys under'))
    .option('--json', 'one JSON object on standard output')
    .action(async (options: JsonOption & PassphraseOption & { readonly out: string }) => {
      const folder = resolve(options.out);
      const passphrase = await passphraseOf(options);
      await mkdir(folder, { recursive: true });
      const fingerprints: Record<string, string> = {};
      for (const purpose of PURPOSES) {
        const privateKey = generatePrivateKey(purpose);
        const publicKey = createPublicKey(privateKey);
        await create(join(folder, `${purpose}.key`), await privateKeyText(privateKey, passphrase), 0o600);
        await create(join(folder, `${purpose}.pub`), keyText(rawPublicKey(publicKey)), 0o644);
        fingerprints[purpose] = keyFingerprint(publicKey);
      }
      printResult(options, { out: folder, fingerprints }, folder);
    });
}

async function create(path: string, text: string, mode: number): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx', mode });
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `cannot write ${path}: a key is never replaced`, { cause });
  }
}
