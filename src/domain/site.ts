/** This organisation, as it stands in manifests and receipts. */
export interface Site {
  readonly id: string;
  readonly name: string;
  readonly contact: string;
}
