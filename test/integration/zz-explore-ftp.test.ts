import { runProcess } from '../support/processes.js';
import { writeFile, readFile, rm } from 'node:fs/promises';
import { it } from 'vitest';
import { startFtpServer } from '../support/ftp-servers.js';
import { randomCuts, startCuttingProxy } from '../support/cutting-proxy.js';
it.each(['vsftpd', 'pure-ftpd', 'proftpd'] as const)('explore %s', async (kind) => {
    const c = Buffer.alloc(1_000_000); for (let i = 0; i < 250_000; i++) c.writeUInt32BE(i * 4, i * 4);
    await writeFile('/tmp/exp/1m', c);
    const s = await startFtpServer(kind);
    for (let seed = 0; seed < (kind === 'proftpd' ? 2 : 6); seed++) {
    const line = await startCuttingProxy({ target: s, cutAfter: randomCuts(seed, 100_000, 300_000) });
    const told = [];
    let i = 0; 
    for (; i < 12; i++) {
      const r = await runProcess({command:'curl', args:['-sv','--ssl-reqd','--tls-max','1.2','-m', '10', '--cacert',s.caFile,'--user',`${s.user}:${s.password}`,'-T','/tmp/exp/1m',...(i?['-C','-']:[]),`ftp://${line.host}:${line.port}/cut`]});
      const said = r.output.split('\n').filter(l=>/^[<] (213|4|5)/.test(l)).join('|');
      told.push(`${r.code} ${said}`);
      if (r.code === 0) break;
    }
    const got = await readFile(s.folder + '/cut');
    let at = 0; while (at < got.length && got[at] === c[at]) at++;
    console.log(kind, seed, got.equals(c), got.length, 'differs at', at, got.subarray(at & ~3, (at & ~3) + 8).toString('hex'), (at&~3).toString(16), told.join(' ; '));
    await rm(s.folder + '/cut');
    await line.stop();
    }
    await s.stop();
}, 100_000);
