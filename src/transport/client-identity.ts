/** Who we are to servers that ask for a certificate. */
export interface ClientIdentity {
  /** PEM */
  readonly certificate: string;
  /** PEM */
  readonly privateKey: string;
}
