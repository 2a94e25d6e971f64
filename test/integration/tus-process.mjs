/**
 * A listener for uploads in pieces as a process of its own, so that a test can kill it. Prints its port; what it receives
 * is one file, `held`. Arguments: its folder, the folder of the built program.
 */
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import express from 'express';

const [folder, built] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(built, path)).href);
const { listenTls } = await load('http/server.js');
const { createUploads } = await load('http/tus/uploads.js');

const ignore = () => undefined;
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => log };
mkdirSync(join(folder, 'uploads'), { recursive: true });
const held = join(folder, 'held');
const manifestSha256 = readFileSync(join(folder, 'manifest-sha256'), 'utf8');
const uploads = createUploads({
  folder: join(folder, 'uploads'),
  maxBytes: 1024 ** 3,
  expiryMs: 3_600_000,
  log,
  admission: () => undefined,
  probe: async () => (existsSync(held) ? { manifestSha256 } : undefined),
  async receive({ body }) {
    await pipeline(body, createWriteStream(`${held}.part`));
    // Killed here: all bytes have come, and nothing is held yet.
    if (existsSync(join(folder, 'die-before-held'))) process.kill(process.pid, 'SIGKILL');
    await rename(`${held}.part`, held);
    return { id: 'unused', created: true };
  },
});
const app = express();
app.use((_request, response, next) => {
  response.locals.peerId = 'site-a';
  next();
});
app.use('/api/jmix/uploads', uploads.router);
const { port } = await listenTls({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  certificate: readFileSync(join(folder, 'certificate.pem'), 'utf8'),
  privateKey: readFileSync(join(folder, 'key.pem'), 'utf8'),
  authorities: [],
  app,
});
console.log(`listening on ${port}`);
