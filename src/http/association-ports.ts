/** What the dashboard shows of associations: where they come in, which are open, and which were refused. */

export interface DicomListenerView {
  readonly aeTitles: readonly string[];
  /** For plain DICOM; 0 where only TLS is taken. */
  readonly port: number;
  /** For DICOM over TLS, where it is taken. */
  readonly tlsPort?: number;
}

export interface AssociationView {
  readonly id: string;
  readonly callingAe: string;
  readonly calledAe: string;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
  /** The version of TLS and its cipher suite; absent without TLS. */
  readonly tls?: string;
  readonly cipher?: string;
  readonly instanceCount: number;
  readonly bytes: number;
}

/** An association that was refused lately, so that an engineer sees what to correct. */
export interface RefusalView {
  readonly atMs: number;
  readonly code: string;
  readonly callingAe: string;
  readonly calledAe: string;
  readonly remoteAddress: string;
  /** In words, where the code alone does not tell. */
  readonly reason?: string;
  /** What can be done about it; empty where nothing need be. */
  readonly advice?: string;
  readonly count: number;
}
