/** Types of make-studies.mjs, for those who call it from TypeScript. */
export interface MadeInstance {
  readonly path: string;
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly sizeBytes: number;
}

export type Kind = 'ct' | 'mr' | 'cr' | 'us' | 'sr' | 'pdf';
export type Syntax = 'implicit' | 'explicit' | 'big-endian' | 'deflated' | 'rle';

export function makeStudy(wish: {
  readonly kind: Kind;
  readonly out: string;
  readonly seed?: number;
  readonly slices?: number;
  readonly rows?: number;
  readonly syntax?: Syntax;
  /** Study Instance UID; default: one that follows from kind and seed. */
  readonly study?: string;
  readonly patient?: 'one' | 'latin' | 'kanji';
  /** Transfer syntaxes to take in turn, instance by instance. */
  readonly every?: readonly Syntax[];
}): Promise<MadeInstance[]>;

export function makeDemoStudy(out: string): Promise<MadeInstance[]>;
