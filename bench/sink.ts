/** An HTTPS server that reads whatever comes and keeps nothing. Gets its certificate on stdin, says its port. */
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import type { TestCertificate } from '../test/support/certificates.js';

const { certificate, privateKey } = JSON.parse(await text(process.stdin)) as TestCertificate;
const server = createServer({ cert: certificate, key: privateKey }, (request, response) => {
  request.resume();
  request.on('end', () => {
    const isProbe = request.method === 'GET' || request.method === 'HEAD';
    response.writeHead(isProbe ? 404 : 201, { 'content-type': 'application/json' }).end('{}');
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? address?.port : ''}\n`);
});
