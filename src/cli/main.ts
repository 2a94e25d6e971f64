/** The `drawbridge` command: one file for each verb. */
import { Command } from 'commander';
import { DRAWBRIDGE_VERSION } from '../compose/version.js';
import { attachCommand } from './attach.js';
import { checkConfigCommand } from './check-config.js';
import { echoCommand } from './echo.js';
import { gatewayCommand } from './gateway.js';
import { initCommand } from './init.js';
import { inspectCommand } from './inspect.js';
import { keygenCommand } from './keygen.js';
import { keysCommand } from './keys.js';
import { openCommand } from './open.js';
import { EXIT, isHelp, isUsageError, printError } from './output.js';
import { pairCommand } from './pair.js';
import { peersCommand } from './peers.js';
import { probeCommand } from './probe.js';
import { proofCommand } from './proof.js';
import { retryCommand } from './retry.js';
import { sealCommand } from './seal.js';
import { sendCommand } from './send.js';
import { statusCommand } from './status.js';
import { upCommand } from './up.js';
import { verifyCommand } from './verify.js';
import { workerCommand } from './worker.js';

const EXIT_CODES = `
Exit codes: 0 done, 1 refused or failed, 2 wrong arguments, 70 a fault of drawbridge, 75 try again later, 78 the config has errors.`;

/** @returns the exit code */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('drawbridge')
    .description('Carries DICOM studies between sites in sealed, signed JMIX envelopes.')
    .version(DRAWBRIDGE_VERSION)
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(add --help for the options)');
  const commands = [
    upCommand,
    gatewayCommand,
    workerCommand,
    initCommand,
    pairCommand,
    peersCommand,
    checkConfigCommand,
    keygenCommand,
    keysCommand,
    sendCommand,
    attachCommand,
    sealCommand,
    openCommand,
    verifyCommand,
    inspectCommand,
    proofCommand,
    statusCommand,
    retryCommand,
    echoCommand,
    probeCommand,
  ];
  for (const command of commands) program.addCommand(command().exitOverride());
  program.exitOverride();
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return process.exitCode === undefined ? EXIT.ok : Number(process.exitCode);
  } catch (error) {
    if (isHelp(error)) return EXIT.ok;
    if (isUsageError(error)) return EXIT.usage;
    return printError({ json: argv.includes('--json') }, error);
  }
}
