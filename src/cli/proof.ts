/** `drawbridge proof`: what a delivery or reception can be proven with, as one file or folder. No bridge has to run. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { makeProof, openProofSite } from '../compose/proof.js';
import { loadSettings } from '../config/load.js';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readManifest } from '../jmix/manifest.js';
import { classifyDiskError, createFileDurably, renameDurably, syncTree } from '../spool/atomic.js';
import { PROOF_FILES, type ProofFiles } from '../trust/proof.js';
import { proofAsTar, proofAsZip } from '../trust/proof-archive.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { assertSite } from './gateway.js';
import { type JsonOption, printResult } from './output.js';

interface ProofOptions extends ConfigOption, JsonOption {
  readonly out: string;
}

export function proofCommand(): Command {
  return new Command('proof')
    .description(
      'export the proof of a delivery or reception: manifest, signatures, audit trail, receipts, keys',
    )
    .argument('<id>', 'of the delivery or reception, as status shows it')
    .requiredOption('--out <path>', 'FILE.tar, FILE.zip, or a folder; must not exist')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (text: string, options: ProofOptions) => {
      const settings = loadSettings(configPath(options), process.env);
      assertSite(settings);
      const files = await makeProof(await openProofSite(settings), parseEnvelopeId(text));
      const out = resolve(options.out);
      await writeProof(out, files);
      const hasReceipt = files.has(PROOF_FILES.receipt);
      warnOfPatient(files);
      printResult(
        options,
        { id: text, path: out, files: [...files.keys()], receipt: hasReceipt },
        hasReceipt ? out : `${out}\n(no receipt yet: it proves what was sealed, not that it arrived)`,
      );
    });
}

/** Whole under its name, or not at all. @throws REQUEST_INVALID when the name is taken, SPOOL_WRITE_FAILED */
async function writeProof(out: string, files: ProofFiles): Promise<void> {
  let isNew: boolean;
  try {
    await mkdir(dirname(out), { recursive: true });
    if (/\.tar$/i.test(out)) isNew = await createFileDurably(out, proofAsTar(files), 0o600);
    else if (/\.zip$/i.test(out)) isNew = await createFileDurably(out, proofAsZip(files), 0o600);
    else isNew = await createFolder(out, files);
  } catch (error) {
    throw classifyDiskError(error);
  }
  if (!isNew) throw new GatewayError('REQUEST_INVALID', `expected a name that is not taken yet: ${out}`);
}

async function createFolder(out: string, files: ProofFiles): Promise<boolean> {
  if (await exists(out)) return false;
  const part = join(dirname(out), `.${basename(out)}-${randomUUID()}.part`);
  try {
    for (const [name, bytes] of files) {
      await mkdir(dirname(join(part, name)), { recursive: true, mode: 0o700 });
      await writeFile(join(part, name), bytes, { flag: 'wx', mode: 0o600 });
    }
    await syncTree(part);
    await renameDurably(part, out);
    return true;
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function warnOfPatient(files: ProofFiles): void {
  const manifest = files.get(PROOF_FILES.manifest);
  if (manifest === undefined || readManifest(manifest).keys !== 'js') return;
  process.stderr.write(
    'warning: the sender’s software puts data of the patient into manifest.json, in clear\n',
  );
}
