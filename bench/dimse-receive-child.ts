/** What a gateway takes instances in with, and nothing else of it: SCP, intake, store. Told the data folder. */
import { compileLater } from '../src/compose/compile-later.js';
import { scpSettings } from '../src/compose/scp-settings.js';
import { parseSettings } from '../src/config/load.js';
import { startScp } from '../src/dimse/scp.js';
import { createLog } from '../src/observe/log.js';
import { createFeeding } from '../src/outbound/feeding.js';
import { createIntake } from '../src/outbound/intake.js';
import { createSpool } from '../src/spool/envelope-store.js';
import { createLayout } from '../src/spool/layout.js';
import { openStudyStore } from '../src/spool/study-store.js';

const MAX_ASSOCIATIONS = 512;

compileLater();

const folder = process.argv[2] ?? '';
const settings = parseSettings(
  JSON.stringify({
    dataDir: folder,
    site: { id: 'bench', name: 'Bench', contact: 'bench@example.org' },
    dimse: {
      host: '127.0.0.1',
      anyCaller: true,
      maxAssociations: MAX_ASSOCIATIONS,
      maxAssociationsPerCaller: MAX_ASSOCIATIONS,
    },
  }),
  {},
  folder,
);
const log = createLog('info', { service: 'bench' });
const layout = createLayout(folder);
await createSpool(layout);
const scp = await startScp({
  ...scpSettings(settings, []),
  port: 0,
  handler: createIntake({
    studies: await openStudyStore(layout, { logMegabytes: settings.disk.receptionLogMegabytes }),
    feeding: createFeeding(),
    clock: { now: Date.now },
    log,
    arrived: () => undefined,
  }),
  log,
});
process.on('SIGTERM', () => process.exit());
process.stdout.write(`${JSON.stringify({ port: scp.port })}\n`);
