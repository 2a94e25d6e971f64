/**
 * Every setting: type, unit, range, default, and one line of meaning. README's table of settings and the commented
 * file of the first run are made from this schema, so they cannot drift from it.
 */
import { z } from 'zod';
import { isAeTitle } from '../domain/ae-title.js';
import { plainFingerprint } from '../domain/fingerprint.js';
import { DIALECT_NAMES } from '../domain/peer.js';
import { PRIORITIES } from '../domain/priority.js';
import { isTimeWindow } from '../domain/time-window.js';

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
const FINGERPRINT = /^[0-9a-f]{64}$/;
/** As openssl and browsers show it, too. */
const withoutLabel = (text: string): string =>
  plainFingerprint(text.replaceAll(':', '').replace(/^SHA256/i, ''));
const fingerprint = z
  .string()
  .transform(withoutLabel)
  .refine((text) => FINGERPRINT.test(text), 'expected a SHA-256 fingerprint: 64 hex digits');

/** Or a name that a certificate is made for: subjectAltName, or the common name where it has none. */
const certificateSign = z
  .string()
  .transform((text) => (FINGERPRINT.test(withoutLabel(text)) ? withoutLabel(text) : text))
  .refine(
    (text) => /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(text),
    'expected a SHA-256 fingerprint, or a name such as ct1.example.org',
  );

/** Of an OpenPGP primary key: version 4 (RFC 4880) or later (RFC 9580). */
const openpgpFingerprint = z
  .string()
  .transform((text) => text.replaceAll(/[\s:]/g, '').toUpperCase())
  .refine(
    (text) => /^(?:[0-9A-F]{40}|[0-9A-F]{64})$/.test(text),
    'expected an OpenPGP fingerprint: 40 or 64 hex digits',
  );

const site = z
  .strictObject({
    id: name.describe('organisation id; the sender id of all envelopes made here'),
    name: z.string().min(1).describe('name of the organisation, as partners see it'),
    contact: z.string().min(1).describe('mail address or telephone number of the people who run this bridge'),
  })
  .describe('who we are');

/** Where a DICOM application listens. */
const aeAddress = {
  host: z.string().min(1).describe('its address or host name'),
  port: port.min(1).describe('its DICOM port'),
};

const caller = z.strictObject({
  aeTitle: aeTitle.describe('calling AE title'),
  hosts: z
    .array(z.string().min(1))
    .optional()
    .describe('addresses, networks (10.1.0.0/16) or host names; absent: any'),
  certificates: z
    .array(certificateSign)
    .min(1)
    .optional()
    .describe(
      'SHA-256 of certificates, or names that they are made for: it may call with TLS and one of these alone; absent: by any that dimse.tls takes, and without TLS',
    ),
  reportTo: z
    .strictObject({
      ...aeAddress,
      tls: z.boolean().default(false).describe('call it with TLS, by the settings of dimse.tls'),
    })
    .optional()
    .describe(
      'where it listens for reports of storage commitment; absent: they are told on associations of its own alone',
    ),
});

const user = z.strictObject({
  name: z.string().min(1).max(64).describe('user name'),
  passwordFile: z.string().optional().describe('file that holds the password; absent: the name is enough'),
});

const dicomTls = z
  .strictObject({
    listen: z.boolean().default(false).describe('take associations with TLS'),
    port: port.default(2762).describe('port for them'),
    profile: z
      .enum(['bcp195', 'extended'])
      .default('bcp195')
      .describe(
        'bcp195: TLS 1.2 and 1.3 with the suites of PS3.15 B.9 and B.10; extended: the stronger ones of B.11 alone',
      ),
    certFile: z
      .string()
      .optional()
      .describe('PEM certificate chain; default: the one that the bridge made for itself'),
    keyFile: z.string().optional().describe('PEM private key of the certificate'),
    caFile: z.string().optional().describe('PEM of the CAs that vouch for the others'),
    crlFile: z
      .string()
      .optional()
      .describe(
        'revocation lists of these CAs, one of each, also of those in between: PEM, or a single one in DER; absent: none is looked at',
      ),
    certificateFingerprints: z
      .array(fingerprint)
      .default([])
      .describe('SHA-256 of certificates of others that are taken without a CA'),
    clientCertificates: z
      .enum(['required', 'optional'])
      .default('required')
      .describe('required: a modality must show a certificate; optional: it may'),
  })
  .prefault({})
  .describe('DICOM over TLS, in and out; files are read again when they change');

const dimse = z
  .strictObject({
    host: z.string().default('0.0.0.0').describe('address to listen on'),
    port: port.default(11_112).describe('port of the C-STORE and C-ECHO SCP'),
    listen: z.boolean().default(true).describe('false: associations are taken with TLS alone'),
    tls: dicomTls,
    aeTitles: z.array(aeTitle).min(1).prefault(['DRAWBRIDGE']).describe('called AE titles that are ours'),
    callers: z.array(caller).default([]).describe('modalities that may send'),
    anyCaller: z.boolean().default(false).describe('take studies from any calling AE title; for trials only'),
    privateSopClasses: z
      .array(z.string())
      .default([])
      .describe('private storage SOP classes to accept as well'),
    idleTimeoutSeconds: seconds.default(600).describe('an association silent for longer is aborted'),
    maxAssociationSeconds: seconds
      .default(86_400)
      .describe('an association that has lasted for longer is aborted after the instance under way'),
    maxAssociations: z.int().min(1).max(10_000).default(300).describe('associations open at one time'),
    maxAssociationsPerCaller: z.int().min(1).max(10_000).default(250).describe('the same, from one host'),
    maxPduBytes: z
      .int()
      .min(4096)
      .max(MIB)
      .default(256 * 1024)
      .describe('largest PDU that we offer to receive'),
    asyncOperations: z
      .int()
      .min(1)
      .max(64)
      .default(16)
      .describe(
        'operations that one association may have outstanding, where the peer asks for more than one',
      ),
    maxInstanceBytes: z
      .int()
      .min(MIB)
      .default(16 * GIB)
      .describe('largest data set that is accepted'),
    maxStudyBytes: z
      .int()
      .min(MIB)
      .default(256 * GIB)
      .describe('a study that has grown beyond is not added to'),
    maxStudyInstances: z.int().min(1).default(200_000).describe('most instances of one study'),
    associationsPerMinutePerCaller: z
      .int()
      .min(1)
      .default(30_000)
      .describe('associations that one host may open in a minute'),
    bytesPerSecondPerCaller: z
      .int()
      .min(1024)
      .optional()
      .describe('bytes per second that are taken from one host; absent: as fast as it can'),
    acceptTimeoutSeconds: seconds.default(30).describe('a connection that asks for no association is closed'),
    users: z
      .array(user)
      .default([])
      .describe('who may give a user name (user identity negotiation); none: names are logged, not checked'),
    userRequired: z
      .boolean()
      .default(false)
      .describe('refuse associations that give no user name of dimse.users'),
    commitment: z
      .enum(['off', 'here', 'delivered'])
      .default('here')
      .describe(
        'storage commitment for modalities; here: we answer for an instance as soon as it is durable on our disk; delivered: only when the signed receipts of all receivers are in',
      ),
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
    ahead: z
      .enum(['ship', 'seal', 'no'])
      .default('ship')
      .describe(
        'what is done while a study is still quiet: `seal` its envelopes, and `ship` all but their ends to peers that we call ourselves; what does not fit in the end is thrown away',
      ),
  })
  .prefault({})
  .describe('when a study is complete');

/** Short, because it becomes part of a job's id. */
const pacsName = name.max(24, 'expected at most 24 characters');

const pacs = z.strictObject({
  name: pacsName.describe('how we call it'),
  aeTitle: aeTitle.describe('its AE title'),
  ...aeAddress,
  callingAeTitle: aeTitle
    .optional()
    .describe('AE title that we use towards it; default: the first of dimse.aeTitles'),
  passCallingAe: z
    .boolean()
    .default(false)
    .describe('call it with the AE title of the modality that sent the instance, where that is known'),
  tls: z.boolean().default(false).describe('call it with TLS, by the settings of dimse.tls'),
  user: z.string().min(1).max(64).optional().describe('user name to give to it'),
  passwordFile: z.string().optional().describe('file that holds the password of that user'),
  transferSyntaxes: z
    .array(z.string().regex(/^[0-9.]{5,64}$/, 'expected UIDs of transfer syntaxes'))
    .min(1, 'expected at least one, or leave it out')
    .optional()
    .describe('UIDs of the only transfer syntaxes that are proposed to it; absent: what each instance is in'),
  transcode: z
    .boolean()
    .default(true)
    .describe('what it does not take in its transfer syntax is converted without loss; false: it is refused'),
  maxPduBytes: z
    .int()
    .min(4096)
    .max(MIB)
    .default(256 * 1024)
    .describe('largest PDU that we send to it'),
  associations: z.int().min(1).max(16).default(1).describe('associations to it at one time for each study'),
  asyncOperations: z
    .int()
    .min(1)
    .max(64)
    .default(16)
    .describe('C-STOREs outstanding on one association, as far as it agrees'),
  connectTimeoutSeconds: seconds.default(10).describe('for the connection'),
  associationTimeoutSeconds: seconds.default(30).describe('for its answer to an association request'),
  responseTimeoutSeconds: seconds.default(120).describe('for its answer to an instance'),
  keepOpenSeconds: z
    .number()
    .min(0)
    .default(5)
    .describe(
      'an idle association is kept open so long for the next study; a PACS that serves one caller at a time keeps others waiting meanwhile',
    ),
  paused: z.boolean().default(false).describe('nothing is sent to it; studies wait'),
  commitment: z
    .enum(['off', 'offered', 'required'])
    .default('offered')
    .describe(
      'ask it to commit to what it stored before the sender gets its receipt; offered: where it takes part; required: no receipt without',
    ),
  commitmentTimeoutSeconds: seconds.default(300).describe('for its report'),
});

const exchange = z.strictObject({
  name: pacsName.describe('how we call it'),
  type: z
    .enum(['ftps', 'hub', 'folder'])
    .describe('ftps: a server with explicit TLS; hub: a bridge with role hub; folder: a disk or share'),
  host: z.string().min(1).optional().describe('ftps: address or host name of the server'),
  port: port.min(1).default(21).describe('ftps: its port'),
  user: z.string().min(1).optional().describe('ftps: login name'),
  passwordFile: z.string().optional().describe('ftps: file that holds the password; read at each login'),
  clientCertificate: z.boolean().default(false).describe('ftps: show our TLS certificate as well'),
  url: z
    .url({ protocol: /^https$/ })
    .optional()
    .describe('hub: its API, https://host:port'),
  tokenFile: z
    .string()
    .optional()
    .describe('hub: file with our bearer token, where the hub does not know us by our certificate'),
  nested: z
    .boolean()
    .default(false)
    .describe(
      'hub: put envelopes into envelopes for the hub, so that nobody before it sees whom they are for',
    ),
  hubId: name.optional().describe('hub, nested: its organisation id'),
  encryptionKey: publicKey.optional().describe('hub, nested: its X25519 public key'),
  certificateFingerprints: z.array(fingerprint).default([]).describe('SHA-256 of its TLS certificate'),
  caFile: z.string().optional().describe('PEM of the CA that vouches for it, instead of fingerprints'),
  outbox: z
    .string()
    .min(1)
    .optional()
    .describe(
      'ftps, folder: where envelopes are put; {peer} stands for the receiver’s id; absent: nothing is',
    ),
  inbox: z
    .string()
    .min(1)
    .optional()
    .describe('ftps, folder: where envelopes for us lie; {site} stands for our id; absent: nothing is taken'),
  pollSeconds: seconds.default(30).describe('how often the inbox is looked into, give or take a fifth'),
  settleSeconds: z
    .number()
    .min(0)
    .default(10)
    .describe('folder: a file that has not changed for so long is whole'),
  afterTaking: z
    .enum(['delete', 'move'])
    .default('delete')
    .describe('ftps, folder: what becomes of an envelope there when it is safe here; move: into done/'),
});

const window = z
  .string()
  .refine(isTimeWindow, 'expected local times as 22:00-06:00, with days if need be: mon-fri 18:00-07:00');

const peer = z.strictObject({
  id: name.describe('its organisation id'),
  name: z.string().min(1).describe('name of the organisation'),
  contact: z.string().min(1).default('unknown').describe('whom to ring'),
  url: z
    .url({ protocol: /^https$/ })
    .optional()
    .describe('its API, https://host:port; absent: it is reached via an exchange, or only sends to us'),
  via: pacsName.optional().describe('the exchange that envelopes for it are put into, instead of a url'),
  encryptionKey: publicKey.optional().describe('its X25519 public key; absent: it only sends to us'),
  dialect: z
    .enum(DIALECT_NAMES)
    .default('canon')
    .describe(
      'what studies for it are sealed as; canon: the specification’s own words, for another bridge and jmix-php; js, rs, php: so that jmix-js, jmix-rs or jmix-php opens them',
    ),
  signingKeys: z
    .array(publicKey)
    .default([])
    .describe(
      'its Ed25519 public keys; a signature by another key counts for nothing; absent where `drawbridge pair` or a directory brings them',
    ),
  jwks: z
    .enum(['off', 'announced', 'tls'])
    .default('announced')
    .describe(
      'which of the keys that it publishes are taken: off: none; announced: new ones that a key known before has signed for; tls: all, on the word of its TLS certificate',
    ),
  jwksUrl: z
    .url({ protocol: /^https$/ })
    .optional()
    .describe('where it publishes its keys; default: /.well-known/jwks.json at its url'),
  directory: z
    .boolean()
    .default(false)
    .describe('what is not given here (url, keys, certificate) is looked up in the directory by its id'),
  receipts: z
    .enum(['expected', 'none'])
    .default('expected')
    .describe(
      'none: its software sends none (jmix-js, jmix-rs, jmix-php, plain gpg): a delivery ends when it is handed over, and nothing proves that their PACS has it',
    ),
  seal: z
    .enum(['jmix', 'openpgp'])
    .default('jmix')
    .describe('openpgp: the envelope goes as one OpenPGP message, for partners who have nothing else'),
  openpgpFingerprints: z
    .array(openpgpFingerprint)
    .default([])
    .describe('fingerprints of its OpenPGP primary keys: what is encrypted to, and whose signatures count'),
  openpgpKeyFile: z.string().optional().describe('its OpenPGP public key, as `gpg --export` writes it'),
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
  concurrency: z
    .int()
    .min(1)
    .max(32)
    .default(4)
    .describe('envelopes on their way to it at one time; a stat one may go beside them'),
  bytesPerSecond: z
    .int()
    .min(1024)
    .optional()
    .describe(
      'bytes per second that are sent to it, all envelopes together; absent: as fast as the line allows',
    ),
  windows: z
    .array(window)
    .default([])
    .describe(
      'when envelopes may go to it, in local time, as 22:00-06:00; none: always; stat ones always may',
    ),
  tokenSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits')
    .optional()
    .describe('only on a hub: SHA-256 of its bearer token, where it has no certificate of its own'),
  quotaBytes: z
    .int()
    .min(MIB)
    .optional()
    .describe('only on a hub: most bytes that may wait for it; default: hub.quotaBytes'),
});

/** JMIX manifest extensions: readable by everyone on the way. */
const extensions = z.strictObject({
  customTags: z
    .array(z.string().min(1))
    .optional()
    .describe('words for the receiver; nothing about a patient'),
  consent: z
    .strictObject({
      status: z.enum(['granted', 'denied', 'unknown']),
      scope: z.array(z.enum(['treatment', 'research', 'emergency', 'operations', 'patient'])).optional(),
      method: z.string().min(1).optional(),
      signedOn: z.iso.date().optional(),
    })
    .optional(),
  deid: z
    .strictObject({ keys: z.array(z.string().min(1)) })
    .optional()
    .describe('names of the DICOM attributes that were taken out'),
});

const route = z.strictObject({
  to: z.array(name).min(1).describe('peers'),
  together: z
    .boolean()
    .default(true)
    .describe(
      'one sealed envelope for all its peers, who then see who else gets the study; false: one for each',
    ),
  classification: z
    .enum(['confidential', 'sensitive', 'de-identified'])
    .default('confidential')
    .describe('what the manifest calls the payload'),
  extensions: extensions
    .default({})
    .describe('customTags, consent and deid of the manifest, readable by everyone on the way'),
  priority: z
    .enum(PRIORITIES)
    .default('routine')
    .describe('stat goes before routine, and waits for no time window; low goes last'),
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
    listen: z
      .boolean()
      .default(true)
      .describe('false: no port is opened for other bridges; envelopes come from exchanges alone'),
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

const trust = z
  .strictObject({
    maxAgeDays: z
      .number()
      .positive()
      .default(365)
      .describe('an envelope older than this is refused; count retries of days, and disks that are carried'),
    maxFutureMinutes: z
      .number()
      .min(0)
      .default(840)
      .describe(
        'how far the clock of a sender may be ahead of ours; some software writes local time as if it were UTC',
      ),
    preamble: z
      .enum(['refuse', 'blank', 'keep'])
      .default('refuse')
      .describe(
        'refuse: no instance whose preamble is neither zeros nor TIFF, so that the file may be a program; blank: put zeros there; keep: take it as it is',
      ),
    assertionDays: z
      .number()
      .positive()
      .optional()
      .describe(
        'the signed assertions of our envelopes expire after so long; one that has not gone by then is sealed again; absent: never',
      ),
  })
  .prefault({})
  .describe('what is believed of envelopes that come in');

const keys = z
  .strictObject({
    passphraseFile: z
      .string()
      .optional()
      .describe(
        'file with the passphrase that our private keys are encrypted with, best one that a secret store mounts; absent: they are protected by their mode alone',
      ),
    overlapDays: z
      .number()
      .positive()
      .default(400)
      .describe(
        'after a rotation the old encryption key opens what still comes for so long, and the old signing key’s word for the new one is sent along; longer than trust.maxAgeDays',
      ),
  })
  .prefault({})
  .describe('our own keys');

const directory = z
  .strictObject({
    url: z
      .url({ protocol: /^https$/ })
      .optional()
      .describe('the API of a directory, https://host:port; absent: there is none, and none is needed'),
    keys: z
      .array(publicKey)
      .default([])
      .describe(
        'Ed25519 public keys of the directory; an entry that none of them attests counts for nothing',
      ),
    certificateFingerprints: z.array(fingerprint).default([]).describe('SHA-256 of its TLS certificate'),
    caFile: z.string().optional().describe('PEM of the CA that vouches for it, instead of fingerprints'),
    refreshMinutes: z.number().positive().default(60).describe('how often entries are asked for anew'),
  })
  .prefault({})
  .describe('where keys and addresses of other sites can be looked up; never needed to open an envelope');

const openpgp = z
  .strictObject({
    command: z.string().min(1).default('gpg').describe('the GnuPG program, 2.2 or later'),
    homeDir: z
      .string()
      .optional()
      .describe('GnuPG home of this bridge alone, with its gpg.conf; default: keys/gnupg in the data folder'),
    passphraseFile: z
      .string()
      .optional()
      .describe('file with the passphrase of our OpenPGP key, if it has one'),
  })
  .prefault({})
  .describe('OpenPGP, for peers with seal: openpgp');

const hub = z
  .strictObject({
    directory: z
      .boolean()
      .default(false)
      .describe('serve as a directory: keys and addresses of its sites, attested by its signing key'),

    quotaBytes: z
      .int()
      .min(MIB)
      .default(200 * GIB)
      .describe('most bytes that may wait for one site'),
    expiryDays: z
      .number()
      .positive()
      .default(30)
      .describe('an envelope that nobody has taken for so long is parked, and after as long again removed'),
  })
  .prefault({})
  .describe('only with role hub: passing envelopes on');

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
    receptionLogMegabytes: z
      .int()
      .min(0)
      .max(65_536)
      .default(512)
      .describe(
        'room for the log in which instances become durable before they get files of their own, in steps of 64; 0: none, and modalities wait longer',
      ),
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
    sandbox: z
      .boolean()
      .default(true)
      .describe(
        'open and seal envelopes in processes of their own; all but what is sealed or opened ahead of time, by the gateway',
      ),
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
  role: z
    .enum(['site', 'hub'])
    .default('site')
    .describe('site: modalities and PACS; hub: passes sealed envelopes on between sites, and can open none'),
  site,
  dataDir: z
    .string()
    .min(1)
    .default('./data')
    .describe('folder of everything the bridge keeps, relative to this file'),
  dimse,
  completion,
  pacs: z.array(pacs).default([]).describe('local PACS that received studies are stored to'),
  exchanges: z
    .array(exchange)
    .default([])
    .describe('places between sites that cannot call each other, where envelopes wait to be taken'),
  peers: z.array(peer).default([]).describe('other bridges; on a hub: the sites that it serves'),
  routes: z.array(route).default([]).describe('which studies go to which peers'),
  https,
  trust,
  keys,
  directory,
  openpgp,
  hub,
  dashboard,
  redis,
  disk,
  retention,
  workers,
  log,
});

export type Settings = z.infer<typeof settingsSchema>;
export type PeerSettings = z.infer<typeof peer>;
export type ExchangeSettings = z.infer<typeof exchange>;
