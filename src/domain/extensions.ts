/**
 * What a manifest says of a payload beyond JMIX's required members: its classification, and words for the receiver,
 * consent and de-identification (JMIX manifest `security.classification`, `extensions`). All of it is readable by everyone
 * on the way. It comes from routes, and from whoever knows more of a single study.
 */

/** Most guarded first. */
export const CLASSIFICATIONS = ['sensitive', 'confidential', 'de-identified'] as const;
export type Classification = (typeof CLASSIFICATIONS)[number];

/** Most restrictive first. */
const CONSENTS = ['denied', 'unknown', 'granted'] as const;

export interface Consent {
  readonly status: (typeof CONSENTS)[number];
  readonly scope?: readonly ('treatment' | 'research' | 'emergency' | 'operations' | 'patient')[] | undefined;
  readonly method?: string | undefined;
  /** `YYYY-MM-DD` */
  readonly signedOn?: string | undefined;
}

export interface Extensions {
  readonly customTags?: readonly string[] | undefined;
  readonly consent?: Consent | undefined;
  /** Names of the DICOM attributes that were taken out. */
  readonly deid?: { readonly keys: readonly string[] } | undefined;
}

/** Of several classifications the most guarded one: a payload is de-identified only if all say so. */
export function mergeClassifications(all: readonly Classification[]): Classification {
  return CLASSIFICATIONS.find((each) => all.includes(each)) ?? 'confidential';
}

/**
 * What several routes say together: all tags and all attributes taken out, each once, in order; of several consents the
 * most restrictive one, whole; the first of those that are alike.
 */
export function mergeExtensions(all: readonly Extensions[]): Extensions {
  const tags = [...new Set(all.flatMap(({ customTags }) => customTags ?? []))];
  const keys = [...new Set(all.flatMap(({ deid }) => deid?.keys ?? []))];
  const consents = all.flatMap(({ consent }) => (consent === undefined ? [] : [consent]));
  const consent = CONSENTS.map((status) => consents.find((each) => each.status === status)).find(
    (each) => each !== undefined,
  );
  return {
    ...(tags.length === 0 ? {} : { customTags: tags }),
    ...(consent === undefined ? {} : { consent }),
    ...(all.some(({ deid }) => deid !== undefined) ? { deid: { keys } } : {}),
  };
}

/** What is said of one study goes before what its routes say of all; tags are joined. */
export function withStudyExtensions(routes: Extensions, study: Extensions | undefined): Extensions {
  if (study === undefined) return routes;
  const { customTags } = mergeExtensions([routes, study]);
  return { ...routes, ...study, ...(customTags === undefined ? {} : { customTags }) };
}
