/**
 * Every setting: type, unit, range, default, and one line of meaning. README's table of settings and the commented
 * file of the first run are made from this schema, so they cannot drift from it.
 */
import { z } from 'zod';
import { isAeTitle } from '../domain/ae-title.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

const aeTitle = z.string().refine(isAeTitle, 'expected an AE title: 1 to 16 characters, no backslash');
const port = z.int().min(0).max(65_535);
const seconds = z.number().positive();
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'expected letters, digits, - and _, at most 64 characters');
/** Raw 32 bytes in padded base64, as `drawbridge keygen` writes them. */
const publicKey = z.string().regex(/^[A-Za-z0-9+/]{43}=$/, 'expected 44 characters of base64 (32 bytes)');
const fingerprint = z
  .string()
  .transform((text) =>
    text
      .replaceAll(':', '')
      .replace(/^SHA256/i, '')
      .toLowerCase(),
  )
  .refine((text) => /^[0-9a-f]{64}$/.test(text), 'expected a SHA-256 fingerprint: 64 hex digits');

const site = z
  .strictObject({
    id: name.describe('organisation id; the sender id of all envelopes made here'),
    name: z.string().min(1).describe('name of the organisation, as partners see it'),
    contact: z.string().min(1).describe('mail address or telephone number of the people who run this bridge'),
  })
  .describe('who we are');

const caller = z.strictObject({
  aeTitle: aeTitle.describe('calling AE title'),
  hosts: z
    .array(z.string().min(1))
    .optional()
    .describe('addresses, networks (10.1.0.0/16) or host names; absent: any'),
});

const dimse = z
  .strictObject({
    host: z.string().default('0.0.0.0').describe('address to listen on'),
    port: port.default(11_112).describe('port of the C-STORE and C-ECHO SCP'),
    aeTitles: z.array(aeTitle).min(1).prefault(['DRAWBRIDGE']).describe('called AE titles that are ours'),
    callers: z.array(caller).default([]).describe('modalities that may send'),
    anyCaller: z.boolean().default(false).describe('take studies from any calling AE title; for trials only'),
    privateSopClasses: z
      .array(z.string())
      .default([])
      .describe('private storage SOP classes to accept as well'),
    idleTimeoutSeconds: seconds.default(600).describe('an association silent for longer is aborted'),
    maxAssociations: z.int().min(1).max(10_000).default(100).describe('associations open at one time'),
    maxAssociationsPerCaller: z.int().min(1).max(10_000).default(50).describe('the same, from one host'),
    maxPduBytes: z
      .int()
      .min(4096)
      .max(MIB)
      .default(128 * 1024)
      .describe('largest PDU that we offer to receive'),
    maxInstanceBytes: z
      .int()
      .min(MIB)
      .default(16 * GIB)
      .describe('largest data set that is accepted'),
    acceptTimeoutSeconds: seconds.default(30).describe('a connection that asks for no association is closed'),
  })
  .prefault({})
  .describe('intake from modalities');

const completion = z
  .strictObject({
    quietSeconds: seconds.default(60).describe('a study is complete this long after its last instance'),
    quietSecondsByModality: z
      .record(z.string(), seconds)
      .default({})
      .describe('the same, for single modalities'),
    longestWaitSeconds: seconds
      .default(5400)
      .describe('complete at the latest this long after the first instance'),
  })
  .prefault({})
  .describe('when a study is complete');

/** Short, because it becomes part of a job's id. */
const pacsName = name.max(24, 'expected at most 24 characters');

const pacs = z.strictObject({
  name: pacsName.describe('how we call it'),
  aeTitle: aeTitle.describe('its AE title'),
  host: z.string().min(1).describe('its address or host name'),
  port: port.min(1).describe('its DICOM port'),
  callingAeTitle: aeTitle
    .optional()
    .describe('AE title that we use towards it; default: the first of dimse.aeTitles'),
});

const peer = z.strictObject({
  id: name.describe('its organisation id'),
  name: z.string().min(1).describe('name of the organisation'),
  contact: z.string().min(1).default('unknown').describe('whom to ring'),
  url: z
    .url({ protocol: /^https$/ })
    .optional()
    .describe('its API, https://host:port; absent: it only sends to us'),
  encryptionKey: publicKey.optional().describe('its X25519 public key; absent: it only sends to us'),
  signingKeys: z
    .array(publicKey)
    .default([])
    .describe('its Ed25519 public keys; a signature by another key counts for nothing'),
  certificateFingerprints: z.array(fingerprint).default([]).describe('SHA-256 of its TLS certificate'),
  caFile: z
    .string()
    .optional()
    .describe('PEM of the CA that vouches for its certificate, instead of fingerprints'),
  deliverTo: z.array(name).optional().describe('PACS that get what it sends; default: all'),
  allowUnsigned: z
    .boolean()
    .default(false)
    .describe(
      'accept envelopes that nobody signed: anyone who knows our public key can then forge studies of this peer',
    ),
});

const route = z.strictObject({
  to: z.array(name).min(1).describe('peers'),
  match: z
    .strictObject({
      callingAe: z.array(aeTitle).optional(),
      calledAe: z.array(aeTitle).optional(),
      modality: z.array(z.string()).optional(),
    })
    .default({})
    .describe('each list that is present must fit; none: every study'),
});

const https = z
  .strictObject({
    host: z.string().default('0.0.0.0').describe('address to listen on'),
    port: port.default(8443).describe('port of the API for other bridges'),
    certFile: z
      .string()
      .optional()
      .describe('PEM certificate; default: one that the bridge makes for itself'),
    keyFile: z.string().optional().describe('PEM private key of the certificate'),
    maxEnvelopeBytes: z
      .int()
      .min(MIB)
      .default(64 * GIB)
      .describe('largest envelope that is accepted'),
  })
  .prefault({})
  .describe('the API for other bridges');

const dashboard = z
  .strictObject({
    host: z
      .string()
      .default('127.0.0.1')
      .describe('address to listen on; put a TLS proxy before it to open it up'),
    port: port.default(8080).describe('port of the dashboard'),
  })
  .prefault({})
  .describe('the page for people, and the API for scripts');

const redis = z
  .strictObject({
    url: z
      .url({ protocol: /^rediss?$/ })
      .optional()
      .describe('redis://host:port/db or rediss://; absent: a private one'),
    password: z.string().optional().describe('better in the environment: DRAWBRIDGE_REDIS_PASSWORD_FILE'),
    caFile: z.string().optional().describe('PEM of the CA of a rediss:// server'),
    download: z
      .boolean()
      .default(true)
      .describe('where no Redis is installed, unpack the distribution’s package'),
  })
  .prefault({})
  .describe('the job queue; it can always be rebuilt from the disk');

const disk = z
  .strictObject({
    warnFreeBytes: z
      .int()
      .min(0)
      .default(20 * GIB)
      .describe('warn below this much free space'),
    refuseFreeBytes: z
      .int()
      .min(0)
      .default(2 * GIB)
      .describe('take nothing new below this much free space'),
  })
  .prefault({})
  .describe('free space on the data disk');

const retention = z
  .strictObject({
    verifiedHours: z
      .number()
      .min(0)
      .default(24)
      .describe('keep a study this long after its receipt was verified'),
    deliveredHours: z
      .number()
      .min(0)
      .default(24)
      .describe('keep a received study this long after our PACS has it'),
  })
  .prefault({})
  .describe('when the spool forgets; records are kept');

const workers = z
  .strictObject({
    processes: z.int().min(0).max(64).default(1).describe('worker processes that `up` starts'),
    sandbox: z.boolean().default(true).describe('open and seal envelopes in processes of their own'),
  })
  .prefault({})
  .describe('the processes that pack, seal, ship, open and deliver');

const log = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error'])
      .default('info')
      .describe('least severity that is written'),
  })
  .prefault({})
  .describe('JSON lines on standard error');

export const settingsSchema = z.strictObject({
  site,
  dataDir: z
    .string()
    .min(1)
    .default('./data')
    .describe('folder of everything the bridge keeps, relative to this file'),
  dimse,
  completion,
  pacs: z.array(pacs).default([]).describe('local PACS that received studies are stored to'),
  peers: z.array(peer).default([]).describe('other bridges'),
  routes: z.array(route).default([]).describe('which studies go to which peers'),
  https,
  dashboard,
  redis,
  disk,
  retention,
  workers,
  log,
});

export type Settings = z.infer<typeof settingsSchema>;
export type PeerSettings = z.infer<typeof peer>;
