import { silentLog } from '../../src/observe/log.js';
import { startRedis } from '../../src/queue/redis/ladder.js';
import { queueConformance } from '../conformance/queue.js';

queueConformance('the embedded server', (dataDir) =>
  startRedis({ dataDir, allowDownload: false, log: silentLog, rungs: ['embedded'] }),
);
