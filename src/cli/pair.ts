/** `drawbridge pair`: two sites get to know each other's keys, and two people make sure of it by six words. */
import { hostname } from 'node:os';
import { Command } from 'commander';
import { GatewayError } from '../errors/gateway-error.js';
import { configOption } from './config-option.js';
import { readByLetter, requestByLetter } from './pair-letter.js';
import { confirmPairing, pairOverBridge, refusePairing, testPeer } from './pair-online.js';
import type { PairOptions } from './pair-options.js';

const EXPLANATION = `
With a line between the two: one side runs \`drawbridge pair\`, which waits for ten minutes; the other runs
\`drawbridge pair https://host:8443\` with the address of the first. Both bridges have to be running.
Without one: A runs \`pair --out request.txt\`, B \`pair --in request.txt --out answer.txt\`, A \`pair --in answer.txt\`.
Either way both screens show six words, which the two people compare by telephone before they type yes.
Where nobody can be asked, the command shows them and ends; \`pair --words "the six words"\` says yes, \`pair --refuse\` no
(for letters with the same --in).`;

export function pairCommand(): Command {
  return new Command('pair')
    .description('get to know another bridge: its keys, its address, its certificate; compared by six words')
    .argument('[url]', 'the other bridge, https://host:port, which waits; without one, this bridge waits')
    .option('--out <file>', 'for sites without a line: write the request, or with --in the answer')
    .option('--in <file>', 'for sites without a line: read the request, or the answer, of the other site')
    .option('--words <words>', 'say yes: the six words, as the other screen shows them')
    .option('--refuse', 'say no to the pairing whose words are being compared')
    .option('--test <peer>', 'send a test envelope to a peer, and wait for its receipt')
    .option('--host <host>', 'host name under which partners reach this bridge', hostname())
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .addHelpText('after', EXPLANATION)
    .action(async (url: string | undefined, options: PairOptions) => {
      const isLetter = options.in !== undefined || options.out !== undefined;
      if (url !== undefined && (isLetter || options.words !== undefined || options.refuse === true)) {
        throw new GatewayError(
          'REQUEST_INVALID',
          'an address goes with none of --in, --out, --words, --refuse',
        );
      }
      if (options.test !== undefined) return testPeer(options, options.test);
      if (options.in !== undefined) return readByLetter(options, options.in);
      if (options.out !== undefined) return requestByLetter(options, options.out);
      if (options.words !== undefined) return confirmPairing(options, options.words);
      if (options.refuse === true) return refusePairing(options);
      return pairOverBridge(options, url);
    });
}
