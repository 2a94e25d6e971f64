/** Listeners over real sockets: which TLS they speak, and how they stop. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestListener } from 'node:http';
import { connect } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { listenPlain, listenTls } from '../../src/http/server.js';
import { makeCertificate } from '../support/certificates.js';
import { ask } from '../support/http-client.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

/** Answers when the whole body has come. */
const echo: RequestListener = (request, response) => {
  request.resume();
  request.on('end', () => response.end('done'));
};

describe('a plain listener', () => {
  it('that closes lets a request end that has begun, and takes no other', async () => {
    let begun = false;
    const listener = await listenPlain({
      host: '127.0.0.1',
      port: 0,
      app: (request, response) => {
        begun = true;
        echo(request, response);
      },
    });
    const request = httpRequest({ port: listener.port, method: 'POST', agent: false });
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.write('half');
    await until(() => begun);
    const closed = listener.close(10_000);
    await expect(ask({ port: listener.port })).rejects.toThrow('ECONNREFUSED');
    request.end('whole');
    const [response] = await answered;
    response.resume();
    expect(response.statusCode).toBe(200);
    await closed;
  });

  it('that closes does not wait for a body of which nothing comes', async () => {
    let begun = false;
    const app: RequestListener = (request, response) => {
      begun = true;
      echo(request, response);
    };
    const listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
    const request = httpRequest({ port: listener.port, method: 'POST', agent: false });
    const answered = once(request, 'response');
    request.write('half');
    await until(() => begun);
    const broken = expect(answered).rejects.toThrow('socket hang up');
    await listener.close(600_000);
    await broken;
  });

  it('that closes does not wait longer than it was given', async () => {
    const listener = await listenPlain({ host: '127.0.0.1', port: 0, app: () => undefined });
    const unanswered = ask({ port: listener.port });
    unanswered.catch(() => undefined);
    await listener.close(50);
    await expect(unanswered).rejects.toThrow();
  });

  it('on a port that is taken is refused', async () => {
    const listener = await listenPlain({ host: '127.0.0.1', port: 0, app: echo });
    await expect(listenPlain({ host: '127.0.0.1', port: listener.port, app: echo })).rejects.toThrow(
      'EADDRINUSE',
    );
    await listener.close(0);
  });
});

describeWith('openssl', 'a TLS listener', () => {
  it('speaks TLS 1.2 and 1.3, and nothing older', async () => {
    const identity = await makeCertificate('bridge');
    const listener = await listenTls({
      host: '127.0.0.1',
      port: 0,
      certificate: identity.certificate,
      privateKey: identity.privateKey,
      authorities: [],
      app: echo,
    });
    const handshake = async (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') => {
      // Security level 0, so that it is the listener which says no.
      const socket = connect({
        port: listener.port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
        ciphers: 'DEFAULT:@SECLEVEL=0',
      });
      try {
        await once(socket, 'secureConnect');
        return socket.getProtocol();
      } finally {
        socket.destroy();
      }
    };
    expect(await handshake('TLSv1.3')).toBe('TLSv1.3');
    expect(await handshake('TLSv1.2')).toBe('TLSv1.2');
    await expect(handshake('TLSv1.1')).rejects.toThrow(/protocol version/);
    await listener.close(0);
  });
});
