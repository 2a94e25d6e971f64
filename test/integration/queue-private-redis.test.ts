import { silentLog } from '../../src/observe/log.js';
import { startRedis } from '../../src/queue/redis/ladder.js';
import { queueConformance } from '../conformance/queue.js';
import { describeWith } from '../support/tools.js';

describeWith('redis', 'with redis-server', () => {
  queueConformance('a private Redis', (dataDir) =>
    startRedis({ dataDir, allowDownload: false, log: silentLog, rungs: ['private'] }),
  );
});
