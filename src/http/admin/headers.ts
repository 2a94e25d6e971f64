/** What browsers are told that they must not do with our pages. */
import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * With `no-referrer`, helmet's default, browsers send the login with `Origin: null`, and over plain HTTP nothing else
 * tells it from a forged one.
 */
const REFERRER_POLICY = { policy: 'same-origin' } as const;

/** Nothing but our own files; no script or style within a page. */
export const strictHeaders: RequestHandler = helmet({
  contentSecurityPolicy: {
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
      fontSrc: ["'none'"],
      // Served without TLS on the loopback; a proxy in front of it says otherwise by itself.
      upgradeInsecureRequests: null,
    },
  },
  referrerPolicy: REFERRER_POLICY,
  strictTransportSecurity: false,
});

/** The board's pages bring scripts and styles within them, and would ask Google for fonts: a bridge asks nobody. */
export const boardHeaders: RequestHandler = helmet({
  contentSecurityPolicy: {
    directives: {
      scriptSrc: ["'self'", "'unsafe-inline'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      fontSrc: ["'self'"],
      upgradeInsecureRequests: null,
    },
  },
  referrerPolicy: REFERRER_POLICY,
  strictTransportSecurity: false,
});

export const noStore: RequestHandler = (_request, response, next) => {
  response.setHeader('cache-control', 'no-store');
  next();
};
