/** The `drawbridge` command: one file for each verb. */
import { Command } from 'commander';
import { DRAWBRIDGE_VERSION } from '../compose/version.js';
import { EXIT, isHelp, isUsageError, printError } from './output.js';

/** Each is loaded when it is asked for: all of them take ten times as long, and twice the memory. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import('./up.js')).upCommand(),
  gateway: async () => (await import('./gateway.js')).gatewayCommand(),
  worker: async () => (await import('./worker.js')).workerCommand(),
  init: async () => (await import('./init.js')).initCommand(),
  pair: async () => (await import('./pair.js')).pairCommand(),
  peers: async () => (await import('./peers.js')).peersCommand(),
  'check-config': async () => (await import('./check-config.js')).checkConfigCommand(),
  keygen: async () => (await import('./keygen.js')).keygenCommand(),
  keys: async () => (await import('./keys.js')).keysCommand(),
  send: async () => (await import('./send.js')).sendCommand(),
  attach: async () => (await import('./attach.js')).attachCommand(),
  seal: async () => (await import('./seal.js')).sealCommand(),
  open: async () => (await import('./open.js')).openCommand(),
  verify: async () => (await import('./verify.js')).verifyCommand(),
  inspect: async () => (await import('./inspect.js')).inspectCommand(),
  proof: async () => (await import('./proof.js')).proofCommand(),
  status: async () => (await import('./status.js')).statusCommand(),
  retry: async () => (await import('./retry.js')).retryCommand(),
  dismiss: async () => (await import('./dismiss.js')).dismissCommand(),
  echo: async () => (await import('./echo.js')).echoCommand(),
  probe: async () => (await import('./probe.js')).probeCommand(),
};

const VERSION = ['-V', '--version'];

const EXIT_CODES = `
Exit codes: 0 done, 1 refused or failed, 2 wrong arguments, 70 a fault of drawbridge, 75 try again later, 78 the config has errors.`;

/** @returns the exit code */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('drawbridge')
    .description('Carries DICOM studies between sites in sealed, signed JMIX envelopes.')
    .version(DRAWBRIDGE_VERSION)
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(add --help for the options)');
  const [asked = ''] = argv;
  const known = Object.hasOwn(COMMANDS, asked) ? COMMANDS[asked] : undefined;
  // Help, and what is no command, are answered by all of them.
  const others = VERSION.includes(asked) ? [] : Object.values(COMMANDS);
  const loaders = known === undefined ? others : [known];
  for (const command of await Promise.all(loaders.map((load) => load()))) program.addCommand(command);
  leaveExitToUs(program);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return process.exitCode === undefined ? EXIT.ok : Number(process.exitCode);
  } catch (error) {
    if (isHelp(error)) return EXIT.ok;
    if (isUsageError(error)) return EXIT.usage;
    return printError({ json: argv.includes('--json') }, error);
  }
}

/** Of a command and all below it: what it would end the process with is thrown. */
function leaveExitToUs(command: Command): void {
  command.exitOverride();
  for (const each of command.commands) leaveExitToUs(each);
}
